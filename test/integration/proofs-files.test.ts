import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Manifest } from '../../src/backups/manifest.js';
import { writeMediaIndex } from '../../src/backups/media-index.js';
import type { Host } from '../../src/hosts/host.js';
import { localHost } from '../../src/hosts/local.js';
import { countKeysCommand, readRedisCounts } from '../../src/mastodon/redis-counts.js';
import { archiveSecrets } from '../../src/mastodon/secrets-archive.js';
import type { Received } from '../../src/offsite/receive.js';
import { archivedEnvironment } from '../../src/proofs/environment.js';
import { proveFiles } from '../../src/proofs/files.js';
import { present } from '../../src/present.js';
import { startScratchRedis } from '../../src/scratch/redis.js';
import { openScratch, type Scratch } from '../../src/scratch/scratch.js';
import { aManifest } from '../unit/backups/a-manifest.js';
import { memoryOffsite, record } from '../unit/offsite/memory-offsite.js';
import { findings } from './proofs/ground.js';

const domain = 'files.example';

let folder: string;
let host: Host;
let scratch: Scratch;
let sound: Received;
const media = new Map(
  Array.from({ length: 30 }, (_, at) => [`accounts/avatars/${String(100 + at)}/original/ünï "${String(at)}".png`, `face ${String(at)}`]), // prettier-ignore
);
const records = [...media]
  .map(([path, content]) => record(path, content))
  .sort((one, other) => Buffer.compare(one.pathBytes, other.pathBytes));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-proofs-files-'));
  chmodSync(folder, 0o711);
  host = localHost({ folder: join(folder, 'host') });
  scratch = await openScratch(
    host,
    { instance: domain, id: '20261121T031700Z' },
    { folder: join(folder, 'drills') },
  );
  sound = await received();
});
afterAll(async () => {
  await scratch?.close();
  await host?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A backup as `receiveParts` leaves it: secrets of real files, the dump of a real Redis. */
async function received(): Promise<Received> {
  const came = await scratch.place('received');
  const index = join(came, 'media.index');
  writeFileSync(index, Buffer.concat([...writeMediaIndex(records)]));
  const root = join(folder, 'etc');
  mkdirSync(join(root, 'mastodon-web.service.d'), { recursive: true });
  const put = (name: string, text: string, mode: number) => {
    writeFileSync(join(root, name), text);
    chmodSync(join(root, name), mode);
    return join(root, name);
  };
  const paths = [
    put('.env.production', `LOCAL_DOMAIN=${domain}\nDB_HOST=of-the-file\nSECRET_KEY_BASE=s3cret\n`, 0o600),
    put(
      'mastodon-web.service',
      `[Service]\nWorkingDirectory=${root}\nEnvironment="DB_HOST=of the unit" A=1\n`,
      0o644,
    ),
    put('mastodon-web.service.d/more.conf', `[Service]\nEnvironmentFile=-${root}/*.env\n`, 0o644),
    put('web.env', 'A=2\n', 0o640),
  ];
  chownSync(join(root, 'web.env'), 33, 33);
  const archive = join(came, 'secrets.tar');
  const secrets = await archiveSecrets(host, { paths, as: 'login', file: archive });
  const redis = await fillRedis(join(came, 'dump.rdb'));
  const bytes = records.reduce((sum, { size }) => sum + size, 0);
  const small = (['secrets', 'redis'] as const).map((name) => ({ name, bytes: 1, files: 1, entries: [] }));
  const manifest: Manifest = {
    ...aManifest,
    instance: domain,
    moment: { kind: 'pinned', at: '2026-11-22T03:17:01Z', quiesced: true },
    secrets: { files: secrets.files, variables: [], proof: { proven: true, tested: 1, notes: [] } },
    redis: {
      savedAt: '2026-11-22T03:17:01Z',
      ...{ aof: false, newer: false },
      ...redis,
      queues: { ...redis.queues },
      sets: { ...redis.sets },
    },
    parts: [...small, { name: 'media', bytes, files: records.length, entries: [] }],
  };
  return {
    ...{ manifest, findings: [], checked: { files: 4, bytes: 12_345 }, signature: 'valid' },
    files: { manifest: '', secrets: archive, rdb: join(came, 'dump.rdb'), mediaIndex: index },
  };
}

/** What Mastodon would have there, a key that has expired when it is looked at included, in a database that is not 0. */
async function fillRedis(rdb: string) {
  const redis = await startScratchRedis(scratch);
  try {
    const lua = `redis.call('SELECT', 3)
redis.call('SADD', 'queues', 'default', 'push', 'empty')
for i = 1, 7 do redis.call('RPUSH', 'queue:default', i) end
redis.call('RPUSH', 'queue:push', 'job')
redis.call('ZADD', 'retry', 1, 'a', 2, 'b')
for i = 1, 50 do redis.call('SET', 'feed:' .. i, i) end
for i = 1, 30 do redis.call('SET', 'brief:' .. i, i, 'PX', 1500) end
return redis.call('DBSIZE')`;
    await redis.cli(['EVAL', lua, '0']);
    const counts = readRedisCounts(await redis.cli(countKeysCommand(3)));
    await redis.cli(['SAVE']);
    await host.run(['cp', '--', join(scratch.folder, 'redis/dump.rdb'), rdb]);
    return counts;
  } finally {
    await redis.stop();
  }
}

function prove(change: Partial<Received> = {}, held = new Map(media), mediaSample = 20) {
  const { copy } = memoryOffsite({ entries: new Map(), media: held });
  return proveFiles({ host, scratch, copy, mediaSample, received: { ...sound, ...change } });
}

test('what was sealed passes; a sample of the media is read, and all else whole', async () => {
  const { proof, sample } = await prove();
  expect(findings(proof)).toEqual({});
  expect(proof.notProven).toEqual([]);
  expect(proof.checks.map(({ name, detail }) => `${name}: ${detail}`)).toEqual([
    expect.stringMatching(/^manifest-signature: signed by/),
    expect.stringMatching(/^part-hashes: 4 files/),
    expect.stringMatching(/^media-index: whole: 30 files/),
    expect.stringMatching(/^media-sample: 20 media files taken at random/),
    expect.stringMatching(/^secrets-archive: 4 files/),
    expect.stringMatching(
      /^redis-dump: loads into Redis .*: \d+ keys.*8 jobs in 3 queues and 2 in retry.*as many/,
    ),
  ]);
  expect(sample).toMatchObject({ files: 20 });
});

test('the environment of the archive alone: the env file, what the unit sets, and its own files', async () => {
  const archive = sound.files.secrets ?? '';
  const env = await archivedEnvironment(host, archive, sound.manifest, '/elsewhere/.env.production');
  expect(Object.fromEntries(env ?? [])).toEqual({
    ...{ LOCAL_DOMAIN: domain, DB_HOST: 'of the unit', SECRET_KEY_BASE: 's3cret', A: '2' },
  });
  expect(await archivedEnvironment(host, archive, sound.manifest, '/x/other.env')).toBeNull();
});

test('a manifest that was edited, parts that came back changed, media missing or swapped, an index of other media', async () => {
  const [first, second] = records;
  const held = new Map(media);
  held.set(first?.path ?? '', 'another face');
  held.delete(second?.path ?? '');
  const { proof } = await prove(
    {
      findings: [
        { part: 'manifest', problem: 'was changed after it was sealed: its signature does not fit' },
        { part: 'database', path: 'database.dump', problem: 'came back changed' },
      ],
      signature: 'broken',
      manifest: { ...sound.manifest, parts: sound.manifest.parts.map((part) => (part.name === 'media' ? { ...part, files: 31 } : part)) }, // prettier-ignore
    },
    held,
    30,
  );
  expect(findings(proof)).toEqual({
    'manifest-signature': expect.stringMatching(/was changed after it was sealed/),
    'part-hashes': expect.stringMatching(/database \(database\.dump\) came back changed/),
    'media-index': expect.stringMatching(/lists 30 files .* the manifest says 31/),
    'media-sample': expect.stringMatching(/^2 of 30 .*came back changed.*is missing/),
  });
});

test('an index that is cut off, an archive that is cut off, a dump of Redis with a flipped bit', async () => {
  const cut = async (path: string | undefined, name: string, change: (copy: string) => void) => {
    const copy = join(await scratch.place('changed'), name);
    writeFileSync(copy, readFileSync(path ?? ''));
    change(copy);
    return copy;
  };
  const { secrets, mediaIndex, rdb } = sound.files;
  const files = {
    manifest: '',
    secrets: await cut(secrets, 'secrets.tar', (copy) => truncateSync(copy, 700)),
    mediaIndex: await cut(mediaIndex, 'media.index', (copy) => truncateSync(copy, 2000)),
    rdb: await cut(rdb, 'flipped.rdb', (copy) => {
      const bytes = readFileSync(copy);
      const half = Math.floor(bytes.length / 2);
      bytes.writeUInt8(bytes.readUInt8(half) ^ 4, half);
      writeFileSync(copy, bytes);
    }),
  };
  const { proof } = await prove({ files });
  expect(findings(proof)).toEqual({
    'secrets-archive': expect.stringMatching(/cannot be read|is missing/),
    'media-index': expect.stringMatching(/the media index is not valid/),
    'redis-dump': expect.stringMatching(/does not load this RDB/),
  });
  expect(proof.notProven).toEqual([expect.stringMatching(/^media-sample: without the index/)]);
});

test("another server's dump of Redis, a newer one's, and files of other modes than the manifest's", async () => {
  const { manifest } = sound;
  const { redis, secrets } = manifest;
  if (redis === undefined || secrets === undefined) throw new Error('a manifest without its parts');
  const other: Manifest = {
    ...manifest,
    redis: { ...redis, queues: { ...redis.queues, default: 9 }, keys: 4000 },
    secrets: {
      ...secrets,
      files: secrets.files
        .filter(({ path }) => !path.endsWith('more.conf'))
        .map((file) => (file.path.endsWith('production') ? { ...file, mode: '0644' } : file)),
    },
  };
  const found = findings((await prove({ manifest: other })).proof);
  expect(found['redis-dump']).toMatch(/of another server: default has 7 jobs instead of 9$/);
  expect(found['secrets-archive']).toMatch(/\.env\.production is 0600 .* instead of 0644.*more\.conf is not in the manifest/); // prettier-ignore
  // Of a server that was at work meanwhile, only the keys can be compared, roughly.
  const unquiesced = present({ ...other, moment: undefined });
  expect(findings((await prove({ manifest: unquiesced })).proof)['redis-dump']).toMatch(/holds \d+ keys .*there were 4000/); // prettier-ignore

  // An earlier version did not note whether it was saved once more: a job more is nothing then.
  const queues = { ...redis.queues, default: 9 };
  const unknown = present({ ...redis, queues, newer: undefined });
  expect(findings((await prove({ manifest: { ...manifest, redis: unknown } })).proof)).toEqual({});

  const newer = join(await scratch.place('changed'), 'newer.rdb');
  const bytes = readFileSync(sound.files.rdb ?? '');
  bytes.write('REDIS0099', 'latin1');
  writeFileSync(newer, bytes);
  const { proof } = await prove({ files: { ...sound.files, rdb: newer } });
  expect(findings(proof)).toEqual({});
  expect(proof.notProven).toEqual([
    expect.stringMatching(/^redis-dump: .*cannot read this RDB: .*version 99.* install a Redis there/),
  ]);
});
