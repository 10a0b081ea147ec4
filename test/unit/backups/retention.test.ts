import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backupIdOf } from '../../../src/backups/id.js';
import { partNames } from '../../../src/backups/parts.js';
import {
  type Held,
  removalOrder,
  retain,
  retainParts,
  type Retention,
} from '../../../src/backups/retention.js';

const none: Retention = { last: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
const kept = (backups: readonly string[], policy: Partial<Retention>, timezone?: string) =>
  retain(backups, { ...none, ...policy }, timezone)
    .filter((decision) => decision.keep)
    .map((decision) => decision.backup);
const later = { now: new Date('2035-01-01T00:00:00Z') };
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
    const kept = retainParts(all, policy, 'UTC', later).filter(({ keep }) => keep);
    const full = kept.filter(({ backup }) => backup.endsWith('T031700Z')).map(({ backup }) => backup);
    expect(full).toEqual([night(4), night(3), night(2)].map(({ backup }) => backup)); // the last 3 with media
    expect(kept.map(({ backup }) => backup)).toContain(hourly(4, 21).backup);
    expect(kept.length).toBeLessThan(all.length);
  });

  test('are the same as others where every backup has all parts', () => {
    const all = Array.from({ length: 28 }, (_, at) => night(at + 1));
    const policy = { last: 3, daily: 7, weekly: 4, monthly: 12, yearly: 0 };
    expect(retainParts(all, policy, 'UTC', later)).toEqual(
      retain(
        all.map(({ backup }) => backup),
        policy,
      ),
    );
  });
});

/** An off-site as it may be: deltas against full dumps that are there, or not any more; marks; readers; twins. */
const anOffsite = fc
  .array(
    fc.record({
      backup: aBackup,
      parts: fc.subarray([...partNames], { minLength: 1 }),
      full: fc.option(fc.nat(), { nil: undefined, freq: 2 }),
      orphan: fc.boolean(),
      kept: fc.option(fc.constantFrom('forever', '2024-06-01', '2025-02-28', '2029-12-31', 'odd'), {
        nil: undefined,
        freq: 4,
      }),
      reading: fc.nat(5).map((one) => one === 0),
    }),
    { minLength: 1, maxLength: 40 },
  )
  .map((all): Held[] => {
    const ids = all.map(({ backup }) => backup).sort();
    return all.map(({ backup, parts, full, orphan, kept, reading }) => {
      const older = ids.filter((id) => id < backup);
      const base = full === undefined || older.length === 0 ? undefined : older[full % older.length];
      const dependsOn = orphan && full !== undefined ? '20190101T000000Z' : base;
      return {
        ...{ backup, parts, reading },
        ...(dependsOn === undefined ? {} : { dependsOn }),
        ...(kept === undefined ? {} : { kept }),
      };
    });
  });
const aNow = fc
  .integer({ min: Date.UTC(2024, 0), max: Date.UTC(2031, 0) })
  .map((ms) => ({ now: new Date(ms) }));
const aStrictPolicy = fc.record({
  ...{ last: fc.nat(1), daily: fc.nat(1), weekly: fc.nat(1), monthly: fc.nat(1), yearly: fc.nat(1) },
});
const aCase = fc.tuple(anOffsite, fc.oneof(aPolicy, aStrictPolicy), aZone, aNow);

describe('one off-site, whatever lies there', () => {
  const staying = (held: readonly Held[], ...how: [Retention, string, { now: Date }]) => {
    const kept = new Set(retainParts(held, ...how).flatMap(({ backup, keep }) => (keep ? [backup] : [])));
    return held.filter(({ backup }) => kept.has(backup));
  };

  test('applied to what stays, it removes nothing more', () => {
    fc.assert(
      fc.property(aCase, ([held, ...how]) => {
        const once = staying(held, ...how);
        expect(staying(once, ...how)).toEqual(once);
      }),
      { numRuns: 500 },
    );
  });

  test('what stays has the full dump that it needs, as long as that was there', () => {
    fc.assert(
      fc.property(aCase, ([held, ...how]) => {
        const there = new Set(held.map(({ backup }) => backup));
        const left = new Set(staying(held, ...how).map(({ backup }) => backup));
        for (const { backup, dependsOn } of held)
          if (left.has(backup) && dependsOn !== undefined && there.has(dependsOn))
            expect(left).toContain(dependsOn);
      }),
      { numRuns: 500 },
    );
  });

  test('the newest that can be restored stays, of every part; so do marked ones, and those being read', () => {
    fc.assert(
      fc.property(aCase, ([held, ...how]) => {
        const left = staying(held, ...how).map(({ backup }) => backup);
        const past = held.filter(({ backup }) => backup <= at(how[2].now.toISOString()));
        const restorable = new Set<string>();
        for (const { backup, dependsOn } of [...held].sort((one, other) =>
          one.backup < other.backup ? -1 : 1,
        ))
          if (dependsOn === undefined || restorable.has(dependsOn)) restorable.add(backup);
        for (const part of partNames) {
          const whole = past.filter(
            ({ backup, parts }) => parts.includes(part) && (part !== 'database' || restorable.has(backup)),
          );
          const newest = whole
            .map(({ backup }) => backup)
            .sort()
            .at(-1);
          if (newest !== undefined) expect(left).toContain(newest);
        }
        for (const { backup, kept, reading } of held)
          if (reading || kept === 'forever' || kept === 'odd') expect(left).toContain(backup);
      }),
      { numRuns: 500 },
    );
  });

  test('the order of the list and twins in it make no difference', () => {
    fc.assert(
      fc.property(
        aCase.chain(([held, ...how]) =>
          fc.tuple(
            fc.constant(held),
            fc.shuffledSubarray([...held, ...held], { minLength: held.length * 2 }),
            fc.constant(how),
          ),
        ),
        ([held, mixed, how]) => {
          const tidy = (decisions: ReturnType<typeof retainParts>) =>
            decisions.map(({ backup, keep, reasons }) => ({ backup, keep, reasons }));
          expect(tidy(retainParts(mixed, ...how))).toEqual(tidy(retainParts(held, ...how)));
        },
      ),
    );
  });

  test('removed one by one, no delta outlives its full dump', () => {
    fc.assert(
      fc.property(aCase, ([held, ...how]) => {
        const there = new Set(held.map(({ backup }) => backup));
        const complete = held.filter(({ dependsOn }) => dependsOn === undefined || there.has(dependsOn));
        const going = retainParts(held, ...how).flatMap(({ backup, keep }) => (keep ? [] : [backup]));
        for (const gone of removalOrder(going, held)) {
          there.delete(gone);
          for (const { backup, dependsOn } of complete)
            if (there.has(backup) && dependsOn !== undefined) expect(there).toContain(dependsOn);
        }
      }),
    );
  });
});

describe('what speaks for a backup', () => {
  const policy = { ...none, last: 1 };
  const now = { now: new Date('2026-11-22T12:00:00Z') };
  const decide = (held: readonly Partial<Held>[], zone = 'UTC', when = now) =>
    Object.fromEntries(
      retainParts(
        held.map((one) => ({ backup: '', parts: partNames, ...one })),
        policy,
        zone,
        when,
      ).map(({ backup, reasons }) => [backup, reasons]),
    );

  test('a delta that stays keeps its full dump, which says for whom', () => {
    const [full, first, second] = ['20261115T031700Z', '20261116T031700Z', '20261121T031700Z'];
    expect(
      decide([{ backup: full }, { backup: first, dependsOn: full }, { backup: second, dependsOn: full }]),
    ).toEqual({ [second]: ['newest', 'last'], [first]: [], [full]: [`full dump of ${second}`] });
  });

  test('a delta without its full dump takes no place: the newest that can be restored stays', () => {
    const [good, orphan] = ['20261115T031700Z', '20261121T031700Z'];
    expect(decide([{ backup: good }, { backup: orphan, dependsOn: '20261101T031700Z' }])).toEqual({
      [orphan]: ['newest', 'last'],
      [good]: ['newest', 'last'],
    });
  });

  test("a mark holds to the end of its day in the instance's timezone", () => {
    const held = [{ backup: '20261121T031700Z' }, { backup: '20261101T031700Z', kept: '2026-11-22' }];
    const old = '20261101T031700Z';
    const midnight = { now: new Date('2026-11-22T23:30:00Z') }; // 00:30 of the 23rd in Berlin, 18:30 in New York
    expect(decide(held)[old]).toEqual(['kept until 2026-11-22']);
    expect(decide(held, 'Europe/Berlin', midnight)[old]).toEqual([]);
    expect(decide(held, 'America/New_York', midnight)[old]).toEqual(['kept until 2026-11-22']);
    expect(decide([held[0] ?? {}, { backup: old, kept: 'forever' }])[old]).toEqual(['kept']);
  });

  test('of two marks the later one holds', () => {
    const twice = ['2026-11-20', '2027-01-31'].map((kept) => ({ backup: '20261101T031700Z', kept }));
    expect(decide([{ backup: '20261121T031700Z' }, ...twice])['20261101T031700Z']).toEqual([
      'kept until 2027-01-31',
    ]);
  });

  test('one that is being read stays, and its full dump with it', () => {
    const reading = { backup: '20261116T031700Z', dependsOn: '20261115T031700Z', reading: true };
    expect(decide([{ backup: '20261121T031700Z' }, reading, { backup: '20261115T031700Z' }])).toMatchObject({
      '20261116T031700Z': ['being read'],
      '20261115T031700Z': ['full dump of 20261116T031700Z'],
    });
  });

  test('made while the clock was ahead, it takes no place from those of today', () => {
    const [ahead, tonight, before] = ['20300101T031700Z', '20261122T031700Z', '20261121T031700Z'];
    expect(decide([{ backup: ahead }, { backup: tonight }, { backup: before }])).toEqual({
      [ahead]: ['from the future'],
      [tonight]: ['newest', 'last'],
      [before]: [],
    });
    const whenItsTimeHasCome = { now: new Date('2030-01-02T00:00:00Z') };
    expect(decide([{ backup: ahead }, { backup: tonight }], 'UTC', whenItsTimeHasCome)).toEqual({
      [ahead]: ['newest', 'last'],
      [tonight]: [],
    });
  });

  test('what is no id of ours is left alone, and keeps nothing else from being decided upon', () => {
    expect(decide([{ backup: '20261121T031700Z' }, { backup: '20269999T999999Z' }])).toEqual({
      '20269999T999999Z': ['not an id of ours'],
      '20261121T031700Z': ['newest', 'last'],
    });
  });
});
