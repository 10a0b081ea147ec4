import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backupIdOf } from '../../../src/backups/id.js';
import { partNames } from '../../../src/backups/parts.js';
import { retain, retainParts, type Retention } from '../../../src/backups/retention.js';

const none: Retention = { last: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
const kept = (backups: readonly string[], policy: Partial<Retention>, timezone?: string) =>
  retain(backups, { ...none, ...policy }, timezone)
    .filter((decision) => decision.keep)
    .map((decision) => decision.backup);
const at = (time: string) => backupIdOf(new Date(time));

/** One a night at 03:17 UTC, the oldest first. */
function nights(first: string, count: number): string[] {
  const start = Date.parse(`${first}T03:17:00Z`);
  return Array.from({ length: count }, (_, day) => backupIdOf(new Date(start + day * 86_400_000)));
}

const aBackup = fc
  .integer({ min: Date.UTC(2020, 0) / 1000, max: Date.UTC(2030, 0) / 1000 })
  .map((seconds) => backupIdOf(new Date(seconds * 1000)));
const someBackups = fc.array(aBackup, { minLength: 1, maxLength: 80 });
const aPolicy = fc.record({
  ...{ last: fc.nat(5), daily: fc.nat(10), weekly: fc.nat(6), monthly: fc.nat(14), yearly: fc.nat(3) },
});
const aZone = fc.constantFrom(
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Pacific/Kiritimati',
  'Asia/Kolkata',
);

describe('retention', () => {
  test('never empties: the newest stays, whatever the policy', () => {
    fc.assert(
      fc.property(someBackups, aPolicy, aZone, (backups, policy, zone) => {
        const newest = [...backups].sort().at(-1);
        expect(kept(backups, policy, zone)).toContain(newest);
      }),
    );
    expect(kept(nights('2026-01-01', 9), none)).toEqual(['20260109T031700Z']);
  });

  test('applied twice it removes nothing more', () => {
    fc.assert(
      fc.property(someBackups, aPolicy, aZone, (backups, policy, zone) => {
        const once = kept(backups, policy, zone);
        expect(kept(once, policy, zone)).toEqual(once);
      }),
    );
  });

  test('does not depend on the order in which an off-site lists them, nor on one being listed twice', () => {
    const shuffled = someBackups.chain((backups) =>
      fc.tuple(
        fc.constant(backups),
        fc.shuffledSubarray([...backups, ...backups], { minLength: backups.length * 2 }),
      ),
    );
    fc.assert(
      fc.property(shuffled, aPolicy, ([backups, mixed], policy) => {
        expect(retain(mixed, policy)).toEqual(retain(backups, policy));
      }),
    );
  });

  test('a more generous policy keeps all that a stricter one keeps', () => {
    fc.assert(
      fc.property(someBackups, aPolicy, aPolicy, (backups, policy, more) => {
        const generous = {
          last: policy.last + more.last,
          daily: policy.daily + more.daily,
          weekly: policy.weekly + more.weekly,
          monthly: policy.monthly + more.monthly,
          yearly: policy.yearly + more.yearly,
        };
        expect(kept(backups, generous)).toEqual(expect.arrayContaining(kept(backups, policy)));
      }),
    );
  });

  test('every backup is decided upon once, and one that stays says why', () => {
    fc.assert(
      fc.property(someBackups, aPolicy, (backups, policy) => {
        const decisions = retain(backups, policy);
        expect(decisions.map(({ backup }) => backup)).toEqual([...new Set(backups)].sort().reverse());
        for (const { keep, reasons } of decisions) expect(reasons.length > 0).toBe(keep);
      }),
    );
  });

  test('a night that is never missed: over a year of nights no period loses its backup early', () => {
    const policy = { last: 3, daily: 7, weekly: 4, monthly: 12 };
    let there: string[] = [];
    for (const backup of nights('2025-01-01', 400)) {
      there = kept([...there, backup], policy);
      expect(there[0]).toBe(backup);
    }
    expect(new Set(there.map((backup) => backup.slice(0, 6))).size).toBe(12);
    expect(there.filter((backup) => backup >= '20260129')).toHaveLength(7);
  });
});

describe('what is kept', () => {
  test('the newest of each of so many days, several a day', () => {
    const backups = ['2026-03-01T01:00Z', '2026-03-01T23:00Z', '2026-03-02T05:00Z', '2026-03-02T06:00Z'].map(
      at,
    );
    expect(kept(backups, { daily: 2 })).toEqual([at('2026-03-02T06:00Z'), at('2026-03-01T23:00Z')]);
    expect(kept(backups, { last: 3 })).toHaveLength(3);
  });

  test('days without a backup are not counted', () => {
    const backups = ['2026-03-01T03:00Z', '2026-03-10T03:00Z', '2026-06-30T03:00Z'].map(at);
    expect(kept(backups, { daily: 3 })).toHaveLength(3);
  });

  test('weeks begin on Monday, across a new year too', () => {
    // 2027-01-01 is a Friday: Monday 2026-12-28 to Sunday 2027-01-03 is one week.
    const backups = nights('2026-12-27', 9);
    expect(kept(backups, { weekly: 3 })).toEqual([
      '20270104T031700Z',
      '20270103T031700Z',
      '20261227T031700Z',
    ]);
  });

  test('the newest of each month and year', () => {
    const backups = nights('2025-11-01', 120);
    expect(kept(backups, { monthly: 2 })).toEqual(['20260228T031700Z', '20260131T031700Z']);
    expect(kept(backups, { yearly: 2 })).toEqual(['20260228T031700Z', '20251231T031700Z']);
  });

  test("days are those of the schedule's timezone", () => {
    const backups = ['2026-03-01T22:30Z', '2026-03-01T23:30Z'].map(at);
    expect(kept(backups, { daily: 2 }, 'UTC')).toHaveLength(1);
    expect(kept(backups, { daily: 2 }, 'Europe/Berlin')).toHaveLength(2);
  });

  test('the days on which the clocks change are one day each, long or short', () => {
    // In Berlin 2026-03-29 has 23 hours and 2026-10-25 has 25, with 02:30 twice.
    const short = ['2026-03-28T23:30Z', '2026-03-29T00:30Z', '2026-03-29T21:30Z', '2026-03-29T22:30Z'];
    const long = ['2026-10-24T22:30Z', '2026-10-25T00:30Z', '2026-10-25T01:30Z', '2026-10-25T22:30Z'];
    expect(kept(short.map(at), { daily: 9 }, 'Europe/Berlin')).toEqual(
      ['2026-03-29T22:30Z', '2026-03-29T21:30Z'].map(at),
    );
    expect(kept(long.map(at), { daily: 9 }, 'Europe/Berlin')).toEqual([at('2026-10-25T22:30Z')]);
  });
});

describe('backups of some parts', () => {
  const night = (day: number) => ({
    backup: `202601${String(day).padStart(2, '0')}T031700Z`,
    parts: partNames,
  });
  const hourly = (day: number, hour: number) => ({
    backup: `202601${String(day).padStart(2, '0')}T${String(hour).padStart(2, '0')}3000Z`,
    parts: ['database'] as const,
  });

  test('never push out the last copies of the other parts', () => {
    const policy = { ...none, last: 3, daily: 2 };
    const all = [1, 2, 3, 4].flatMap((day) => [
      night(day),
      ...[9, 12, 15, 18, 21].map((at) => hourly(day, at)),
    ]);
    const kept = retainParts(all, policy).filter(({ keep }) => keep);
    const full = kept.filter(({ backup }) => backup.endsWith('T031700Z')).map(({ backup }) => backup);
    expect(full).toEqual([night(4), night(3), night(2)].map(({ backup }) => backup)); // the last 3 with media
    expect(kept.map(({ backup }) => backup)).toContain(hourly(4, 21).backup);
    expect(kept.length).toBeLessThan(all.length);
  });

  test('are the same as others where every backup has all parts', () => {
    const all = Array.from({ length: 28 }, (_, at) => night(at + 1));
    const policy = { last: 3, daily: 7, weekly: 4, monthly: 12, yearly: 0 };
    expect(retainParts(all, policy)).toEqual(
      retain(
        all.map(({ backup }) => backup),
        policy,
      ),
    );
  });
});
