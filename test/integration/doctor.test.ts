import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { freePort } from '../../sample/ports.js';
import type { Check } from '../../src/backups/checks.js';
import { type Installation, type Settings, setUpInstallation } from './installation.js';

/** The doctor on a real instance, well and with faults planted in it. */

vi.setConfig({ testTimeout: 120_000 });

const database = 'mastodon_sample';
let here: Installation;
beforeAll(async () => {
  here = await setUpInstallation({ name: 'doctor' });
});
afterAll(() => here?.remove());

async function doctor(...words: string[]) {
  const { exitCode, json, stderr } = await here.permafrost('doctor', '--json', ...words);
  const { ok, checks } = json as unknown as { ok: boolean; checks: Check[] };
  const named = (name: string) => checks.filter((check) => check.name === name);
  return { exitCode, ok, checks, named, stderr, findings: checks.filter((check) => !check.ok) };
}

interface Written {
  instances: Record<string, { host: unknown; mastodon: Record<string, unknown> }>;
  offsites: Record<string, unknown>;
  temporal: unknown;
  state: string;
}

/** Does `work` with the configuration changed in what `here.with` does not reach. */
async function rewritten(change: (written: Written) => void, work: () => Promise<void>): Promise<void> {
  const file = join(here.folder, 'permafrost.yaml');
  const before = readFileSync(file, 'utf8');
  const written = JSON.parse(before) as Written;
  change(written);
  writeFileSync(file, JSON.stringify(written));
  try {
    await work();
  } finally {
    writeFileSync(file, before);
  }
}

const sql = (text: string, name = database) => here.sample.servers.postgres.sql(name, text);

/** Every file below a folder: its path, mode and content. A socket or a lock that a server keeps open is left out. */
function fingerprint(folder: string): string {
  const hash = createHash('sha256');
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const stats = lstatSync(join(folder, path));
    hash.update(`${path}\0${String(stats.mode)}\0${stats.isFile() ? '' : 'other'}`);
    if (stats.isFile()) hash.update(readFileSync(join(folder, path)));
  }
  return hash.digest('hex');
}

async function everything() {
  const { binaries, socketFolder, port } = here.sample.servers.postgres;
  // pg_dump frames its text with a key that is new each time.
  const dump = execFileSync(
    join(binaries, 'pg_dump'),
    ['-h', socketFolder, '-p', String(port), '-U', 'postgres', database],
    { maxBuffer: 64 << 20 },
  );
  return {
    host: fingerprint(join(here.state, 'host')),
    vault: fingerprint(join(here.folder, 'vault')),
    media: fingerprint(join(here.sample.root, 'public')),
    database: createHash('sha256')
      .update(dump.toString().replace(/^.(un)?restrict .*$/gm, ''))
      .digest('hex'),
    services: await here.services.pids(),
    memory: readdirSync('/dev/shm').filter((name) => name.includes(here.domain)),
  };
}

describe('an instance that is well', () => {
  const scheduled = (settings: Settings) => (settings.instance.schedule = {});

  test('is told so, and nothing is changed by looking', async () => {
    await here.with(scheduled, async () => {
      await here.permafrost('schedule', 'apply');
      const before = await everything();
      const found = await doctor();
      expect(await everything()).toEqual(before);
      // A folder beside the instance is no off-site, there is no backup yet, and services of commands die with a boot.
      expect([...new Set(found.findings.map(({ name }) => name))].sort()).toEqual(
        ['last-backup', 'offsite-place', ...(found.named('reboot').length > 0 ? ['reboot'] : [])].sort(),
      );
      expect(found).toMatchObject({ exitCode: 0, ok: true });
      for (const check of found.findings) expect(check).toMatchObject({ severity: 'warning', fix: /\S/ });
      const seen = new Set(found.checks.map(({ name }) => name));
      for (const name of [
        ...['host', 'tools', 'own-tools', 'clock', 'root', 'units', 'health', 'database', 'database-rights'],
        ...['database-indexes', 'database-duplicates', 'database-collation', 'redis', 'media-folder'],
        ...['secrets-proof', 'space', 'offsite', 'state', 'secret-files', 'temporal', 'worker', 'schedules'],
      ])
        expect(seen).toContain(name);
      expect(found.named('database-duplicates')[0]?.detail).toMatch(/none under \d\d unique indexes$/);
    });
  });

  test('also on the first evening: nothing made, no repository, no Temporal', async () => {
    const state = join(here.folder, 'fresh/state');
    const port = await freePort();
    const change = (written: Written) => {
      written.state = state;
      written.offsites = {
        vault: {
          kind: 'restic',
          repository: join(here.folder, 'new-vault'),
          passwordFile: join(here.folder, 'offsite.password'),
        },
      };
      written.temporal = { embedded: { port } };
    };
    await rewritten(change, async () => {
      const found = await doctor();
      expect(found).toMatchObject({ exitCode: 7, ok: false });
      expect(found.findings.filter(({ severity }) => severity === 'bad')).toEqual([
        expect.objectContaining({ name: 'temporal', fix: 'Start it with: permafrost up' }),
      ]);
      expect(found.checks.filter(({ host }) => host === 'temporal')).toHaveLength(1);
      expect(found.named('offsite-missing')).toMatchObject([
        { severity: 'warning', fix: 'permafrost offsite init vault', offsite: 'vault' },
      ]);
      expect(existsSync(join(here.folder, 'fresh'))).toBe(false);
      expect(existsSync(join(here.folder, 'new-vault'))).toBe(false);
    });
  });
});

test('planted faults are all found at once, each with its cure, and none hides another', async () => {
  const readOnly = join(here.folder, 'vault');
  const wrong = join(here.folder, 'wrong.password');
  writeFileSync(wrong, 'not the password\n');
  chmodSync(wrong, 0o644);
  await sql(`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'index_accounts_on_uri'::regclass;
    UPDATE pg_index SET indisready = false WHERE indexrelid = 'index_tags_on_name_lower_btree'::regclass;`);
  await sql(`INSERT INTO tags (name, created_at, updated_at) SELECT upper(name), now(), now() FROM tags LIMIT 1;
    UPDATE pg_index SET indisready = true WHERE indexrelid = 'index_tags_on_name_lower_btree'::regclass;
    UPDATE pg_database SET datcollversion = '1.0' WHERE datname = '${database}';`);
  const root = process.getuid?.() === 0;
  if (root) execFileSync('mount', ['--bind', readOnly, readOnly]);
  try {
    if (root) execFileSync('mount', ['-o', 'remount,ro,bind', readOnly]);
    await here.client.schedule.create({
      ...{ scheduleId: 'backup/gone.example', memo: { permafrost: 'schedule' }, spec: {} },
      action: { type: 'startWorkflow', workflowType: 'backup', taskQueue: 'permafrost' },
    });
    await here.with(
      (settings) => {
        settings.instance.offsites = ['vault', 'cellar'];
        settings.offsites['cellar'] = { kind: 'restic', repository: readOnly, passwordFile: wrong };
      },
      async () => {
        const found = await doctor();
        expect(found.exitCode).toBe(3);
        expect(found.named('database-indexes')).toMatchObject([
          {
            severity: 'warning',
            fix: expect.stringContaining('REINDEX INDEX CONCURRENTLY public.index_accounts_on_uri') as string,
          },
        ]);
        expect(found.named('database-duplicates')).toMatchObject([
          {
            severity: 'bad',
            detail: expect.stringMatching(/public\.tags holds 1 key more than once/) as string,
            fix: expect.stringContaining('index_tags_on_name_lower_btree') as string,
          },
        ]);
        expect(found.named('database-collation')).toMatchObject([
          { severity: 'warning', detail: expect.stringContaining('version 1.0') as string },
        ]);
        expect(found.named('offsite')).toContainEqual(
          expect.objectContaining({
            ...{ offsite: 'cellar', severity: 'bad' },
            detail: expect.stringContaining('does not open the repository') as string,
          }),
        );
        expect(found.named('secret-files')).toMatchObject([
          { severity: 'warning', fix: `chmod 600 ${wrong}` },
        ]);
        if (root)
          expect(found.named('offsite-writable')).toContainEqual(
            expect.objectContaining({ offsite: 'vault', severity: 'bad' }),
          );
        expect(found.named('schedules')).toContainEqual(
          expect.objectContaining({
            detail: expect.stringContaining('backup/gone.example') as string,
            fix: 'permafrost schedule apply',
          }),
        );
        expect(found.named('redis')).toMatchObject([{ ok: true }]);
      },
    );
  } finally {
    if (root) execFileSync('umount', ['--lazy', readOnly]);
    await sql(`UPDATE pg_database SET datcollversion = NULL WHERE datname = '${database}';
      DELETE FROM tags WHERE name <> lower(name);
      UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'index_accounts_on_uri'::regclass;`);
  }
});

test('a dead host, a tool that is missing and a dead database leave all else to be told', async () => {
  const broken = join(here.folder, 'broken.env');
  writeFileSync(broken, readFileSync(here.sample.envFile, 'utf8').replace(/^DB_PORT=.*$/m, 'DB_PORT=9'), {
    mode: 0o600,
  });
  const identity = join(here.folder, 'id');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', identity]);
  const tools = process.env['PERMAFROST_TOOLS'];
  process.env['PERMAFROST_TOOLS'] = join(here.folder, 'no-tools');
  const change = ({ instances }: Written) => {
    const own = instances[here.domain];
    if (own === undefined) throw new Error('the instance is not in the configuration');
    const away = { ssh: 'root@127.0.0.1', port: 9, identityFile: identity, knownHosts: 'none' };
    instances['away.example'] = { ...own, host: away, mastodon: { root: '/nowhere' } };
    own.mastodon['envFile'] = broken;
  };
  try {
    await rewritten(change, async () => {
      const found = await doctor();
      expect(found.exitCode).toBe(3);
      expect(found.named('host')).toMatchObject([
        { ok: true },
        { severity: 'bad', host: 'root@127.0.0.1:9' },
      ]);
      expect(found.named('own-tools')).toMatchObject([{ severity: 'bad', fix: 'npm run setup' }]);
      expect(found.named('database')).toMatchObject([{ severity: 'bad', instance: here.domain }]);
      for (const name of ['clock', 'units', 'health', 'temporal'])
        expect(found.named(name)[0]?.ok).toBe(true);
    });
  } finally {
    if (tools === undefined) delete process.env['PERMAFROST_TOOLS'];
    else process.env['PERMAFROST_TOOLS'] = tools;
  }
});

test('schedules that somebody changed or paused, and a worker that is gone', async () => {
  await here.with(
    ({ instance }) => (instance.schedule = { backup: { at: '03:17' } }),
    async () => {
      await here.permafrost('schedule', 'apply');
      await here.permafrost('schedule', 'pause', '--note', 'moving house');
      await here.backup('--dry-run'); // a run that a worker can be asked about
      const found = await doctor();
      expect(found.named('worker')).toMatchObject([{ ok: true }]);
      expect(found.named('schedules')).toContainEqual(
        expect.objectContaining({
          severity: 'warning',
          detail: expect.stringContaining('moving house') as string,
        }),
      );
    },
  );
  await here.with(
    ({ instance }) => (instance.schedule = { backup: { at: '04:44' } }),
    async () => {
      await here.worker.stop();
      const found = await doctor();
      expect(found.exitCode).toBe(7);
      expect(found.named('worker')).toMatchObject([{ severity: 'bad' }]);
      expect(found.named('schedules')).toContainEqual(
        expect.objectContaining({
          detail: expect.stringMatching(/not what the configuration says \(when/) as string,
        }),
      );
    },
  );
});

test('the machine of the monthly drill is looked at, and what is missing there is a warning', async () => {
  const monthly = (settings: Settings, drill: Record<string, unknown>) => {
    settings.instance.schedule = { backup: 'none', drill: { day: 1, at: '05:00' } };
    settings.instance['drill'] = drill;
  };
  await here.with(
    (settings) => {
      monthly(settings, {});
    },
    async () => {
      const [drill, ...more] = (await doctor()).named('drill');
      expect(more).toEqual([]);
      expect(drill).toMatchObject({ ok: true, host: 'local' });
      expect(drill?.detail).toMatch(/^PostgreSQL \d+, Redis \d[\d.]*, .+ free in \/var\/tmp$/);
    },
  );
  const away = { ssh: 'root@127.0.0.1', port: 9, identityFile: join(here.folder, 'offsite.password') };
  await here.with(
    (settings) => {
      monthly(settings, { host: { ...away, knownHosts: 'none' } });
    },
    async () => {
      expect((await doctor()).named('drill')).toMatchObject([
        {
          severity: 'warning',
          host: 'root@127.0.0.1:9',
          instance: here.domain,
          fix: expect.stringMatching(/\S/) as string,
        },
      ]);
    },
  );
  // Nothing is scheduled.
  expect((await doctor()).named('drill')).toEqual([]);
});

test('a configuration that is wrong ends with 2, before anything is looked at', async () => {
  await here.with(
    (settings) => (settings.instance['quiesce'] = { mode: 'breif' }),
    async () => {
      const { exitCode, json } = await here.permafrost('doctor', '--json');
      expect(exitCode).toBe(2);
      expect(json).toMatchObject({ error: { type: 'ConfigInvalid' } });
    },
  );
  expect((await here.permafrost('doctor', 'nobody.example')).exitCode).toBe(2);
});
