import type { DrillDepth } from './check.js';
import { type BackupId, timeOfBackup } from './id.js';
import type { PartName } from './parts.js';

/** Which backup a drill restores, and from where. Pure. */

/** What an off-site holds. */
export interface HeldBackups {
  readonly offsite: string;
  readonly sealed: readonly { readonly backup: BackupId; readonly parts: readonly PartName[] }[];
}

/** A drill of the past that has looked at a backup. */
export interface PastDrill {
  readonly from: string;
  readonly passed: boolean;
}

/**
 * An off-site whose newest backup is so much older than that of another is not drilled in turn: the newest backup is worth
 * the most. Two days: the night that failed there is reported elsewhere.
 */
const nearlyNewestMs = 2 * 86_400_000;

/**
 * The newest backup of an off-site that a drill of this depth can do something with: without a database there is not much
 * to prove. Where none has one, the newest.
 */
export function newestOf({ sealed }: HeldBackups, depth: DrillDepth): BackupId | undefined {
  const ids = (some: HeldBackups['sealed']) => some.map(({ backup }) => backup).sort();
  const whole = sealed.filter(({ parts }) => depth === 'files' || parts.includes('database'));
  return ids(whole).at(-1) ?? ids(sealed).at(-1);
}

/**
 * Off-sites whose newest backup is the newest of all, or nearly.
 *
 * @param held in the configuration's order, which is kept.
 */
export function nearlyNewest(held: readonly HeldBackups[], depth: DrillDepth): HeldBackups[] {
  const timed = held.flatMap((one) => {
    const newest = newestOf(one, depth);
    return newest === undefined ? [] : [{ one, at: timeOfBackup(newest).getTime() }];
  });
  const newest = Math.max(...timed.map(({ at }) => at));
  return timed.filter(({ at }) => newest - at <= nearlyNewestMs).map(({ one }) => one);
}

/**
 * Whose turn it is: the off-site that was drilled successfully longest ago. One whose drill has just found something waits
 * for the others, or they would never be drilled while it is not mended.
 *
 * @param offsites in the configuration's order, which decides between equals.
 * @param past drills, the newest first.
 */
export function whoseTurn(offsites: readonly string[], past: readonly PastDrill[]): string | undefined {
  const lastPassed = (name: string) => {
    const at = past.findIndex(({ from, passed }) => passed && from === name);
    return at === -1 ? Infinity : at;
  };
  const [last] = past;
  const justFailed = (name: string) => last !== undefined && !last.passed && last.from === name;
  return [...offsites].sort((one, other) => {
    if (justFailed(one) !== justFailed(other)) return justFailed(one) ? 1 : -1;
    const [first, second] = [lastPassed(one), lastPassed(other)];
    return first === second ? 0 : second - first;
  })[0];
}
