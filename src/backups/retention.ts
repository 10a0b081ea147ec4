import { type BackupId, timeOfBackup } from './id.js';

/** How many backups to keep: the newest of each of so many days, weeks, months and years, and so many of the last. */
export interface Retention {
  last: number;
  daily: number;
  weekly: number;
  monthly: number;
  yearly: number;
}

export interface Decision {
  backup: BackupId;
  keep: boolean;
  /** Why it stays, in the operator's words; empty when it goes. */
  reasons: string[];
}

/**
 * Grandfather, father, son: which of these backups stay. Pure; the order of the input does not matter, and the newest
 * always stays, whatever the policy says.
 *
 * @param timezone an IANA name: days, weeks (from Monday) and months are counted in it.
 */
export function retain(backups: readonly BackupId[], policy: Retention, timezone = 'UTC'): Decision[] {
  const newestFirst = [...new Set(backups)].sort().reverse();
  const reasons = new Map<BackupId, string[]>(newestFirst.map((backup) => [backup, []]));
  const keep = (backup: BackupId, reason: string) => reasons.get(backup)?.push(reason);

  const newest = newestFirst[0];
  if (newest) keep(newest, 'newest');
  newestFirst.slice(0, policy.last).forEach((backup) => keep(backup, 'last'));
  const periods = [
    ['daily', policy.daily, dayOf],
    ['weekly', policy.weekly, weekOf],
    ['monthly', policy.monthly, (time: Date, zone: string) => dayOf(time, zone).slice(0, 7)],
    ['yearly', policy.yearly, (time: Date, zone: string) => dayOf(time, zone).slice(0, 4)],
  ] as const;
  for (const [reason, wanted, periodOf] of periods) {
    const seen = new Set<string>();
    for (const backup of newestFirst) {
      const period = periodOf(timeOfBackup(backup), timezone);
      if (seen.has(period)) continue;
      if (seen.size >= wanted) break;
      seen.add(period);
      keep(backup, reason);
    }
  }
  return newestFirst.map((backup) => {
    const why = reasons.get(backup) ?? [];
    return { backup, keep: why.length > 0, reasons: why };
  });
}

/** The calendar day, `2026-11-22`, on which a time falls in a timezone. */
function dayOf(time: Date, timezone: string): string {
  return new Intl.DateTimeFormat('en-CA', {
    timeZone: timezone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  }).format(time);
}

/** The Monday that begins the week of that day. */
function weekOf(time: Date, timezone: string): string {
  const noon = new Date(`${dayOf(time, timezone)}T12:00:00Z`);
  noon.setUTCDate(noon.getUTCDate() - ((noon.getUTCDay() + 6) % 7));
  return noon.toISOString().slice(0, 10);
}
