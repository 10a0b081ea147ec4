import type { BackupId } from '../backups/id.js';
import { Failure } from '../errors.js';

/** What a report may be called beside a backup: its name becomes a file's, or a word of a command line. */
const reportNamePattern = /^[A-Za-z0-9][A-Za-z0-9.-]{0,99}$/;

/** @throws Failure `Unexpected` */
export function requireReportName(name: string): void {
  if (reportNamePattern.test(name)) return;
  throw new Failure('Unexpected', `'${name.slice(0, 100)}' is no name for a report`);
}

export function noReport(offsite: string, backup: BackupId, name: string): Failure {
  return new Failure('NotFound', `there is no report ${name} of ${backup} on ${offsite}`, {
    next: 'see which there are with: permafrost report',
  });
}
