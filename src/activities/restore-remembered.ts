import type { Host } from '../hosts/host.js';
import { type RememberedRestore, rememberRestore, rememberedRestores } from '../records/restores.js';
import { type Undo, undoOf } from '../restore/undo.js';

/**
 * Remembers a restore that is in place, by its journal alone: it can be taken back, and what it keeps goes when its time
 * is over. Of one that was taken back, or that was never in place, nothing. Safe to run again.
 *
 * @returns what is kept of it; null when nothing is.
 */
export async function rememberInPlace(
  state: string,
  host: Host,
  restore: Pick<RememberedRestore, 'instance' | 'restore' | 'from' | 'target'>,
): Promise<Undo | null> {
  const { instance: domain, restore: id, from, target } = restore;
  const undo = await undoOf({ host, domain, restore: id });
  const known = (await rememberedRestores(state, domain)).some((one) => one.restore === id);
  if (undo === null || known) return undo;
  await rememberRestore(state, {
    ...{ restore: id, instance: domain, backup: undo.backup, from, parts: [...undo.parts], to: host.name },
    ...(target === undefined || target === null ? {} : { target }),
    ...{ finishedAt: undo.swappedAt, undoUntil: undo.undoUntil, gone: false },
    undo: undo.undone ? 'undone' : 'possible',
    ...(undo.databaseBytes === null ? {} : { keptBytes: undo.databaseBytes }),
  });
  return undo;
}
