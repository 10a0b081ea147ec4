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
  /** Why it stays, in the operator's words, the strongest first; empty when it goes. */
  reasons: string[];
}

/** A sealed backup on an off-site, and what speaks for its staying there. */
export interface Held {
  readonly backup: BackupId;
  /** Not every run takes all of them. */
  readonly parts: readonly PartName[];
  /** The backup whose full dump its delta of the database needs. */
  readonly dependsOn?: BackupId;
  /** Somebody said so: for ever, or until a day of the instance's timezone, `2027-01-31`, that day included. */
  readonly kept?: 'forever' | string;
  /** Somebody reads it at this moment. */
  readonly reading?: boolean;
}

/**
 * Which backups of one off-site stay: one stays when it has a reason to. Pure; neither the order of the input matters
 * nor whether one is listed twice, and applied to what stays it removes nothing more.
 *
 * - The policy holds for each part by itself, so that runs that take the database alone never push out the last copies
 *   of the media. The newest that holds a part always stays, whatever the policy says.
 * - A delta whose full dump is not there cannot be restored, so it takes no other's place.
 * - What has a full dump that one that stays needs, stays.
 * - A backup that claims to be from the future was made while a clock was wrong. It takes no other's place, and stays
 *   until its time has come and it is decided upon as any other.
 *
 * @param timezone an IANA name: days, weeks (from Monday) and months are counted in it.
 */
export function retainParts(
  backups: readonly Held[],
  policy: Retention,
  timezone: string | undefined,
  { now }: { now: Date },
): Decision[] {
  const held = mergeTwins(backups);
  const reasons = new Map<BackupId, Set<string>>([...held.keys()].map((backup) => [backup, new Set()]));
  const because = (backup: BackupId, reason: string) => reasons.get(backup)?.add(reason);

  for (const one of held.values()) {
    if (one.reading === true) because(one.backup, 'being read');
    const kept = keptReason(one.kept, now, timezone);
    if (kept !== null) because(one.backup, kept);
    const outside = outsideTime(one.backup, now);
    if (outside !== null) because(one.backup, outside);
  }
  const present = [...held.values()].filter(({ backup }) => outsideTime(backup, now) === null);
  for (const part of [...partNames, null]) {
    const holding = present.filter(({ parts }) =>
      part === null ? parts.length === 0 : parts.includes(part),
    );
    const restorable = part === 'database' ? holding.filter((one) => isWhole(one, held)) : holding;
    // Those that lack their full dump grow old beside the others, as a second line.
    for (const line of restorable.length < holding.length ? [restorable, holding] : [holding]) {
      const decisions = retain(
        line.map(({ backup }) => backup),
        policy,
        timezone,
      );
      for (const { backup, reasons: why } of decisions) for (const reason of why) because(backup, reason);
    }
  }
  keepFullDumps(held, reasons);
  return newestFirst(held.keys()).map((backup) => {
    const why = [...(reasons.get(backup) ?? [])];
    return { backup, keep: why.length > 0, reasons: why };
  });
}

/** The newest one that needs a full dump is named: as long as that one stays, the full dump does. */
function keepFullDumps(
  held: ReadonlyMap<BackupId, Merged>,
  reasons: ReadonlyMap<BackupId, Set<string>>,
): void {
  const done = new Set<BackupId>();
  // What is kept for another may need one itself: until nothing is added.
  for (;;) {
    const staying = newestFirst(held.keys()).filter((backup) => (reasons.get(backup)?.size ?? 0) > 0);
    const needed = staying.flatMap((backup) =>
      [...(held.get(backup)?.dependsOn ?? [])].map((full) => ({ backup, full })),
    );
    const fresh = needed.filter(({ full }) => held.has(full) && !done.has(full));
    if (fresh.length === 0) return;
    for (const { backup, full } of fresh) {
      if (!done.has(full)) reasons.get(full)?.add(`full dump of ${backup}`);
      done.add(full);
    }
  }
}

/** In which order backups are removed so that none that is left lacks its full dump: those that need others first. */
export function removalOrder(
  backups: readonly BackupId[],
  held: readonly Pick<Held, 'backup' | 'dependsOn'>[],
): BackupId[] {
  const full = new Map(held.flatMap(({ backup, dependsOn }) => (dependsOn ? [[backup, dependsOn]] : [])));
  const depth = (backup: BackupId): number => {
    const passed = new Set([backup]);
    for (let at = full.get(backup); at !== undefined && !passed.has(at); at = full.get(at)) passed.add(at);
    return passed.size;
  };
  return newestFirst(backups).sort((one, other) => depth(other) - depth(one));
}

/**
 * Grandfather, father, son: which of these backups stay. Pure; the order of the input does not matter, and the newest
 * always stays, whatever the policy says.
 *
 * @param timezone an IANA name: days, weeks (from Monday) and months are counted in it.
 */
export function retain(backups: readonly BackupId[], policy: Retention, timezone = 'UTC'): Decision[] {
  const sorted = newestFirst(backups);
  const reasons = new Map<BackupId, string[]>(sorted.map((backup) => [backup, []]));
  const keep = (backup: BackupId, reason: string) => reasons.get(backup)?.push(reason);

  const newest = sorted[0];
  if (newest) keep(newest, 'newest');
  sorted.slice(0, policy.last).forEach((backup) => keep(backup, 'last'));
  const days = new Map(sorted.map((backup) => [backup, dayOf(timeOfBackup(backup), timezone)]));
  const periods = [
    ['daily', policy.daily, (day: string) => day],
    ['weekly', policy.weekly, mondayOf],
    ['monthly', policy.monthly, (day: string) => day.slice(0, 7)],
    ['yearly', policy.yearly, (day: string) => day.slice(0, 4)],
  ] as const;
  for (const [reason, wanted, periodOf] of periods) {
    const seen = new Set<string>();
    for (const backup of sorted) {
      const period = periodOf(days.get(backup) ?? '');
      if (seen.has(period)) continue;
      if (seen.size >= wanted) break;
      seen.add(period);
      keep(backup, reason);
    }
  }
  return sorted.map((backup) => {
    const why = reasons.get(backup) ?? [];
    return { backup, keep: why.length > 0, reasons: why };
  });
}

interface Merged extends Omit<Held, 'dependsOn'> {
  readonly dependsOn: ReadonlySet<BackupId>;
}

/** What is said of a backup that is listed more than once holds together. */
function mergeTwins(backups: readonly Held[]): Map<BackupId, Merged> {
  const held = new Map<BackupId, Merged>();
  for (const one of backups) {
    const before = held.get(one.backup);
    const kept = [one.kept, before?.kept]
      .filter((until) => until !== undefined)
      .sort(byDay)
      .at(-1);
    held.set(one.backup, {
      backup: one.backup,
      parts: [...new Set([...(before?.parts ?? []), ...one.parts])],
      dependsOn: new Set([
        ...(before?.dependsOn ?? []),
        ...(one.dependsOn === undefined ? [] : [one.dependsOn]),
      ]),
      ...(kept === undefined ? {} : { kept }),
      reading: one.reading === true || before?.reading === true,
    });
  }
  return held;
}

const aDay = /^\d{4}-\d\d-\d\d$/;

/** What is not a day is for ever. */
function byDay(one: string, other: string): number {
  if (aDay.test(one) !== aDay.test(other)) return aDay.test(one) ? -1 : 1;
  return one < other ? -1 : 1;
}

function keptReason(kept: string | undefined, now: Date, timezone: string | undefined): string | null {
  if (kept === undefined) return null;
  if (!aDay.test(kept)) return 'kept'; // a mark that we do not understand is no reason to remove anything
  return dayOf(now, timezone) <= kept ? `kept until ${kept}` : null;
}

/** Its full dump is there, and so on, as far as that goes. */
function isWhole(one: Merged, held: ReadonlyMap<BackupId, Merged>): boolean {
  const seen = new Set<BackupId>();
  const look = (backup: BackupId): boolean => {
    if (seen.has(backup)) return true;
    seen.add(backup);
    const found = held.get(backup);
    return found !== undefined && [...found.dependsOn].every(look);
  };
  return look(one.backup);
}

/** Why a backup is not counted among the others; null when it is. */
function outsideTime(backup: BackupId, now: Date): string | null {
  try {
    return timeOfBackup(backup).getTime() > now.getTime() ? 'from the future' : null;
  } catch {
    return 'not an id of ours'; // somebody else's tag or folder
  }
}

function newestFirst(backups: Iterable<BackupId>): BackupId[] {
  return [...new Set(backups)].sort().reverse();
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** The calendar day, `2026-11-22`, on which a time falls in a timezone. */
export function dayOf(time: Date, timezone = 'UTC'): string {
  let format = formats.get(timezone);
  if (format === undefined) {
    const parts = { year: 'numeric', month: '2-digit', day: '2-digit' } as const;
    format = new Intl.DateTimeFormat('en-CA', { timeZone: timezone, ...parts });
    formats.set(timezone, format); // making one takes longer than a thousand days
  }
  return format.format(time);
}

/** The Monday that begins the week of a day. */
function mondayOf(day: string): string {
  const noon = new Date(`${day}T12:00:00Z`);
  noon.setUTCDate(noon.getUTCDate() - ((noon.getUTCDay() + 6) % 7));
  return noon.toISOString().slice(0, 10);
}
