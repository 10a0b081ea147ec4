import type { BackupProgress } from '../../src/backups/report.js';
import type { RestoreReport, UndoReport } from '../../src/backups/restore-report.js';
import { Failure, isFailureType } from '../../src/errors.js';
import { servicesText } from '../../src/terminal/progress.js';
import { failureOf, reportIn, VerbFailed } from './failures.js';

/** How a restore or an undo ended that is not what was asked for. */
export function endedBadly(
  end: { end: 'failed'; error: unknown; progress: BackupProgress | undefined },
  was: { instance: string; fields: object },
): VerbFailed {
  const failure = failureOf(end.error);
  const report = reportIn(end.error);
  const cancelled = failure.type === 'Cancelled';
  const said = cancelled
    ? new Failure('Cancelled', 'the run was cancelled', { next: 'Start it again when it suits.' })
    : failure;
  const status = cancelled ? 'cancelled' : 'failed';
  return new VerbFailed(said, stateOf(was.instance, end.progress), { ...was.fields, status, ...report });
}

function stateOf(instance: string, progress: BackupProgress | undefined): string | undefined {
  if (progress === undefined) return undefined;
  const asItWas = `${instance} is as it was`;
  if (progress.services === 'untouched') return `${asItWas}; the services were not touched.`;
  if (progress.services === 'up') return `${asItWas}; the services are up.`;
  return `The services are ${servicesText(progress.services)}; the guard and the lease bring them back.`;
}

/** What was asked for is done, but the services are not up. */
export function servicesNotUp(report: RestoreReport | UndoReport): VerbFailed | undefined {
  if (report.error === undefined) return undefined;
  const { type, message, next } = report.error;
  const failure = new Failure(isFailureType(type) ? type : 'Unexpected', message, { next, host: report.to });
  return new VerbFailed(failure, `It is done (${report.status}), but not all of ${report.instance} is up.`, {
    ...report,
  });
}
