import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { Manifest } from '../../../src/backups/manifest.js';
import { Failure, type FailureType } from '../../../src/errors.js';
import { localHost } from '../../../src/hosts/local.js';
import type { Offsite } from '../../../src/offsite/offsite.js';
import { sweepDumps, wholeDump } from '../../../src/offsite/whole-dump.js';
import { present } from '../../../src/present.js';

/** A full dump and a delta, made by rdiff and zstd as a night makes them, in a folder that can be damaged. */

const here = mkdtempSync(join(tmpdir(), 'permafrost-whole-dump-'));
const host = localHost({ folder: join(here, 'host') });
afterAll(async () => {
  await host.close();
  rmSync(here, { recursive: true });
});

const full = '20261121T031700Z';
const backup = '20261122T031700Z';
const lines = (changed: (line: number) => boolean) =>
  Array.from(
    { length: 60_000 },
    (_, line) => `${String(line)}\t${changed(line) ? 'edited' : 'as it was'}\n`,
  ).join('');
const dumps = { [full]: lines(() => false), [backup]: lines((line) => line % 700 === 0) };

let place: string;
const there = (name: string) => join(place, name);
let files: Record<string, string>;

const sha256 = (content: string | Buffer) => createHash('sha256').update(content).digest('hex');
const entry = (path: string, file: string) => {
  const content = readFileSync(there(file));
  return { path, bytes: content.length, sha256: sha256(content) };
};

beforeEach(() => {
  place = mkdtempSync(join(here, 'place-'));
  files = { 'database.dump': 'full.dump', 'database.delta.zst': 'night.delta.zst' };
  writeFileSync(there('full.dump'), dumps[full]);
  writeFileSync(there('night.dump'), dumps[backup]);
  const run = (script: string) => execaSync('bash', ['-c', script], { cwd: place });
  run(
    'rdiff -b 512 -S 16 signature full.dump sig && rdiff delta sig night.dump - | zstd -3 -q -c > night.delta.zst',
  );
  manifests = {
    [full]: manifest(full, [entry('database.dump', 'full.dump')]),
    [backup]: manifest(backup, [entry('database.delta.zst', 'night.delta.zst')], {
      full,
      ...{ fullBytes: statSync(there('full.dump')).size, fullSha256: sha256(dumps[full]) },
      ...{ dumpBytes: statSync(there('night.dump')).size, dumpSha256: sha256(dumps[backup]) },
    }),
  };
});

let manifests: Record<string, Manifest>;
type Delta = NonNullable<NonNullable<Manifest['database']>['delta']>;

function manifest(id: string, entries: Manifest['parts'][number]['entries'], delta?: Delta): Manifest {
  const time = '2026-11-22T03:17:00Z';
  return {
    ...{
      version: 1,
      permafrost: '0.3.0',
      backup: id,
      instance: 'example.social',
      startedAt: time,
      sealedAt: time,
    },
    quiesce: { mode: 'none', services: [], downtimeMs: 0 },
    versions: { mastodon: null, schema: null, postgresql: null, pgDump: null, redis: null },
    database: {
      ...{ name: 'mastodon', format: 'custom', sizeBytes: 0, encoding: 'UTF8', collate: 'C', ctype: 'C' },
      ...{ extensions: [], roles: 'not captured', rowCounts: {}, newestStatusAt: null },
      ...present({ delta }),
    },
    parts: [{ name: 'database', bytes: 0, files: 1, entries }],
    ...{ omitted: [], timings: [], warnings: [] },
    copy: {
      offsite: 'folder',
      kind: 'folder',
      verifiedAt: time,
      checked: { files: 0, bytes: 0 },
      bytesAdded: 0,
    },
  };
}

/** What an off-site tells of that folder. */
function copy(changes: Partial<Offsite> = {}): Offsite {
  const stored = (id: string) => ({ backup: id, parts: ['database' as const], key: id });
  const offsite: Partial<Offsite> = {
    ...{ name: 'folder', kind: 'folder', opens: true },
    list: () => Promise.resolve({ sealed: [stored(backup), stored(full)], unsealed: [] }),
    readManifest: ({ backup: id }) => Promise.resolve(JSON.stringify(manifests[id])),
    sizeOfEntry: (_, path) =>
      Promise.resolve(statSync(there(files[path] ?? ''), { throwIfNoEntry: false })?.size ?? null),
    readEntry: (_, path) => host.stream(['cat', there(files[path] ?? '')]),
    readStored: (_, path) => host.stream(['cat', there(files[path] ?? '')]),
    ...changes,
  };
  return offsite as Offsite;
}

const reader = { host, scratch: join(here, 'scratch/example.social-folder') };
const prove = (of = backup, changes: Partial<Offsite> = {}) => {
  const told = manifests[of];
  if (told === undefined) throw new Error(`no manifest of ${of}`);
  return wholeDump({ copy: copy(changes), reader, manifest: told });
};

function flip(name: string, at: number): void {
  const content = readFileSync(there(name));
  content.writeUInt8(content.readUInt8(at) ^ 1, at);
  writeFileSync(there(name), content);
}

describe('the dump of a backup', () => {
  test('is put together of full dump and delta, into a file that is private', async () => {
    const told = manifests[backup];
    if (told === undefined) throw new Error('no manifest');
    const { findings, dump } = await wholeDump({ copy: copy(), reader, manifest: told, keep: true });
    expect(findings).toEqual([]);
    expect(readFileSync(dump?.path ?? '', 'utf8')).toBe(dumps[backup]);
    expect([statSync(dump?.path ?? '').mode & 0o777, statSync(dump?.folder ?? '').mode & 0o777]).toEqual([
      ...[0o600, 0o700],
    ]);
    rmSync(dump?.folder ?? '', { recursive: true });
    expect(readdirSync(join(here, 'scratch'))).toEqual([]);
  });

  test('is proven where nobody wants the file', async () => {
    const [fullBytes, deltaBytes] = [
      statSync(there('full.dump')).size,
      statSync(there('night.delta.zst')).size,
    ];
    expect(await prove()).toEqual({ findings: [], checked: { files: 2, bytes: fullBytes + deltaBytes } });
    expect(await prove(full)).toEqual({ findings: [], checked: { files: 1, bytes: fullBytes } });
  });

  const of = `of ${full}, the full dump that the delta needs,`;
  test.each<[string, () => void, string, string]>([
    [
      'a full dump with a flipped bit',
      () => flip('full.dump', 5000),
      'database.dump',
      `${of} came back changed`,
    ],
    [
      'a full dump cut short',
      () => truncateSync(there('full.dump'), 5000),
      'database.dump',
      `${of} has 5000 bytes there instead of`,
    ],
    ['a full dump that is gone', () => rmSync(there('full.dump')), 'database.dump', `${of} is not there`],
    [
      'another full dump in its place, with its manifest',
      () => {
        writeFileSync(there('full.dump'), dumps[full].replaceAll('as it was', 'not as is'));
        manifests[full] = manifest(full, [entry('database.dump', 'full.dump')]);
      },
      'database.dump',
      `${of} is another one than the delta was made against`,
    ],
    ['a delta with a flipped bit', () => flip('night.delta.zst', 200), 'database.delta.zst', ''],
    [
      'a delta cut short',
      () => truncateSync(there('night.delta.zst'), 200),
      'database.delta.zst',
      'came back with 200 bytes instead of',
    ],
    [
      'a delta that gives another dump',
      () => {
        const told = manifests[backup]?.database?.delta;
        if (told) told.dumpSha256 = '0'.repeat(64);
      },
      'database.delta.zst',
      'gives another dump than it was made from',
    ],
  ])('%s is found and named', async (_, damage, path, problem) => {
    damage();
    const { findings } = await prove();
    expect(findings).toEqual([
      { part: 'database', path, problem: expect.stringContaining(problem) as string },
    ]);
    expect(readdirSync(join(here, 'scratch'))).toEqual([]);
  });

  test('a backup of the full dump that is gone, or has lost its database, is named', async () => {
    const stored = { backup: full, parts: ['media' as const], key: full };
    const without = await prove(backup, { list: () => Promise.resolve({ sealed: [], unsealed: [full] }) });
    const partly = await prove(backup, { list: () => Promise.resolve({ sealed: [stored], unsealed: [] }) });
    expect(without.findings[0]?.problem).toContain('no backup of that name is sealed');
    expect(partly.findings[0]?.problem).toContain('lost its database');
  });

  test('what the off-site itself finds damaged is named; one that does not answer is none of the backup', async () => {
    const says = (type: FailureType) => ({
      sizeOfEntry: () => Promise.reject(new Failure(type, 'a blob is not found in the index')),
    });
    const { findings } = await prove(backup, says('VerifyFailed'));
    expect(findings[0]?.problem).toContain('cannot be found (a blob is not found in the index)');
    await expect(prove(backup, says('OffsiteUnavailable'))).rejects.toThrow('a blob');
  });

  test('where nobody can open it, what lies there is what was sent', async () => {
    const sealed = {
      ...entry('database.dump', 'full.dump'),
      entry: 'database.dump',
      path: 'database.dump.zst.age',
    };
    const told = manifests[full]?.parts[0];
    if (told) told.stored = [sealed];
    expect((await prove(full, { opens: false })).findings).toEqual([]);
    flip('full.dump', 100);
    expect((await prove(full, { opens: false })).findings).toEqual([
      { part: 'database', path: 'database.dump', problem: 'came back changed' },
    ]);
  });

  test('is refused where there is no room for it, before anything is read', async () => {
    const told = manifests[full]?.parts[0]?.entries[0];
    if (told) told.bytes = 2 ** 50;
    const read = () => Promise.reject(new Error('read'));
    await expect(prove(full, { readEntry: read })).rejects.toMatchObject({
      ...{ type: 'Refused', message: expect.stringMatching(/has .* GB free/) as string },
    });
  });

  test('that a killed process has left is removed; what a living one, or one elsewhere, is at stays for two days', async () => {
    const scratch = join(here, 'scratch');
    let own = '';
    const readEntry: Offsite['readEntry'] = () => {
      own = readdirSync(scratch)[0] ?? '';
      return host.stream(['cat', there('full.dump')]);
    };
    expect((await prove(full, { readEntry })).findings).toEqual([]);
    const { pid } = spawnSync('true');
    const dead = own.replace(/-dump-\d+/, `-dump-${String(pid)}`);
    const elsewhere = dead.replace(/\.[0-9a-f]{12}\./, '.000000000000.');
    const work = 'a-dump-b.example-vault-night-work';
    const forgotten = elsewhere.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
    const days = { [dead]: 0, [own]: 0, [elsewhere]: 0, [forgotten]: 3, [work]: 3 };
    try {
      for (const [name, old] of Object.entries(days)) {
        mkdirSync(join(scratch, name));
        writeFileSync(join(scratch, name, 'database.dump'), 'secret');
        const at = Date.now() / 1000 - old * 86_400;
        utimesSync(join(scratch, name), at, at);
      }
      await sweepDumps(host, scratch);
      expect(readdirSync(scratch).sort()).toEqual([own, elsewhere, work].sort());
    } finally {
      for (const name of Object.keys(days)) rmSync(join(scratch, name), { recursive: true, force: true });
    }
  });

  test('is left alone, with nothing behind, when the off-site breaks off', async () => {
    const broken: Offsite['readEntry'] = () =>
      host.stream([
        'sh',
        '-c',
        'head -c 100000 "$1"; echo "connection lost" >&2; exit 1',
        'sh',
        there('full.dump'),
      ]);
    expect((await prove(full, { readEntry: broken })).findings).toEqual([
      { part: 'database', path: 'database.dump', problem: 'cannot be read (connection lost)' },
    ]);
    expect(readdirSync(join(here, 'scratch'))).toEqual([]);
  });
});

mkdirSync(join(here, 'scratch'), { recursive: true });
