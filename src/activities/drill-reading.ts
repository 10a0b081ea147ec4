import { createHash } from 'node:crypto';
import type { Proof } from '../backups/check.js';
import type { BackupId } from '../backups/id.js';
import { Failure } from '../errors.js';
import type { Offsite } from '../offsite/offsite.js';

/** A drill, as whoever prunes sees it (records/readers.ts): of one length, however long the domain is. */
export function readerOf({ instance, drill }: { instance: string; drill: BackupId }): string {
  const short = createHash('sha256').update(instance).digest('hex').slice(0, 12);
  return `drill-${drill}-${short}`;
}

/**
 * What is missing because somebody has removed the whole backup meanwhile (a hand, a prune of another machine) is no
 * finding.
 *
 * @throws Failure `NotFound` when something was found, and the backup is not sealed there any more.
 */
export async function needListed(
  copy: Pick<Offsite, 'name' | 'list'>,
  backup: BackupId,
  { checks }: Proof,
): Promise<void> {
  if (checks.every(({ passed }) => passed)) return;
  const { sealed } = await copy.list();
  if (sealed.some((one) => one.backup === backup)) return;
  throw new Failure('NotFound', `${backup} was removed from ${copy.name} while it was drilled`, {
    next: 'run the drill again',
  });
}
