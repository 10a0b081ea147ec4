import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { type SampleInstance, startSampleInstance } from '../../sample/instance.js';
import { writeCode } from '../../sample/seed.js';
import type { Manifest } from '../../src/backups/manifest.js';
import type { PartName } from '../../src/backups/parts.js';
import type { InstanceConfig } from '../../src/config/configuration.js';
import { parseConfiguration } from '../../src/config/load.js';
import { Failure } from '../../src/errors.js';
import type { Host } from '../../src/hosts/host.js';
import { openHost } from '../../src/hosts/open.js';
import { archiveSecrets } from '../../src/mastodon/secrets-archive.js';
import type { FollowJob } from '../../src/offsite/offsite.js';
import { archivedEnvironment } from '../../src/proofs/environment.js';
import { loadDump } from '../../src/proofs/load.js';
import { compareArchive } from '../../src/restore/archived-files.js';
import { createBeside, dropBeside, takeBackLent } from '../../src/restore/beside.js';
import type { JournalRef } from '../../src/restore/journal.js';
import { lend, lendingPlace, takeBack } from '../../src/restore/lending.js';
import { planRestore } from '../../src/restore/plan.js';
import { settleOpenSwap } from '../../src/restore/settle.js';
import { prepareSwap, swapBack, swapIn } from '../../src/restore/swap.js';
import { findTarget, type RestoreTarget } from '../../src/restore/target.js';
import {
  expireUndo,
  listUndos,
  prepareUndo,
  swapUndo,
  takeUndoBack,
  undoOf,
} from '../../src/restore/undo.js';
import { aManifest } from '../unit/backups/a-manifest.js';

const backupId = '20261121T031700Z';
const extraName = `über "quoted" 'extra' file.conf`;

let folder: string;
let sample: SampleInstance;
let host: Host;
let extra: string;

interface Backup {
  readonly manifest: Manifest;
  readonly archive: string;
  readonly dump: string;
  readonly rdb: string;
}
let backup: Backup;

beforeAll(async () => {
  folder = await mkdtemp('/tmp/permafrost-restore-core-');
  await chmod(folder, 0o755);
  sample = await startSampleInstance({
    ...{ folder: join(folder, 'sample'), domain: 'core.example', redis: { appendonly: true } },
    size: { accounts: 20, statuses: 40, media: 4, mediaBytes: 2_000 },
  });
  host = openHost({ kind: 'local', folder: join(folder, 'host') });
  extra = join(folder, 'etc', extraName);
  await mkdir(join(folder, 'etc'));
  await writeFile(extra, 'as in the backup\n', { mode: 0o640 });
  await chown(extra, 0, (await stat(join(folder, 'sample/redis'))).gid);
  await mark('as in the backup');
  backup = await takeBackup(sample.envFile);
  // What happened since.
  await mark('as of today');
  await writeFile(extra, 'as of today\n');
  await chmod(extra, 0o600);
  // A container's user, who has no name here.
  await chown(extra, 54_321, 54_321);
  const env = await readFile(sample.envFile, 'utf8');
  await writeFile(sample.envFile, `${env}DEFAULT_LOCALE=de\n`);
});

afterAll(async () => {
  await host.close();
  await sample.stop({ remove: true });
  await rm(folder, { recursive: true, force: true });
});

/** Something in the database and in Redis that tells one state from another. */
async function mark(text: string): Promise<void> {
  const { postgres, redis } = sample.servers;
  await postgres.sql(sample.database.name, `UPDATE accounts SET note = '${text}' WHERE domain IS NULL;`);
  await redis.command('SET', 'marker', text);
  await redis.command('SET', 'cache:remembered', text);
}

async function takeBackup(envFile: string): Promise<Backup> {
  const { postgres, redis } = sample.servers;
  const into = await mkdtemp(join(folder, 'backup-'));
  const dump = join(into, 'database.dump');
  const connection = ['-h', postgres.socketFolder, '-p', String(postgres.port), '-U', 'postgres'];
  await execa(join(postgres.binaries, 'pg_dump'), [...connection, '-Fc', '-f', dump, sample.database.name]);
  const archive = join(into, 'secrets.tar');
  const secrets = await archiveSecrets(host, { paths: [envFile, extra], as: 'login', file: archive });
  await redis.command('SAVE');
  const rdb = join(into, 'dump.rdb');
  await execa('cp', [sample.redis.dump, rdb]);
  const { stdout: pgDump } = await execa(join(postgres.binaries, 'pg_dump'), ['--version']);
  const part = (name: PartName) => ({ name, bytes: 100_000, files: 1, entries: [] });
  const manifest: Manifest = {
    ...{ ...aManifest, backup: backupId, instance: sample.domain },
    versions: { ...aManifest.versions, mastodon: '4.6.5', schema: '20260611150940', pgDump, redis: '7.0.15' },
    database: {
      ...{
        name: sample.database.name,
        format: 'custom',
        sizeBytes: 10_000_000,
        encoding: 'UTF8',
        collate: 'C',
        ctype: 'C',
      },
      ...{ extensions: [{ name: 'plpgsql', version: '1.0' }], roles: 'not captured', rowCounts: {} },
      newestStatusAt: '2026-11-21T03:00:00.000Z',
    },
    secrets: { files: secrets.files, variables: [], proof: { proven: true, tested: 1, notes: [] } },
    parts: [part('database'), part('secrets'), part('redis')],
  };
  return { manifest, archive, dump, rdb };
}

function configured(more: Record<string, unknown> = {}): InstanceConfig {
  const { names, start, stop, status } = sample.services;
  const mastodon = {
    ...{ root: sample.root, extraFiles: [] },
    ...{ services: { kind: 'commands', names, start, stop, status }, ...more },
  };
  const text = stringify({
    instances: { [sample.domain]: { host: 'local', mastodon } },
    offsites: { vault: { kind: 'restic', repository: '/none', passwordFile: 'none' } },
  });
  const instance = parseConfiguration(text, join(folder, 'permafrost.yaml'), {}).instances[sample.domain];
  if (!instance) throw new Error('The sample is not in its own configuration.');
  return instance;
}

/** Runs a job to its end. `fault`: where the script of the swap is killed. */
function follower(fault?: string): FollowJob {
  return async (step, argv, options) => {
    const { okCodes = [0], env = {}, ...rest } = options;
    const faulty = fault === undefined ? env : { ...env, PERMAFROST_SWAP_FAULT: fault };
    const job = await host.startJob(`core_${step}`, argv, { ...rest, env: faulty });
    for (;;) {
      const status = await job.status();
      if (status.state === 'exited' || status.state === 'lost') {
        await job.forget();
        if (status.state === 'exited' && okCodes.includes(status.exitCode)) return status;
        throw new Failure('CommandFailed', `${step}: ${JSON.stringify(status)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
}
const follow = follower();

let restores = 0;
function newRef(): JournalRef {
  restores += 1;
  return { host, domain: sample.domain, restore: `20261122T0000${String(restores).padStart(2, '0')}Z` };
}

async function targetFor(
  parts: readonly PartName[],
  {
    config = configured(),
    on = host,
    from = backup,
  }: { config?: InstanceConfig; on?: Host; from?: Backup } = {},
): Promise<RestoreTarget> {
  const envFile = config.mastodon.envFile ?? `${config.mastodon.root}/.env.production`;
  const env = parts.includes('secrets')
    ? await archivedEnvironment(host, from.archive, from.manifest, envFile)
    : null;
  return findTarget({ config, host: on, manifest: from.manifest, parts, ...(env === null ? {} : { env }) });
}

/** Loads and lays a swap ready, as a restore does. */
async function prepare(
  ref: JournalRef,
  parts: readonly PartName[],
  target: RestoreTarget,
  from = backup,
): Promise<void> {
  let beside: string | undefined;
  if (parts.includes('database')) {
    const dump = `${from.dump}.${ref.restore}`;
    await execa('cp', [from.dump, dump]);
    const made = await createBeside({ target, restore: ref.restore, manifest: from.manifest, dump });
    const { load, work, fresh } = made;
    await loadDump({
      target: load,
      dump: made.dump,
      jobs: 2,
      manifest: from.manifest,
      work,
      follow,
      fresh,
      grants: true,
    });
    await takeBackLent(ref);
    beside = made.name;
  }
  await prepareSwap({
    ...{ target, restore: ref.restore, manifest: from.manifest, parts },
    ...(beside === undefined ? {} : { beside }),
    ...(parts.includes('secrets') ? { archive: from.archive } : {}),
    ...(parts.includes('redis') ? { rdb: from.rdb } : {}),
  });
}

async function file(path: string): Promise<string> {
  const { stdout } = await execa('stat', ['-c', '%a %U %G', path], { reject: false });
  return `${stdout} ${await readFile(path, 'utf8').catch(() => 'absent')}`;
}

async function databases(): Promise<string[]> {
  const said = await sample.servers.postgres.sql(
    'template1',
    `SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1`,
  );
  return said.split('\n');
}

/** All that is replaced, as its users would find it. */
async function world(database = sample.database.name): Promise<Record<string, unknown>> {
  const { postgres, redis } = sample.servers;
  const note = await postgres.sql(
    database,
    'SELECT DISTINCT note FROM accounts WHERE domain IS NULL',
    sample.database.user,
  );
  return {
    note,
    ...{ env: await file(sample.envFile), extra: await file(extra) },
    redis: await redis.command('GET', 'marker'),
    besides: (await readdir(join(folder, 'etc'))).length,
  };
}

const all: readonly PartName[] = ['database', 'secrets', 'redis'];

test('a restore puts the backup in place and keeps what was there; an undo brings it back; in time nothing is left', async () => {
  const ref = newRef();
  const today = await world();
  const target = await targetFor(all);
  expect(target).toMatchObject({ inPlace: true, admin: { superuser: true } });
  const plan = await planRestore({
    target,
    config: configured(),
    manifest: backup.manifest,
    parts: all,
    archive: backup.archive,
  });
  expect(plan.changedSecrets).toEqual(['DEFAULT_LOCALE']);
  expect(plan.changedFiles.sort()).toEqual([extra, sample.envFile].sort());
  expect(plan.services).toEqual(['web', 'sidekiq', 'streaming']);
  await prepare(ref, all, target);
  expect(await world()).toEqual(today);
  const { undoUntil, warnings } = await swapIn(ref, follow);
  expect(warnings).toEqual([]);
  const restored = await world();
  expect(restored).toMatchObject({ note: 'as in the backup', redis: 'as in the backup', besides: 1 });
  expect(restored['extra']).toBe('640 root redis as in the backup\n');
  expect(restored['env']).not.toContain('DEFAULT_LOCALE=de');
  expect(await sample.servers.redis.command('EXISTS', 'cache:remembered')).toBe('0');
  expect(await sample.servers.redis.command('INFO', 'replication')).toContain('role:master');
  // An append-only file that was not written anew would bring the former data back.
  expect(await sample.servers.redis.command('CONFIG', 'GET', 'appendonly')).toContain('yes');
  expect((await sample.servers.redis.command('CONFIG', 'GET', 'masterauth')).trim()).toBe('masterauth');
  const before = `mastodon_sample_before_${ref.restore.toLowerCase()}`;
  expect(await databases()).toContain(before);
  expect(Date.parse(undoUntil ?? '') - Date.now()).toBeGreaterThan(6.9 * 86_400_000);
  expect(await swapIn(ref, follow)).toMatchObject({ undoUntil });

  expect(await undoOf(ref)).toMatchObject({ undone: false, undoUntil, inPlace: true });
  expect((await expireUndo(ref)).left).toHaveLength(1);
  await mark('written after the restore');
  await prepareUndo(ref);
  await swapUndo(ref, follow);
  expect(await world()).toEqual(today);
  const undone = `mastodon_sample_undone_${ref.restore.toLowerCase()}`;
  expect(await databases()).toContain(undone);
  await expect(prepareUndo(ref)).rejects.toMatchObject({ type: 'NotFound' });

  // Somebody looks at it: it stays until they are gone.
  const { postgres } = sample.servers;
  const looking = execa(
    join(postgres.binaries, 'psql'),
    [
      '-h',
      postgres.socketFolder,
      '-p',
      String(postgres.port),
      '-U',
      'postgres',
      '-c',
      'SELECT pg_sleep(60)',
      undone,
    ],
    { reject: false },
  );
  await expect
    .poll(() =>
      postgres.sql('template1', `SELECT count(*) FROM pg_stat_activity WHERE datname = '${undone}'`),
    )
    .toBe('1');
  expect((await expireUndo(ref, { early: true })).left[0]).toContain('accessed by other users');
  await postgres.sql(
    'template1',
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${undone}'`,
  );
  await looking;
  expect((await expireUndo(ref, { now: new Date(Date.parse(undoUntil ?? '') + 1) })).left).toEqual([]);
  expect(await databases()).not.toContain(undone);
  expect(await listUndos(host, sample.domain)).toEqual([]);
  await dropBeside(ref);
  expect(await databases()).toEqual([sample.database.name, 'postgres']);
});

describe('a swap that is cut off', () => {
  const parts: readonly PartName[] = ['database', 'secrets'];
  const ref = { host: undefined as unknown as Host, domain: 'core.example', restore: '20261122T010000Z' };
  let today: Record<string, unknown>;
  let restored: Record<string, unknown>;
  let again: () => Promise<unknown>;

  beforeAll(async () => {
    ref.host = host;
    today = await world();
    const target = await targetFor(parts);
    await prepare(ref, parts, target);
    again = () =>
      prepareSwap({
        ...{ target, restore: ref.restore, manifest: backup.manifest, parts, archive: backup.archive },
        beside: `mastodon_sample_restore_${ref.restore.toLowerCase()}`,
      });
    await swapIn(ref, follow);
    restored = { ...(await world()), redis: today['redis'] };
    await swapBack(ref, follow);
    expect(await world()).toEqual(today);
  });

  afterAll(async () => {
    await swapBack(ref, follow);
    await dropBeside(ref);
    expect(await databases()).toEqual([sample.database.name, 'postgres']);
    expect(await listUndos(host, sample.domain)).toEqual([]);
  });

  // 0 and 1 are files, 2 is the database, 3 the cache.
  test.each(['forward', '0 kept', '1 placed', '2 renamed', 'whole'])(
    'killed at "%s": it goes on to the whole of it, and back to all as it was',
    async (point) => {
      await again();
      await expect(swapIn(ref, follower(point))).rejects.toThrow('137');
      await swapIn(ref, follow);
      expect(await world()).toEqual(restored);
      await swapBack(ref, follow);
      expect(await world()).toEqual(today);
    },
  );

  test.each(['0 staged', '1 placed', '2 renamed', '2 done'])(
    'killed at "%s": whoever starts the services finds all as it was, and it never goes on',
    async (point) => {
      await again();
      await expect(swapIn(ref, follower(point))).rejects.toThrow('137');
      await settleOpenSwap(host, sample.domain);
      expect(await world()).toEqual(today);
      await expect(swapIn(ref, follow)).rejects.toMatchObject({ type: 'LeaseLost' });
      expect(await world()).toEqual(today);
    },
  );

  test.each(['back', '2 undone'])(
    'killed at "%s" on its way back: it goes the whole way back',
    async (point) => {
      await again();
      await swapIn(ref, follow);
      await expect(swapBack(ref, follower(point))).rejects.toThrow('137');
      await swapBack(ref, follow);
      expect(await world()).toEqual(today);
    },
  );

  test('what was only prepared never goes forward under services that were started', async () => {
    await again();
    await settleOpenSwap(host, sample.domain);
    await expect(swapIn(ref, follow)).rejects.toMatchObject({ type: 'LeaseLost' });
    expect(await world()).toEqual(today);
  });

  test('a step that fails takes back what came before it, and says why', async () => {
    await again();
    const { postgres } = sample.servers;
    const aside = `mastodon_sample_before_${ref.restore.toLowerCase()}`;
    await postgres.sql('template1', `CREATE DATABASE ${aside}`);
    try {
      await expect(swapIn(ref, follow)).rejects.toMatchObject({
        type: 'SwapFailed',
        message: expect.stringMatching(/failed, and all is as it was before: .*already exists/s) as string,
      });
      expect(await world()).toEqual(today);
    } finally {
      await postgres.sql('template1', `DROP DATABASE ${aside}`);
    }
  });

  test('an undo that is cut off leaves the restore whole, or is whole itself', async () => {
    await again();
    await swapIn(ref, follow);
    for (const point of ['2 renamed']) {
      await prepareUndo(ref);
      await expect(swapUndo(ref, follower(point))).rejects.toThrow('137');
      await takeUndoBack(ref, follow);
      expect(await world()).toEqual(restored);
    }
    await prepareUndo(ref);
    await expect(swapUndo(ref, follower('2 begun'))).rejects.toThrow('137');
    await swapUndo(ref, follow);
    expect(await world()).toEqual(today);
    await expireUndo(ref, { early: true });
    expect(await databases()).toEqual([sample.database.name, 'postgres']);
  });
});

test('a Redis that is cut off while it is filled gets its own data back', async () => {
  const ref = newRef();
  const today = await world();
  const target = await targetFor(['redis']);
  const { servers } = sample;
  for (const point of ['0 kept', '0 done']) {
    await prepare(ref, ['redis'], target);
    await expect(swapIn(ref, follower(point))).rejects.toThrow('137');
    await swapBack(ref, follow);
    expect(await world()).toEqual(today);
    expect(await servers.redis.command('INFO', 'replication')).toContain('role:master');
  }
  await dropBeside(ref);
});

test('a Redis that does not take CONFIG is refused, and one that ceases to is left alone, and settled', async () => {
  const ref = newRef();
  const socket = join(folder, 'redis.sock');
  const { password } = sample.redis;
  const words = [
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--save',
    '',
    '--dir',
    folder,
    '--requirepass',
    password,
  ];
  const cli = async (...argv: string[]) =>
    (await execa('redis-cli', ['-s', socket, ...argv], { env: { REDISCLI_AUTH: password } })).stdout;
  const start = async (...more: string[]) => {
    const server = execa('redis-server', [...words, ...more], { reject: false, stdout: 'ignore' });
    await expect.poll(() => cli('PING').catch(() => '')).toBe('PONG');
    return async () => {
      server.kill('SIGKILL');
      await server;
    };
  };
  const found = await targetFor(['redis']);
  if (found.redis === null) throw new Error('The sample has a Redis.');
  const target = { ...found, redis: { ...found.redis, host: socket } };
  let stop = await start();
  try {
    const large = backup.manifest.parts.map((part) => ({ ...part, bytes: 1e15 }));
    const given = { target, restore: ref.restore, parts: ['redis'] as const, rdb: backup.rdb };
    await expect(prepareSwap({ ...given, manifest: { ...backup.manifest, parts: large } })).rejects.toThrow(
      /Redis .* cannot be restored: .* of memory available/,
    );
    await prepare(ref, ['redis'], target);
    await stop();
    stop = await start('--rename-command', 'CONFIG', '');
    await cli('SET', 'marker', 'living');
    await expect(swapIn(ref, follow)).rejects.toMatchObject({ type: 'SwapFailed' });
    await settleOpenSwap(host, sample.domain);
    expect(await cli('GET', 'marker')).toBe('living');
    await expect(prepare(ref, ['redis'], target)).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringContaining('does not take the command CONFIG') as string,
    });
  } finally {
    await stop();
    await dropBeside(ref);
  }
});

test('a link that the user of Mastodon has made leads root nowhere that is not theirs', async () => {
  const theirs = join(folder, 'theirs');
  const linked = join(theirs, 'env');
  await mkdir(theirs);
  await symlink(sample.envFile, linked);
  await symlink(theirs, join(folder, 'way'));
  const target = await targetFor(['secrets']);
  const look = async (envFile: string) => {
    const { manifest, archive } = backup;
    const given = { ...target, envFile };
    const { files } = await compareArchive(given, manifest, archive, join(folder, 'compared'), 'look');
    return files.find(({ path }) => path === envFile);
  };
  expect(await look(linked)).toMatchObject({ state: 'differs', resolved: sample.envFile });
  expect(await look(join(folder, 'way/absent'))).toMatchObject({ state: 'absent' });
  await chown(theirs, (await stat(join(folder, 'sample/redis'))).uid, 0);
  expect(await look(join(folder, 'way/absent'))).toMatchObject({ state: 'absent' });
  await expect(look(linked)).rejects.toMatchObject({
    type: 'Refused',
    next: expect.stringContaining(`name ${sample.envFile} itself`) as string,
  });
});

test('a dump is lent in no folder that somebody else has made', async () => {
  const { uid } = await stat(join(folder, 'sample/redis'));
  const squatted = join(folder, 'squatted');
  const closed = join(folder, 'closed');
  for (const path of [squatted, closed]) await mkdir(path);
  await chown(squatted, uid, 0);
  await chmod(closed, 0o700);
  /** Its own folder is closed to others, and somebody has taken the place in /var/tmp. */
  const squattedHost = new Proxy(host, {
    get(real, key) {
      if (key === 'facts') return async () => ({ ...(await real.facts()), folder: join(closed, 'own') });
      if (key === 'run')
        return async (argv: readonly string[], options?: Parameters<Host['run']>[1]) =>
          real.run(
            argv.map((word) => (word === '/var/tmp/permafrost-lent' ? squatted : word)),
            options,
          );
      const value: unknown = Reflect.get(real, key, real);
      return typeof value === 'function' ? value.bind(real) : value;
    },
  });
  const dump = join(folder, 'lent.dump');
  await writeFile(dump, 'ours', { mode: 0o600 });
  const as = { user: 'redis' };
  await expect(lendingPlace(squattedHost, as, dump, 'core', closed)).rejects.toMatchObject({
    type: 'Refused',
  });

  const lent = await lendingPlace(host, as, dump, 'core', closed);
  // What a lending that was cut off has left.
  const [own = ''] = lent.folders;
  await mkdir(own);
  await writeFile(lent.dump, 'half of');
  for (let times = 0; times < 2; times += 1) {
    await lend(host, lent, dump);
    expect(await file(lent.dump)).toBe('600 redis redis ours');
    expect((await execa('stat', ['-c', '%a %U', own, lent.work])).stdout).toBe('700 redis\n700 redis');
  }
  await takeBack(host, lent);
});

describe('a host with nothing but the code', () => {
  const name = `mastodön's "db"`;
  const role = 'mästodon role';
  let root: string;
  let config: InstanceConfig;
  let from: Backup;

  beforeAll(async () => {
    root = join(folder, 'empty/live');
    await writeCode(root);
    config = configured({ root });
    const envFile = join(root, '.env.production');
    const text = await readFile(sample.envFile, 'utf8');
    const own = {
      DB_NAME: `"${name.replaceAll('"', '\\"')}"`,
      DB_USER: `'${role}'`,
      DB_PASS: "'fresh#pass'",
    };
    const lines = text.split('\n').filter((line) => !/^DB_(?:NAME|USER|PASS)=/.test(line));
    await writeFile(
      envFile,
      [...lines, ...Object.entries(own).map(([key, value]) => `${key}=${value}`)].join('\n'),
      { mode: 0o600 },
    );
    from = await takeBackup(envFile);
    await rm(envFile);
  });

  afterAll(async () => {
    await sample.servers.postgres.sql('template1', `DROP ROLE IF EXISTS "${role}"`);
    await rm(join(folder, 'empty'), { recursive: true, force: true });
  });

  test('gets its role, database and files, with modes and owners; an undo takes them away again', async () => {
    const ref = newRef();
    const parts: readonly PartName[] = ['database', 'secrets'];
    await expect(targetFor(['database'], { config, from })).rejects.toMatchObject({ type: 'Refused' });
    const kept = await readFile(extra, 'utf8');
    await rm(join(folder, 'etc'), { recursive: true });
    const target = await targetFor(parts, { config, from });
    expect(target).toMatchObject({ inPlace: false, database: { exists: false, name } });
    const plan = await planRestore({ target, config, manifest: from.manifest, parts, archive: from.archive });
    expect(plan).toMatchObject({ inPlace: false, changedSecrets: [] });
    await prepare(ref, parts, target, from);
    const { undoUntil } = await swapIn(ref, follow);
    expect(await file(join(root, '.env.production'))).toContain('600 root root');
    expect(await file(extra)).toMatch(/^600 root \S+ as of today/);
    const asRole = async (sql: string) => {
      const words = [
        '-h',
        '127.0.0.1',
        '-p',
        String(sample.database.port),
        '-U',
        role,
        '-d',
        `dbname='${name.replace("'", "\\'")}'`,
      ];
      return (
        await execa(join(sample.servers.postgres.binaries, 'psql'), [...words, '-XAtc', sql], {
          env: { PGPASSWORD: 'fresh#pass' },
        })
      ).stdout;
    };
    expect(Number(await asRole('SELECT count(*) FROM accounts'))).toBeGreaterThan(10);
    await asRole('CREATE TABLE made_in_public (id int)');

    expect(await undoOf(ref)).toMatchObject({ undone: false, inPlace: false });
    await prepareUndo(ref);
    await swapUndo(ref, follow);
    expect(await file(join(root, '.env.production'))).toContain('absent');
    expect(await readdir(folder)).not.toContain('etc');
    expect(await databases()).not.toContain(name);
    expect(await expireUndo(ref, { now: new Date(Date.parse(undoUntil ?? '') + 1) })).toMatchObject({
      left: [],
    });
    expect(await databases()).toEqual([sample.database.name, 'postgres']);
    await sample.servers.postgres.sql('template1', `DROP ROLE "${role}"`);
    await mkdir(join(folder, 'etc'));
    await writeFile(extra, kept);
  });

  test('a restore that is given up leaves no role, database or folder', async () => {
    const ref = newRef();
    const target = await targetFor(['database', 'secrets'], { config, from });
    await prepare(ref, ['database', 'secrets'], target, from);
    await dropBeside(ref);
    expect(await databases()).toEqual([sample.database.name, 'postgres']);
    expect(
      await sample.servers.postgres.sql(
        'template1',
        `SELECT count(*) FROM pg_roles WHERE rolname = '${role}'`,
      ),
    ).toBe('0');
    expect(await listUndos(host, sample.domain)).toEqual([]);
  });
});

describe('who may do it, and to whom', () => {
  /** As where the superuser cannot be had. */
  const modest = (): Host =>
    new Proxy(host, {
      get(real, key) {
        if (key === 'facts') return async () => ({ ...(await real.facts()), root: false });
        const value: unknown = Reflect.get(real, key, real);
        return typeof value === 'function' ? value.bind(real) : value;
      },
    });

  test("Mastodon's role is enough when it may create databases, and what it lacks is said", async () => {
    const { postgres } = sample.servers;
    await postgres.sql('template1', 'ALTER ROLE mastodon NOCREATEDB');
    try {
      await expect(targetFor(['database'], { on: modest() })).rejects.toMatchObject({
        type: 'Refused',
        next: expect.stringContaining('CREATEDB') as string,
      });
    } finally {
      await postgres.sql('template1', 'ALTER ROLE mastodon CREATEDB');
    }
    const ref = newRef();
    const today = await world();
    const target = await targetFor(['database'], { on: modest() });
    expect(target.admin).toMatchObject({ superuser: false, access: { database: { user: 'mastodon' } } });
    await prepare(ref, ['database'], target);
    await swapIn(ref, follow);
    expect(await world()).toMatchObject({ note: 'as in the backup', env: today['env'] });
    await swapBack(ref, follow);
    expect(await world()).toEqual(today);
    await dropBeside(ref);
  });

  test('a password that has changed since the backup changes back with the secrets, and again with the undo', async () => {
    const { postgres } = sample.servers;
    const text = await readFile(sample.envFile, 'utf8');
    await postgres.sql('template1', "ALTER ROLE mastodon PASSWORD 'changed since'");
    await writeFile(sample.envFile, text.replace(/^DB_PASS=.*$/m, "DB_PASS='changed since'"));
    const opens = async (password: string) => {
      const words = [
        '-h',
        '127.0.0.1',
        '-p',
        String(sample.database.port),
        '-U',
        'mastodon',
        '-d',
        sample.database.name,
      ];
      const env = { PGPASSWORD: password };
      return (
        (await execa(join(postgres.binaries, 'psql'), [...words, '-Xc', 'SELECT 1'], { env, reject: false }))
          .exitCode === 0
      );
    };
    const ref = newRef();
    try {
      const target = await targetFor(['secrets']);
      await prepare(ref, ['secrets'], target);
      await swapIn(ref, follow);
      expect([await opens(sample.database.password), await opens('changed since')]).toEqual([true, false]);
      await prepareUndo(ref);
      await swapUndo(ref, follow);
      expect([await opens(sample.database.password), await opens('changed since')]).toEqual([false, true]);
    } finally {
      await expireUndo(ref, { early: true });
      await postgres.sql('template1', `ALTER ROLE mastodon PASSWORD '${sample.database.password}'`);
      await writeFile(sample.envFile, text);
    }
    expect(await readdir(join(folder, 'host'))).not.toContain('undo');
  });

  test('a database that is called postgres', async () => {
    const envFile = join(folder, 'env-postgres');
    const text = await readFile(sample.envFile, 'utf8');
    await writeFile(envFile, text.replace(/^DB_NAME=.*$/m, 'DB_NAME=postgres'));
    const config = configured({ envFile });
    const ref = newRef();
    const target = await targetFor(['database'], { config });
    await prepare(ref, ['database'], target);
    await swapIn(ref, follow);
    expect((await world('postgres'))['note']).toBe('as in the backup');
    await prepareUndo(ref);
    await swapUndo(ref, follow);
    expect(await sample.servers.postgres.sql('postgres', `SELECT to_regclass('accounts') IS NULL`)).toBe('t');
    await expireUndo(ref, { early: true });
    expect(await databases()).toEqual([sample.database.name, 'postgres']);
  });

  test("another instance's host is refused, unless that is meant", async () => {
    const envFile = join(folder, 'env-other');
    const text = await readFile(sample.envFile, 'utf8');
    await writeFile(envFile, text.replace(/^LOCAL_DOMAIN=.*$/m, 'LOCAL_DOMAIN=other.example'));
    const given = {
      config: configured({ envFile }),
      host,
      manifest: backup.manifest,
      parts: ['database'] as const,
    };
    await expect(findTarget(given)).rejects.toThrow('is that of other.example');
    const { warnings } = await findTarget({ ...given, allow: ['another-instance'] });
    expect(warnings[0]).toContain('Allowed (another-instance)');
    // The env file is right, and its database is another's.
    await writeFile(envFile, text);
    const { postgres } = sample.servers;
    await postgres.sql(
      sample.database.name,
      `UPDATE statuses SET uri = replace(uri, 'core.example', 'third.example') WHERE local`,
    );
    try {
      await expect(findTarget(given)).rejects.toThrow('is that of third.example');
    } finally {
      await postgres.sql(
        sample.database.name,
        `UPDATE statuses SET uri = replace(uri, 'third.example', 'core.example') WHERE local`,
      );
    }
  });

  test('a damaged instance is found: no env file, no database, Redis away', async () => {
    const envFile = join(folder, 'env-damaged');
    const text = await readFile(sample.envFile, 'utf8');
    await writeFile(
      envFile,
      text.replace(/^DB_NAME=.*$/m, 'DB_NAME=dropped').replace(/^REDIS_PORT=.*$/m, 'REDIS_PORT=1'),
    );
    const target = await targetFor(['database'], { config: configured({ envFile }) });
    expect(target).toMatchObject({ inPlace: true, live: null, redis: null, database: { exists: false } });
    expect(target.services.services).toMatchObject({ kind: 'commands' });
  });

  test('dumps of newer servers and schemas newer than the code are refused with the way out', async () => {
    const target = await targetFor(['database']);
    const given = { target, config: configured(), parts: ['database'] as const };
    const of = (versions: Partial<Manifest['versions']>): Manifest => ({
      ...backup.manifest,
      versions: { ...backup.manifest.versions, ...versions },
    });
    const newer = of({ schema: '29991231000000', mastodon: '9.0.0' });
    await expect(planRestore({ ...given, manifest: newer })).rejects.toMatchObject({
      type: 'Refused',
      next: expect.stringMatching(/install Mastodon 9\.0\.0 or newer.*--allow newer-schema/) as string,
    });
    const older = await planRestore({ ...given, manifest: of({ schema: '20230907150100' }) });
    expect(older.next.join()).toContain('db:migrate');
    await expect(
      planRestore({ ...given, manifest: of({ pgDump: 'pg_dump (PostgreSQL) 99.1' }) }),
    ).rejects.toMatchObject({
      next: expect.stringMatching(/install PostgreSQL 99/) as string,
    });
    const { lost } = await planRestore({ ...given, manifest: backup.manifest });
    expect(lost.detail).toMatch(/\d+ posts of people here/);
    const huge = {
      ...backup.manifest,
      parts: backup.manifest.parts.map((part) => ({ ...part, bytes: 1e18 })),
    };
    await expect(planRestore({ ...given, manifest: huge })).rejects.toThrow(/free on .* are needed/);
  });
});
