const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** A nightly run may take this long before the backup of the night counts as late. */
const NIGHT_MS = 3 * HOUR_MS;

/**
 * Whether a night has gone by without its backup, whoever forgot it. Pure.
 *
 * @param schedule when backups are due every day; undefined where nothing starts them.
 * @param last the time of the newest backup; null when there is none.
 * @returns `none` when there should be a backup and there is none.
 */
export function lateness(
  schedule: { readonly jitterMs: number } | undefined,
  last: string | Date | null,
  now: Date,
): 'none' | { readonly late: boolean; readonly ageMs: number } {
  if (last === null) return 'none';
  const ageMs = now.getTime() - new Date(last).getTime();
  return { late: schedule !== undefined && ageMs > DAY_MS + schedule.jitterMs + NIGHT_MS, ageMs };
}
