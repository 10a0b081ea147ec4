import { describe, expect, test } from 'vitest';
import type { MediaRecord } from '../../../src/backups/media-index.js';
import { Failure } from '../../../src/errors.js';
import { lastWord } from '../../../src/offsite/last-word.js';
import { type Expected, verifyCopy } from '../../../src/offsite/verify.js';
import { type Held, memoryOffsite, record, sha256 } from './memory-offsite.js';

const ref = { backup: '20261122T031700Z', name: 'media' as const };
const scratch = '/nowhere';

/** Files `f0` … with contents `c0` …, all on the off-site. */
function captured(count: number, pool = false) {
  const records = Array.from({ length: count }, (_, at) => record(`f${String(at)}`, `content ${String(at)}`));
  const held: Held = {
    entries: new Map(),
    media: new Map(records.map((file, at) => [pool ? file.sha256 : file.path, `content ${String(at)}`])),
    pool,
  };
  return { records, held };
}

function expecting(
  records: readonly MediaRecord[],
  more: Partial<Expected['media']> & { read?: (path: string) => boolean } = {},
): Expected {
  const { read = () => true, ...rest } = more;
  return {
    entries: [],
    media: {
      ref,
      async *files() {
        for (const one of records) yield { record: one, read: read(one.path) };
      },
      ...rest,
    },
  };
}

const damage = new Failure('VerifyFailed', 'pack 1234 is broken');

/** What tools really end with. */
const log = (msg: string) => JSON.stringify({ level: 'error', msg, object: 'database.dump.zst' });
describe.each([
  [
    'rclone',
    `${log('failed to authenticate decrypted block - bad password?')}\n${JSON.stringify({ level: 'notice', msg: 'Transferred: 1 B' })}`,
    'failed to authenticate decrypted block - bad password?',
  ],
  [
    'age and zstd',
    'age: error: failed to decrypt and authenticate payload chunk\nage: report unexpected or unhelpful errors at https://filippo.io/age/report\nzstd: /*stdin*\\: unexpected end of file',
    'age: error: failed to decrypt and authenticate payload chunk',
  ],
  [
    'rsync',
    'rsync: [sender] read errors mapping "/x": Input/output error (5)\nrsync error: some files/attrs were not transferred (code 23) at main.c(1338)',
    'rsync: [sender] read errors mapping "/x": Input/output error (5)',
  ],
  ['nobody', '', 'exit code 9'],
])('what %s says', (_, stderr, words) => {
  test('is told in its words, not as its log has it', () => {
    expect(lastWord({ exitCode: 9, stderr })).toBe(words);
  });
});

describe('small parts', () => {
  const entries = (contents: Record<string, string>) =>
    Object.entries(contents).map(([path, content]) => ({
      ref: { backup: ref.backup, name: 'database' as const },
      entry: { path, bytes: Buffer.byteLength(content), sha256: sha256(content) },
    }));

  test('are named with what is wrong with each: changed, cut off, not there', async () => {
    const { copy } = memoryOffsite({
      entries: new Map([
        ['whole', 'as it was'],
        ['changed', 'as it iz'],
        ['cut', 'as'],
      ]),
      media: new Map(),
    });
    const wanted = entries({ whole: 'as it was', changed: 'as it is', cut: 'as it was', gone: 'x' });
    const { findings, checked } = await verifyCopy(copy, { entries: wanted }, { scratch });
    expect(findings).toEqual([
      { part: 'database', path: 'changed', problem: 'came back changed' },
      { part: 'database', path: 'cut', problem: 'came back with 2 bytes instead of 9' },
      { part: 'database', path: 'gone', problem: 'cannot be read (no such file)' },
    ]);
    expect(checked.bytes).toBe(9 + 8 + 2);
  });

  test('that cannot be opened here are compared as they were stored', async () => {
    const stored = { entry: 'dump', path: 'dump.age', bytes: 6, sha256: sha256('cipher') };
    const { copy } = memoryOffsite({ entries: new Map(), media: new Map() });
    const closed = (content: string) => ({
      ...copy,
      opens: false,
      readStored: () =>
        memoryOffsite({ entries: new Map([['dump', content]]), media: new Map() }).copy.readEntry(
          { ...ref },
          'dump',
        ),
      readEntry: () => Promise.reject(new Error('there is no key')),
    });
    const wanted = entries({ dump: 'plain' }).map((one) => ({
      ...one,
      ref: { ...one.ref, files: [stored] },
    }));
    expect((await verifyCopy(closed('cipher'), { entries: wanted }, { scratch })).findings).toEqual([]);
    expect((await verifyCopy(closed('cifher'), { entries: wanted }, { scratch })).findings).toEqual([
      { part: 'database', path: 'dump', problem: 'came back changed' },
    ]);
  });

  test('an off-site that cannot be asked is a failure, and no finding', async () => {
    const { copy } = memoryOffsite({ entries: new Map(), media: new Map() });
    const away = { ...copy, readEntry: () => Promise.reject(new Failure('OffsiteUnavailable', 'no route')) };
    await expect(verifyCopy(away, { entries: entries({ dump: 'x' }) }, { scratch })).rejects.toThrow(
      'no route',
    );
  });
});

describe.each([
  ['by path', false],
  ['in a pool', true],
])('media %s', (_, pool) => {
  test('that are all there are found so, and counted', async () => {
    const { records, held } = captured(30, pool);
    const { findings, checked } = await verifyCopy(memoryOffsite(held).copy, expecting(records), { scratch });
    expect(findings).toEqual([]);
    expect(checked).toEqual({ files: 30, bytes: records.reduce((sum, { size }) => sum + size, 0) });
  });

  test('missing, cut off, changed and unreadable ones are each named; those not read back show only by their size', async () => {
    const { records, held } = captured(12, pool);
    const key = (at: number) => {
      const file = records[at];
      if (file === undefined) throw new Error('no such file');
      return pool ? file.sha256 : file.path;
    };
    held.media.delete(key(1));
    held.media.set(key(2), 'cut');
    held.media.set(key(3), 'kontent 3');
    held.media.set(key(9), 'kontent 9'); // not read tonight
    held.media.delete(key(10));
    held.unreadable = new Set([key(4)]);
    const read = (path: string) => Number(path.slice(1)) < 8;
    const { copy } = memoryOffsite(held);
    const { findings, damaged } = await verifyCopy(copy, expecting(records, { read }), { scratch });
    const found = findings.map(({ path, problem }) => `${path ?? ''} ${problem}`);
    expect(found).toEqual([
      'f1 is missing',
      'f2 has 3 bytes instead of 9',
      'f3 came back changed',
      'f4 cannot be read',
      'f10 is missing',
    ]);
    expect([...damaged].sort()).toEqual([key(2), key(3), key(4)].sort());
  });

  test('none is called damaged for not opening when nothing does: with another password every file looks so', async () => {
    const { records, held } = captured(6, pool);
    const empty = record('empty', '');
    held.unreadable = new Set(held.media.keys());
    held.media.set(pool ? empty.sha256 : empty.path, ''); // opens with every password
    const all = [...records, empty];
    const { findings, damaged } = await verifyCopy(memoryOffsite(held).copy, expecting(all), { scratch });
    expect(findings.map(({ path, problem }) => `${path ?? ''} ${problem}`)).toEqual(
      records.map(({ path }) => `${path} cannot be read`),
    );
    expect(damaged).toEqual([]);
  });

  test('none is called damaged where the off-site gives up at the first that is', async () => {
    const { records, held } = captured(6, pool);
    const { copy } = memoryOffsite(held);
    const breaking = {
      ...copy,
      readAllMedia: undefined,
      async *readMedia(...[part, wanted, at]: Parameters<typeof copy.readMedia>) {
        const [first = [], rest = []] = [wanted.slice(0, 1), wanted.slice(1)];
        yield* copy.readMedia(part, first, at);
        if (rest.length > 0) throw damage;
      },
    } as unknown as typeof copy;
    const { findings, damaged } = await verifyCopy(breaking, expecting(records), { scratch });
    expect(findings.length).toBeGreaterThan(3);
    expect(damaged).toEqual([]);
  });

  test('a list of a million files ends when nobody wants it any more', async () => {
    const { records, held } = captured(3, pool);
    const { copy } = memoryOffsite(held);
    let listed = 0;
    const endless = {
      ...copy,
      async *listMedia() {
        for (; listed < 1000; listed += 1) yield await Promise.resolve({ key: String(listed), size: 1 });
      },
    } as unknown as typeof copy;
    const tell = () => {
      if (listed >= 10) throw new Error('cancelled');
    };
    const reading = verifyCopy(endless, expecting(records, { read: () => false }), { scratch, tell });
    await expect(reading).rejects.toThrow('cancelled');
    expect(listed).toBe(10);
  });

  test('a list that lags behind what is there is no finding', async () => {
    const { records, held } = captured(5, pool);
    held.unlisted = new Set([...held.media.keys()].slice(0, 2));
    const { findings } = await verifyCopy(
      memoryOffsite(held).copy,
      expecting(records, { read: () => false }),
      { scratch },
    );
    expect(findings).toEqual([]);
  });

  test('what users deleted meanwhile is no finding and is told; later it is excused', async () => {
    const { records, held } = captured(5, pool);
    const [first = '', second = ''] = [...held.media.keys()];
    held.media.delete(first);
    held.media.delete(second);
    const changedAtSource = (files: readonly MediaRecord[]) =>
      Promise.resolve(new Set(files.filter(({ path }) => path === 'f0').map(({ path }) => path)));
    const { copy } = memoryOffsite(held);
    const now = await verifyCopy(copy, expecting(records, { changedAtSource }), { scratch });
    expect(now.findings).toEqual([{ part: 'media', path: 'f1', problem: 'is missing' }]);
    expect(now.changedMeanwhile).toEqual(['f0']);
    const later = await verifyCopy(copy, expecting(records, { excused: new Set(['f0', 'f1']) }), { scratch });
    expect(later.findings).toEqual([]);
  });

  test('a stream of everything that breaks leaves the rest to batches, which name what is damaged', async () => {
    const { records, held } = captured(8, pool);
    const [broken = ''] = held.media.keys();
    held.unreadable = new Set([broken]);
    held.breaksAtEnd = damage;
    const { copy, asked } = memoryOffsite(held);
    const { findings } = await verifyCopy(copy, expecting(records), { scratch });
    expect(asked.all).toBe(1);
    expect(findings).toContainEqual({ part: 'media', path: 'f0', problem: 'cannot be read' });
    expect(findings.filter(({ path }) => path !== undefined)).toHaveLength(1);
  });

  test('a list that breaks is a finding, and what is read back is compared all the same', async () => {
    const { records, held } = captured(8, pool);
    const [, changed = ''] = held.media.keys();
    held.media.set(changed, 'kontent 1');
    held.listBreaks = damage;
    const { findings } = await verifyCopy(memoryOffsite(held).copy, expecting(records), { scratch });
    expect(findings).toEqual([
      { part: 'media', problem: 'cannot be listed: pack 1234 is broken' },
      { part: 'media', path: 'f1', problem: expect.stringMatching(/changed|bytes/) as string },
    ]);
  });
});

test('a content that serves several files of a pool is sent, listed and read once, and its loss is that of all', async () => {
  const records = ['a', 'b', 'c'].map((path) => record(path, 'the same'));
  const held: Held = { entries: new Map(), media: new Map([[sha256('the same'), 'the same']]), pool: true };
  const { copy, asked } = memoryOffsite(held);
  const readSome = { read: (path: string) => path !== 'c' };
  const fine = await verifyCopy({ ...copy, readAllMedia: undefined } as never, expecting(records, readSome), {
    scratch,
  });
  expect(fine).toMatchObject({ findings: [], checked: { files: 2, bytes: 16 } });
  expect(asked.batches.flat()).toHaveLength(1);
  held.media.clear();
  const lost = await verifyCopy(copy, expecting(records), { scratch });
  expect(lost.findings.map(({ path }) => path)).toEqual(['a', 'b', 'c']);
});

test('media are asked for in batches of a gigabyte and some thousand files', async () => {
  const small = Array.from({ length: 7_000 }, (_, at) => record(`s${String(at)}`, `s${String(at)}`));
  const large = Array.from({ length: 3 }, (_, at) => ({
    ...record(`l${String(at)}`, `l${String(at)}`),
    size: 600 << 20,
  }));
  const records = [...small, ...large];
  const held: Held = { entries: new Map(), media: new Map() };
  for (const { path } of records) held.media.set(path, path);
  const { copy, asked } = memoryOffsite(held);
  await verifyCopy({ ...copy, readAllMedia: undefined } as never, expecting(records), { scratch });
  const read = asked.batches.slice(0, -3); // the last ones look at the large files again, whose size is not true
  expect(read.flat().length).toBe(7_003);
  expect(read.every((batch) => batch.length <= 5_000)).toBe(true);
  expect(
    read.every((batch) => batch.length === 1 || batch.reduce((sum, { size }) => sum + size, 0) <= 1 << 30),
  ).toBe(true);
});

test('more differences than can be looked at are counted, some are named, and the source is not asked for each', async () => {
  const { records, held } = captured(20_050);
  held.media.clear();
  const asking: number[] = [];
  const changedAtSource = (files: readonly MediaRecord[]) => {
    asking.push(files.length);
    return Promise.resolve(new Set<string>());
  };
  const { copy, asked } = memoryOffsite(held);
  const { findings } = await verifyCopy(copy, expecting(records, { changedAtSource, read: () => false }), {
    scratch,
  });
  expect(findings[0]?.problem).toContain('20050 files');
  expect(findings).toHaveLength(101);
  expect(asked.batches).toEqual([]);
  expect(asking).toEqual([10_000, 10_000]);
});

test('users may delete any number of files meanwhile: the source is asked by ten thousand, and what is left is named', async () => {
  const { records, held } = captured(20_050);
  held.media.clear();
  const changedAtSource = (files: readonly MediaRecord[]) => {
    expect(files.length).toBeLessThanOrEqual(10_000);
    return Promise.resolve(new Set(files.map(({ path }) => path).filter((path) => path !== 'f15000')));
  };
  const { copy } = memoryOffsite(held);
  const expected = expecting(records, { changedAtSource, read: () => false });
  const { findings, changedMeanwhile } = await verifyCopy(copy, expected, { scratch });
  expect(findings).toEqual([{ part: 'media', path: 'f15000', problem: 'is missing' }]);
  expect(changedMeanwhile).toHaveLength(20_049);
});
