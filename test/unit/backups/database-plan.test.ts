import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  blockSizeFor,
  type FullDump,
  isWalkDue,
  planTonight,
  type Tonight,
} from '../../../src/backups/database-plan.js';
import { backupIdOf } from '../../../src/backups/id.js';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const first = Date.UTC(2026, 10, 1, 3, 17);
const idAfter = (ms: number) => backupIdOf(new Date(first + ms));

const full: FullDump = {
  ...{
    backup: idAfter(0),
    bytes: 900e6,
    sha256: 'a'.repeat(64),
    blockSize: 512,
    signatureSha256: 'b'.repeat(64),
  },
  ...{ pgMajor: 15, mastodon: '4.5.1', schema: '20261001000000', storedBytes: 300e6 },
};

/** The second night of a week in which nothing has changed but the rows. */
const quiet: Tonight = {
  ...{ backup: idAfter(dayMs), fullEveryMs: 7 * dayMs, full, signature: true },
  ...{ pgMajor: 15, mastodon: '4.5.1', schema: '20261001000000', lastDeltaBytes: 5e6 },
  offsites: [{ name: 'vault' }, { name: 'cloud' }],
};
const plan = (changes: Partial<Tonight>) => planTonight({ ...quiet, ...changes });

describe("tonight's database", () => {
  test('is a delta when the full dump is known, signed, young and everywhere', () => {
    expect(plan({})).toEqual({
      kind: 'delta',
      full: full.backup,
      why: 'its full dump is 24 hours old',
      warnings: [],
    });
  });

  test.each<[string, Partial<Tonight>]>([
    ['deltas are off', { fullEveryMs: null }],
    ['this host remembers no full dump yet', { full: null }],
    ['the signature of the full dump of 20261101T031700Z is lost or damaged', { signature: false }],
    ['the last full dump is 7 days old', { backup: idAfter(7 * dayMs) }],
    ['PostgreSQL is 17 now, and was 15', { pgMajor: 17 }],
    ['Mastodon is 4.6.0 now, and was 4.5.1', { mastodon: '4.6.0' }],
    ['Mastodon is of an unknown version now', { mastodon: null }],
    ["the database's schema has changed", { schema: '20261115000000' }],
    ['the last delta (101 MB) was more than a third of the full dump (300 MB)', { lastDeltaBytes: 101e6 }],
    [
      'cloud lacks the full dump of 20261101T031700Z: it is gone',
      { offsites: [{ name: 'vault' }, { name: 'cloud', lacks: 'it is gone' }] },
    ],
    ['the clock was set back: the last full dump is of 20261101T031700Z', { backup: idAfter(-hourMs) }],
  ])('is a full dump, because %s', (why, changes) => {
    const decided = plan(changes);
    expect(decided).toMatchObject({
      kind: 'full',
      why: expect.stringContaining(why) as string,
      warnings: [],
    });
    expect(decided.full).toBeUndefined();
  });

  test('is a full dump without what deltas need, with a warning that says how to get it', () => {
    const lacking = { what: 'rdiff is not on vps', next: 'apt-get install rdiff' };
    expect(plan({ lacking })).toMatchObject({
      ...{ kind: 'full', why: 'rdiff is not on vps' },
      warnings: [expect.stringMatching(/rdiff is not on vps.*apt-get install rdiff/)],
    });
    expect(plan({ lacking, fullEveryMs: null }).warnings).toEqual([]); // nobody wants one
  });

  test('is a delta up to a third of the full dump, and against an off-site nobody could ask', () => {
    expect(plan({ lastDeltaBytes: 100e6 }).kind).toBe('delta');
    expect(plan({ offsites: [] }).kind).toBe('delta');
  });

  test('is a full dump every seventh night, at whatever minute the nights begin', () => {
    const someNights = fc.array(fc.integer({ min: 0, max: 6 * hourMs - 1 }), {
      minLength: 40,
      maxLength: 40,
    });
    fc.assert(
      fc.property(someNights, fc.integer({ min: 1, max: 31 }), (jitters, days) => {
        let newest: FullDump | null = null;
        const fulls: number[] = [];
        for (const [night, jitter] of jitters.entries()) {
          const backup = idAfter(night * dayMs + jitter);
          const { kind } = planTonight({ ...quiet, backup, fullEveryMs: days * dayMs, full: newest });
          if (kind === 'delta') continue;
          fulls.push(night);
          newest = { ...full, backup };
        }
        expect(fulls).toEqual(jitters.map((_, night) => night).filter((night) => night % days === 0));
      }),
    );
  });
});

describe('the block size', () => {
  test('keeps the signature within 256 MiB of memory, is no larger than it must be, and 512 at least', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 44 }), (bytes) => {
        const size = blockSizeFor(bytes);
        const memory = (blockSize: number) => (bytes / blockSize) * 64;
        expect(memory(size)).toBeLessThanOrEqual(256 << 20);
        expect(Math.log2(size) % 1).toBe(0);
        if (size > 512) expect(memory(size / 2)).toBeGreaterThan(256 << 20);
        else expect(size).toBe(512);
      }),
    );
    expect([0, 2 ** 31, 2 ** 31 + 1, 100e9].map(blockSizeFor)).toEqual([512, 512, 1024, 32_768]);
  });
});

describe('the walk from full dump and delta to the dump', () => {
  const now = new Date(first);
  const ago = (ms: number) => new Date(first - ms).toISOString();

  test('is due when nobody knows of one, after five days and a half, and when the clock was set back', () => {
    expect([undefined, ago(5.5 * dayMs), ago(-dayMs), 'yesterday'].map((at) => isWalkDue(at, now))).toEqual([
      ...[true, true, true, true],
    ]);
    expect([ago(0), ago(5 * dayMs)].map((at) => isWalkDue(at, now))).toEqual([false, false]);
  });

  test.each(Array.from({ length: 14 }, (_, at) => at + 1))(
    'is done within seven nights of deltas, with a full dump every %d days, whatever nights are missed',
    (every) => {
      const missing = [() => false, ...[3, 5, 7, 11].map((n) => (night: number) => night % n === n - 1)];
      for (const isMissed of missing) {
        let [fullAt, walkedAt]: [number?, string?] = [];
        let [without, walks, deltas] = [0, 0, 0];
        for (let night = 0; night < 40; night += 1) {
          if (isMissed(night)) continue;
          const now = first + night * dayMs + ((night * 7) % 5) * 1_200_000; // at another minute each night
          const last = fullAt === undefined ? null : { ...full, backup: backupIdOf(new Date(fullAt)) };
          const tonight = { backup: backupIdOf(new Date(now)), full: last, fullEveryMs: every * dayMs };
          if (plan(tonight).kind === 'full') {
            fullAt = now;
            continue;
          }
          deltas += 1;
          if (isWalkDue(walkedAt, new Date(now))) {
            walkedAt = new Date(now).toISOString();
            [without, walks] = [0, walks + 1];
          } else without += 1;
          expect(without).toBeLessThan(7);
        }
        expect(walks).toBeGreaterThanOrEqual(Math.floor(deltas / 7));
        expect(walks).toBeLessThanOrEqual(7);
      }
    },
  );
});
