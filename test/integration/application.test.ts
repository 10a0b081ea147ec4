import { randomBytes } from 'node:crypto';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type SampleInstance, startSampleInstance } from '../../sample/instance.js';
import { backupIdOf } from '../../src/backups/id.js';
import type { Manifest } from '../../src/backups/manifest.js';
import type { DrillApplication } from '../../src/config/configuration.js';
import type { Host } from '../../src/hosts/host.js';
import { localHost } from '../../src/hosts/local.js';
import { parseEnvFile } from '../../src/mastodon/env-file.js';
import { mediaIndexArgv, mediaIndexFiles, mediaIndexScript } from '../../src/mastodon/media-index.js';
import { type DatabaseAccess, psql } from '../../src/mastodon/psql.js';
import { proveApplication } from '../../src/proofs/application.js';
import { type Cluster, startCluster } from '../../src/scratch/cluster.js';
import { openScratch, type Scratch } from '../../src/scratch/scratch.js';
import { aManifest } from '../unit/backups/a-manifest.js';

/** The sample's own web process, booted in a scratch on a restored copy, beside the living instance. */

vi.setConfig({ testTimeout: 120_000 });

const web = join(dirname(fileURLToPath(import.meta.url)), '../../sample/services/web.mjs');

let folder: string;
let sample: SampleInstance;
let host: Host;
let scratch: Scratch;
let cluster: Cluster;
let database: DatabaseAccess;
let env: Map<string, string>;
let media: { folder: string; index: string };
let code: string;

beforeAll(async () => {
  folder = await mkdtemp('/tmp/permafrost-application-');
  await execa('chmod', ['755', folder]);
  sample = await startSampleInstance({ folder: join(folder, 'sample'), size: { statuses: 400, media: 24 } });
  host = localHost({ folder: join(folder, 'host') });
  scratch = await openScratch(host, { instance: sample.domain, id: backupIdOf(new Date()) });
  cluster = await startCluster(scratch);
  await psql(host, cluster.access, 'CREATE DATABASE restored;');
  await restoreDatabase();
  database = await cluster.databaseForApplication('restored');
  media = await restoreMedia();
  env = parseEnvFile(await host.run(['cat', sample.envFile]).then(({ stdout }) => stdout));
  code = await aCheckout();
});
afterAll(async () => {
  await scratch?.close();
  await sample?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Straight from the living database: how a dump is fetched and loaded is others' business. */
async function restoreDatabase(): Promise<void> {
  const { postgres } = sample.servers;
  const dump = execa(join(postgres.binaries, 'pg_dump'), [
    ...['-h', postgres.socketFolder, '-p', String(postgres.port), '-U', 'postgres', '-O', '-x'],
    ...['-d', sample.database.name],
  ]);
  const target = ['-h', cluster.socketFolder, '-p', String(cluster.port), '-U', 'postgres', '-d', 'restored'];
  await dump.pipe(join(cluster.binDir, 'psql'), ['-Xq', '-v', 'ON_ERROR_STOP=1', ...target]);
}

async function restoreMedia(): Promise<typeof media> {
  const from = join(sample.root, 'public/system');
  const into = await scratch.own('media');
  await host.run(['cp', '-a', '--', `${from}/.`, into]);
  await host.run(['chown', '-R', '--reference', into, '--', into]);
  const out = await scratch.place('index');
  await writeFile(join(out, 'index.pl'), mediaIndexScript);
  const request = { script: join(out, 'index.pl'), root: from, previousIndex: null, expected: null };
  await host.run(mediaIndexArgv({ ...request, outFolder: out, includeCache: false }));
  return { folder: into, index: join(out, mediaIndexFiles.index) };
}

/** Mastodon's code as the drill host has it: no env file, an empty `public/system`. */
async function aCheckout(): Promise<string> {
  const checkout = join(folder, 'checkout');
  await mkdir(join(checkout, 'public/system'), { recursive: true });
  await cp(dirname(web), join(checkout, 'services'), { recursive: true });
  await cp(join(dirname(web), '../../node_modules'), join(checkout, 'node_modules'), {
    recursive: true,
    filter: (path) => !/node_modules\/(?!(?:pg|pgpass|postgres|split2|xtend)[^/]*(?:\/|$))[^/]+/.test(path),
  });
  return checkout;
}

const manifest = (): Manifest => ({
  ...aManifest,
  instance: sample.domain,
  versions: { ...aManifest.versions, mastodon: '4.6.5' },
});

const aProcess = (command: string[], more: Partial<DrillApplication> = {}): DrillApplication => ({
  ...{ command, directory: code, environment: {}, health: '/health', timeoutMs: 30_000 },
  ...more,
});

const proven = (
  given: {
    application?: DrillApplication;
    env?: Map<string, string>;
    manifest?: Manifest;
    media?: typeof media | null;
  } = {},
) =>
  proveApplication({
    ...{ scratch, database, env, manifest: manifest(), media },
    application: aProcess([process.execPath, 'services/web.mjs']),
    ...given,
  });

/** What is wrong, by the name of the check. */
function findings({ proof }: Awaited<ReturnType<typeof proven>>): Record<string, string> {
  const wrong = proof.checks.filter(({ passed }) => !passed);
  return Object.fromEntries(wrong.map(({ name, detail }) => [name, detail]));
}

test('the application boots on the restored copy and answers with what it holds', async () => {
  const { proof, bootMs } = await proven();
  expect(proof.checks.map(({ name, passed, detail }) => [name, passed ? 'passed' : detail])).toEqual(
    [...['no-way-out', 'boots', 'webfinger', 'account-lookup', 'instance', 'statuses', 'media-served']].map(
      (name) => [name, 'passed'],
    ),
  );
  expect(proof.notProven).toEqual([]);
  expect(bootMs).toBeGreaterThan(0);
  const detail = (name: string) => proof.checks.find((check) => check.name === name)?.detail;
  expect(detail('webfinger')).toMatch(/^\d accounts .+ suspended mallory is gone/);
  // Names with spaces, quotes and other alphabets too, and none of what is still being processed.
  const shown = await psql(
    host,
    database,
    `SELECT m.file_file_name FROM media_attachments m JOIN statuses s ON s.id = m.status_id JOIN accounts a ON a.id = s.account_id
     WHERE m.remote_url = '' AND coalesce(m.processing, 2) = 2 AND s.visibility IN (0, 1) AND s.deleted_at IS NULL AND a.suspended_at IS NULL;`,
  );
  const { missing, named } = sample.data.oddities;
  const isAmong = (paths: readonly string[], name: string) => paths.some((path) => path.endsWith(`/${name}`));
  const names = shown.map(([name = '']) => name).filter((name) => !isAmong(missing, name));
  expect(names.some((name) => isAmong(named, name))).toBe(true);
  expect(names.length).toBeLessThanOrEqual(20);
  expect(detail('media-served')).toMatch(
    new RegExp(`^${String(names.length)} attachments .+served by the application`),
  );
});

test('what differs from the backup is found', async () => {
  // The same length and time, other bytes.
  const swapped = join(folder, 'swapped');
  await host.run(['cp', '-a', '--', media.folder, swapped]);
  const script = `find "$1" -path '*/original/*' -type f -size +0 -exec sh -c 'for f; do printf X | dd of="$f" conv=notrunc status=none; done' sh {} +`;
  await host.run(['sh', '-c', script, 'sh', join(swapped, 'media_attachments')]);
  const wrong = await proven({
    media: { ...media, folder: swapped },
    manifest: { ...manifest(), versions: { ...manifest().versions, mastodon: '4.5.0' } },
  });
  expect(findings(wrong)).toEqual({
    instance: expect.stringMatching(/booted is Mastodon 4\.6\.5, and the backup was made of 4\.5\.0/),
    'media-served': expect.stringMatching(/is served with another content than was backed up/),
  });
});

test('an instance that answers nobody but its members is proven by its handles; another VAPID key is found', async () => {
  const closed = await proven({
    env: new Map([...env, ['DISALLOW_UNAUTHENTICATED_API_ACCESS', 'true']]),
    application: aProcess([process.execPath, 'services/web.mjs'], {
      environment: { VAPID_PUBLIC_KEY: randomBytes(65).toString('base64url') },
    }),
    media: null,
  });
  expect(findings(closed)).toEqual({ instance: expect.stringMatching(/another VAPID key/) });
  expect(closed.proof.checks.map(({ name }) => name)).toEqual([
    'no-way-out',
    'boots',
    'webfinger',
    'instance',
  ]);
  expect(closed.proof.notProven).toEqual([
    expect.stringMatching(/^account-lookup: DISALLOW_UNAUTHENTICATED_API_ACCESS is set/),
    expect.stringMatching(/^statuses: DISALLOW_UNAUTHENTICATED_API_ACCESS is set/),
    expect.stringMatching(/^media-served: no media/),
  ]);
});

test('a process that tries to get out does not, and when it ends its last words hold no secret', async () => {
  const living = sample.servers;
  const places = [
    { host: '127.0.0.1', port: Number(new URL(sample.url).port) },
    { host: '127.0.0.1', port: sample.redis.port },
    { host: '127.0.0.1', port: sample.database.port },
    { path: join(living.postgres.socketFolder, `.s.PGSQL.${String(living.postgres.port)}`) },
  ];
  const script = (tried: readonly object[]) => `
    const tries = ${JSON.stringify(tried)}.map((place) => new Promise((resolve) => {
      const socket = require('node:net').connect(place, () => resolve(JSON.stringify(place)));
      socket.on('error', () => resolve(''));
    }));
    Promise.all(tries).then((all) => {
      console.error('reached <' + all.join('') + '> with ' + process.env.SECRET_KEY_BASE + ' at ' + process.env.DB_HOST);
      process.exit(4);
    });`;
  const outside = { host: '192.0.2.1', port: 443 };
  const tried = await proven({
    application: aProcess([process.execPath, '-e', script([...places, outside])]),
  });
  expect(findings(tried)).toEqual({
    boots: expect.stringMatching(/ended with 4 .+ reached <> with \[SECRET_KEY_BASE\] at \/\S+$/),
  });
  expect(JSON.stringify(tried)).not.toContain(env.get('SECRET_KEY_BASE'));
  expect(tried.bootMs).toBeNull();
  // The same words reach all of it from where they are not shut in.
  const free = await execa(process.execPath, ['-e', script(places)], { reject: false });
  for (const { port, path } of places as { port?: number; path?: string }[]) {
    expect(free.stderr).toContain(path ?? String(port));
  }
});

test('a command that is not there is no finding: the drill says what to correct', async () => {
  await expect(proven({ application: aProcess(['no-such-puma']) })).rejects.toMatchObject({
    type: 'ToolMissing',
    next: expect.stringMatching(/drill\.application/),
  });
});
