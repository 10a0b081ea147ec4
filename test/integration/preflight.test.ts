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
async function refused(reason: RegExp, ...words: string[]): Promise<string> {
  const before = await state();
  const { exitCode, report } = await here.backup(...words);
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
  return report.error?.next ?? '';
}

async function refusedWith(change: (settings: Settings) => void, reason: RegExp): Promise<void> {
  await here.with(change, async () => void (await refused(reason)));
}

/** Another env file, made of the true one. */
function envFile(name: string, change: (text: string) => string): (settings: Settings) => void {
  const path = join(here.folder, `${name}.env`);
  writeFileSync(path, change(readFileSync(here.sample.envFile, 'utf8')), { mode: 0o600 });
  return ({ instance }) => (instance.mastodon['envFile'] = path);
}

const setTo = (name: string, value: string) => (text: string) =>
  text.replace(new RegExp(`^${name}=.*$`, 'm'), `${name}=${value}`);

const vault = (settings: Settings) => {
  const offsite = settings.offsites['vault'];
  if (offsite?.kind !== 'restic') throw new Error('there is no vault');
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

/**
 * Everything at once that can be allowed: the night before was of a larger database, and its media were on a mount;
 * tonight the env file is another server's, with another key, that is being shut down; its database is not a
 * Mastodon's, and nothing is mounted where the media were.
 */
test.skipIf(process.getuid?.() !== 0)(
  'what is meant so is allowed by its name, and then the night seals',
  async () => {
    const { postgres } = here.sample.servers;
    const own = here.sample.database.name;
    const media = join(here.folder, 'mounted');
    mkdirSync(media);
    execFileSync('mount', ['--bind', join(here.sample.root, 'public/system'), media]);
    try {
      await postgres.sql(
        own,
        "CREATE TABLE ballast AS SELECT repeat('x', 900) FROM generate_series(1, 20000);",
        'mastodon',
      );
      const { report } = await here.with(
        ({ instance }) => (instance.mastodon['media'] = media),
        () => here.backup(),
      );
      expect(report.error).toBeUndefined();
      expect(report).toMatchObject({ status: 'sealed', plan: { mediaPlace: { mountPoint: media } } });
    } finally {
      execFileSync('umount', ['--lazy', media]);
      await postgres.sql(own, 'DROP TABLE IF EXISTS ballast;');
    }
    const ciphertext = await postgres.sql(own, "SELECT max(otp_secret) FROM users WHERE otp_secret <> '';");
    await postgres.sql('postgres', 'CREATE DATABASE stray OWNER mastodon;');
    await postgres.sql(
      'stray',
      `CREATE TABLE users (id bigint, otp_secret text); INSERT INTO users VALUES (1, '${ciphertext.trim()}');
     CREATE TABLE accounts (id bigint, domain text); INSERT INTO accounts VALUES (-99, NULL);
     CREATE TABLE media_attachments (remote_url text, file_file_name text);
     INSERT INTO media_attachments VALUES ('', 'a.png');`,
      'mastodon',
    );
    const strange = envFile('strange', (text) =>
      [
        setTo('LOCAL_DOMAIN', 'other.example'),
        setTo('DB_NAME', 'stray'),
        setTo('ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY', 'not-the-key-of-this-database'),
      ].reduce((changed, change) => change(changed), `${text}\nSELF_DESTRUCT=bWFkZSBieSB0b290Y3Rs\n`),
    );
    const refusals: [string, RegExp][] = [
      ['other-domain', /is that of other\.example \(LOCAL_DOMAIN\), not of preflight\.example/],
      ['self-destruct', /SELF_DESTRUCT is set in .*strange\.env/],
      ['foreign-database', /the database stray holds no Mastodon/],
      ['no-accounts', /the database stray has no local account/],
      ['smaller-database', /the database stray has \d+ MB; it had \d+ MB in the backup \d{8}T\d{6}Z/],
      ['unproven-secrets', /ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY .*none of 1 sampled ciphertexts open/],
      ['empty-media', /mounted on local is empty, and the database names files/],
      ['unmounted-media', /mounted on local is not mounted: .* with \d+ files/],
    ];
    const change = (settings: Settings) => {
      strange(settings);
      settings.instance.mastodon['media'] = media;
    };
    const allowed: string[] = [];
    await here.with(change, async () => {
      for (const [name, reason] of refusals) {
        const next = await refused(reason, ...(allowed.length === 0 ? [] : ['--allow', allowed.join(',')]));
        expect.soft(next).toMatch(`--allow ${name}`);
        allowed.push(name);
      }
    });

    // For one run on the command line, or for good in the configuration.
    const [lasting, once] = [allowed.slice(0, 4), allowed.slice(4)];
    const allowing = (names: string[]) => (settings: Settings) => {
      change(settings);
      settings.instance['allow'] = names;
    };
    const { exitCode, report } = await here.with(allowing(lasting), () =>
      here.backup('--allow', once.join(',')),
    );
    expect(report.error).toBeUndefined();
    expect({ exitCode, status: report.status }).toEqual({ exitCode: 0, status: 'sealed' });
    const warned = report.warnings.flatMap((text) => /^Allowed \(([a-z-]+)\)/.exec(text)?.[1] ?? []);
    expect(warned.sort()).toEqual([...allowed].sort());
    const { json: manifest } = await here.permafrost('show', report.backup, '--json');
    expect(manifest).toMatchObject({ secrets: { proof: { proven: false, tested: 1 } } });
    expect(JSON.stringify(manifest['warnings'])).toContain(
      'not proven: ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY',
    );

    // What was allowed is what is remembered: a small database and an unmounted folder are not refused twice.
    const rest = allowed.filter((name) => !['smaller-database', 'unmounted-media'].includes(name));
    const broken = join(here.state, 'runs', here.domain, '29990101T000000Z.json');
    writeFileSync(broken, '{ "backup": ');
    const next = await here.with(allowing(rest), () => here.backup('--dry-run'));
    expect(next).toMatchObject({ exitCode: 0, report: { status: 'planned' } });
    expect(next.report.warnings).toContainEqual(expect.stringContaining(broken));
  },
);

test('and with everything in place it is not refused', async () => {
  expect(await here.backup('--dry-run')).toMatchObject({ exitCode: 0, report: { status: 'planned' } });
});
