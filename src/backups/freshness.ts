import { type BackupId, timeOfBackup } from './id.js';

/**
 * Whether backups come as they should. Pure. Age is that of what would be restored: it counts from the time that a
 * backup's id names.
 */

const HOUR_MS = 3_600_000;

/** One is due every day. */
export const DAY_MS = 24 * HOUR_MS;

/** Late from this many intervals on: the night itself takes a while, and the next one is not due to be read back yet. */
export const LATE = 1.25;

/** A backup may be ahead of this machine's clock by so much; more is a clock that was wrong when it was made. */
const CLOCKS_APART_MS = HOUR_MS;

export interface Freshness {
  /** The newest backup of those that are not from the future; null when there is none. */
  readonly newest: BackupId | null;
  /** Milliseconds; null without a backup. */
  readonly ageMs: number | null;
  /** Those from the future: made while a clock was wrong, they would silence every alarm until their time has come. */
  readonly future: readonly BackupId[];
}

/** @param backups sealed ones, in any order. */
export function freshnessOf(backups: readonly BackupId[], now: Date): Freshness {
  const times = backups.flatMap((backup) => timed(backup)).sort((one, other) => other.at - one.at);
  const limit = now.getTime() + CLOCKS_APART_MS;
  const newest = times.find(({ at }) => at <= limit);
  return {
    newest: newest?.backup ?? null,
    ageMs: newest === undefined ? null : Math.max(0, now.getTime() - newest.at),
    future: times.filter(({ at }) => at > limit).map(({ backup }) => backup),
  };
}

/**
 * Whether a night has gone by without its backup, whoever forgot it.
 *
 * @param intervalMs how often one is due; null where nothing starts them: then none is late.
 * @param ageMs of the newest; null when there is none, which is late wherever one is due.
 */
export function isLate(ageMs: number | null, intervalMs: number | null, factor = LATE): boolean {
  if (intervalMs === null) return false;
  return ageMs === null || ageMs > intervalMs * factor;
}

function timed(backup: BackupId): { backup: BackupId; at: number }[] {
  try {
    return [{ backup, at: timeOfBackup(backup).getTime() }];
  } catch {
    return []; // not an id of ours
  }
}
