import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, type Settings, setUpInstallation } from './installation.js';

/** What cannot end well is refused before anything is touched: exit code 3, and what to do about it. */

vi.setConfig({ testTimeout: 300_000 });

let here: Installation;
beforeAll(async () => {
  here = await setUpInstallation({ name: 'preflight' });
});
afterAll(() => here?.remove());

/** Everything that a run might have touched: services, the lease, the host's folder, the off-site. */
async function state() {
  const files = (path: string) => readdirSync(path, { recursive: true, encoding: 'utf8' }).sort();
  return {
    services: await here.services.pids(),
    running: await here.services.running(),
    lease: (await here.lease()).held,
    remains: await here.remains(),
    vault: files(join(here.folder, 'vault')),
    media: files(join(here.sample.root, 'public/system')),
  };
}

/** Runs a backup that has to be refused for this reason. */
async function refused(reason: RegExp): Promise<void> {
  const before = await state();
  const { exitCode, report } = await here.backup();
  expect.soft(report.error?.message).toMatch(reason);
  expect(exitCode).toBe(3);
  expect(report).toMatchObject({
    status: 'failed',
    services: 'untouched',
    downtimeMs: 0,
    error: { code: 3 },
  });
  expect(report.error?.next).not.toBe('');
  expect(await state()).toEqual(before);
}

async function refusedWith(change: (settings: Settings) => void, reason: RegExp): Promise<void> {
  await here.with(change, () => refused(reason));
}

/** Another env file, made of the true one. */
function envFile(name: string, change: (text: string) => string): (settings: Settings) => void {
  const path = join(here.folder, `${name}.env`);
  writeFileSync(path, change(readFileSync(here.sample.envFile, 'utf8')), { mode: 0o600 });
  return ({ instance }) => (instance.mastodon['envFile'] = path);
}

const setTo = (name: string, value: string) => (text: string) =>
  text.replace(new RegExp(`^${name}=.*$`, 'm'), `${name}=${value}`);

const vault = (settings: Settings): Settings['offsites'][string] => {
  const offsite = settings.offsites['vault'];
  if (offsite === undefined) throw new Error('there is no vault');
  return offsite;
};

test('an off-site that was never set up', () =>
  refusedWith(
    (settings) => (vault(settings).repository = join(here.folder, 'nowhere')),
    /no restic repository/,
  ));

test('the password of another off-site', () => {
  const wrong = join(here.folder, 'wrong.password');
  writeFileSync(wrong, 'not the password\n');
  return refusedWith(
    (settings) => (vault(settings).passwordFile = wrong),
    /password in .*wrong\.password does not open/,
  );
});

test('a password file that is not there', () =>
  refusedWith(
    (settings) => (vault(settings).passwordFile = join(here.folder, 'gone')),
    /gone cannot be read/,
  ));

test('a command for the services that is not there', () =>
  refusedWith(({ instance }) => {
    const status = here.sample.services.status.map(() => ['/nonexistent/status']);
    instance.mastodon.services = { ...instance.mastodon.services, status };
  }, /\/nonexistent\/status/));

test('a database that is not there', () =>
  refusedWith(envFile('database-gone', setTo('DB_NAME', 'no_such_database')), /no_such_database/));

test('a database server that does not answer', () =>
  refusedWith(envFile('server-gone', setTo('DB_PORT', '9')), /database mastodon_sample/));

test('a password that the database does not accept', () =>
  refusedWith(envFile('locked-out', setTo('DB_PASS', 'guessed')), /does not let us in/));

test('a database that is not of a Mastodon', async () => {
  const { postgres } = here.sample.servers;
  await postgres.sql('postgres', 'CREATE DATABASE blog OWNER mastodon;');
  await refusedWith(envFile('other-database', setTo('DB_NAME', 'blog')), /holds no Mastodon/);
});

test('a Mastodon that nobody has an account on', async () => {
  const { postgres } = here.sample.servers;
  await postgres.sql('postgres', 'CREATE DATABASE fresh OWNER mastodon;');
  await postgres.sql(
    'fresh',
    'CREATE TABLE schema_migrations (version text); CREATE TABLE accounts (id bigint, domain text);',
    'mastodon',
  );
  await refusedWith(envFile('fresh-database', setTo('DB_NAME', 'fresh')), /no local account/);
});

test('a Redis that does not answer', () =>
  refusedWith(envFile('redis-gone', setTo('REDIS_PORT', '9')), /Redis at 127\.0\.0\.1:9/));

test('the env file of another domain', () =>
  refusedWith(envFile('other-domain', setTo('LOCAL_DOMAIN', 'other.example')), /is that of other\.example/));

test('an env file without keys', () =>
  refusedWith(
    envFile('keyless', (text) => text.replace(/^ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY=.*$/m, '')),
    /lacks ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY/,
  ));

test('no env file', () =>
  refusedWith(
    ({ instance }) => (instance.mastodon['envFile'] = join(here.folder, 'no.env')),
    /no env file .*no\.env/,
  ));

test('media that are not where they should be', () =>
  refusedWith(
    ({ instance }) => (instance.mastodon['media'] = join(here.folder, 'no-media')),
    /no media folder .*no-media/,
  ));

test('an empty media folder although the database names files', async () => {
  const empty = join(here.folder, 'empty-media');
  mkdirSync(empty, { recursive: true });
  await refusedWith(({ instance }) => (instance.mastodon['media'] = empty), /empty-media/);
});

test.skipIf(process.getuid?.() !== 0)('too little space where the database waits', async () => {
  const path = join(here.state, 'host');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=40m,mode=0700', 'permafrost-test', path]);
  try {
    await refused(/has 0\.0 GB free .* are needed/);
  } finally {
    execFileSync('umount', ['--lazy', path]);
  }
});

test('restic, on this machine and to be brought along', async () => {
  await here.worker.stop();
  // A set-up that brought nothing, and only what the distribution has.
  await here.worker.start({ PERMAFROST_TOOLS: join(here.folder, 'no-tools') });
  try {
    await refused(/restic/);
  } finally {
    await here.worker.stop();
    await here.worker.start();
  }
});

test('and with everything in place it is not refused', async () => {
  expect(await here.backup('--dry-run')).toMatchObject({ exitCode: 0, report: { status: 'planned' } });
});
