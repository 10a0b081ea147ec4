import type { BackupId } from './id.js';
import { type Held, type Retention, retainParts } from './retention.js';

/**
 * Backups that were sealed on an off-site and are gone although retention would still keep them and no prune of ours has
 * removed them: somebody else has, or it is another place now. Newest first. Pure.
 *
 * @param sealed what this machine remembers to have sealed there.
 * @param there what the off-site has.
 * @param removed what our own prunes have removed there.
 */
export function takenAway(
  {
    sealed,
    there,
    removed,
  }: { sealed: readonly Held[]; there: readonly Held[]; removed: ReadonlySet<BackupId> },
  policy: Retention,
  timezone: string | undefined,
  time: { now: Date },
): BackupId[] {
  const present = new Set(there.map(({ backup }) => backup));
  const gone = sealed.filter(({ backup }) => !present.has(backup) && !removed.has(backup));
  const missed = new Set(gone.map(({ backup }) => backup));
  // Another Permafrost that fills the same place has removed only what the policy lets go.
  return retainParts([...there, ...gone], policy, timezone, time)
    .filter(({ backup, keep }) => keep && missed.has(backup))
    .map(({ backup }) => backup);
}
