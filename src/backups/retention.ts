import { type BackupId, timeOfBackup } from './id.js';
import { type PartName, partNames } from './parts.js';

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

/** A backup, and the parts that it holds: not every run takes all of them. */
export interface Held {
  readonly backup: BackupId;
  readonly parts: readonly PartName[];
}

/**
 * Which of these backups stay: the policy holds for each part by itself, so that runs that take the database alone never
 * push out the last copies of the media. Pure; a backup stays when one of its parts has a reason to.
 */
export function retainParts(backups: readonly Held[], policy: Retention, timezone = 'UTC'): Decision[] {
  const reasons = new Map<BackupId, Set<string>>();
  for (const part of partNames) {
    const holding = backups.filter(({ parts }) => parts.includes(part)).map(({ backup }) => backup);
    for (const decision of retain(holding, policy, timezone)) {
      reasons.set(decision.backup, new Set([...(reasons.get(decision.backup) ?? []), ...decision.reasons]));
    }
  }
  return [...new Set(backups.map(({ backup }) => backup))]
    .sort()
    .reverse()
    .map((backup) => {
      const why = [...(reasons.get(backup) ?? [])];
      return { backup, keep: why.length > 0, reasons: why };
    });
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
