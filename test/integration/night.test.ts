import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { manifestJsonSchema, type Manifest } from '../../src/backups/manifest.js';
import { type Installation, type Night, type Settings, setUpInstallation, until } from './installation.js';
import type { ListedBackup } from '../../src/offsite/read.js';
import { holdTheCapture, holdTheWindow } from './obstacles.js';

vi.setConfig({ testTimeout: 300_000 });

let here: Installation;
beforeAll(async () => {
  here = await setUpInstallation({ name: 'night', offsites: ['vault', 'cellar'] });
});
afterAll(() => here?.remove());

const all = ['database', 'secrets', 'media', 'redis'];

async function show(backup: string): Promise<Manifest & { offsites: { name: string }[] }> {
  const { json } = await here.permafrost('show', backup, '--json');
  return json as unknown as Manifest & { offsites: { name: string }[] };
}

/** Cellar's password is not the one it was made with. */
function breakOffsite(name: string) {
  const wrong = join(here.folder, 'wrong.password');
  writeFileSync(wrong, 'not the password\n');
  return ({ offsites }: Settings) => {
    const offsite = offsites[name];
    if (offsite?.kind === 'restic') offsite.passwordFile = wrong;
  };
}

async function tableCounts(): Promise<Record<string, number>> {
  const { postgres } = here.sample.servers;
  const tables = await postgres.sql(
    here.sample.database.name,
    "SELECT string_agg(format('SELECT %L, count(*) FROM %I', tablename, tablename), ' UNION ALL ') FROM pg_tables WHERE schemaname = 'public'",
  );
  const counted = await postgres.sql(here.sample.database.name, tables);
  return Object.fromEntries(
    counted.split('\n').map((line) => [line.split('|')[0] ?? '', Number(line.split('|')[1])]),
  );
}

test('a dry run shows the plan and touches nothing', async () => {
  const pids = await here.services.pids();
  const { exitCode, report } = await here.backup('--dry-run');
  expect(exitCode).toBe(0);
  expect(report).toMatchObject({
    ...{ status: 'planned', instance: here.domain, services: 'untouched', downtimeMs: 0 },
    plan: { services: ['web', 'sidekiq', 'streaming'], offsites: [{ name: 'vault' }, { name: 'cellar' }] },
  });
  expect(report.plan?.parts.map(({ name }) => name)).toEqual(all);
  expect(await here.services.pids()).toEqual(pids);
  expect(await here.backups()).toEqual([]);
  expect(readdirSync(join(here.folder, 'vault/snapshots'))).toEqual([]);
  expect(await here.remains()).toEqual([]);
});

describe('a first night', () => {
  let night: Night;
  let manifest: Manifest;
  let pids: string[];
  beforeAll(async () => {
    pids = await here.services.pids();
    night = await here.backup();
    manifest = await show(night.report.backup);
  }, 300_000);

  test('is sealed on every off-site, and says so as the interface promises', () => {
    expect(night.exitCode).toBe(0);
    const done = { sealed: true, verified: true, bytesAdded: expect.any(Number) as number };
    expect(night.report).toMatchObject({
      ...{ instance: here.domain, status: 'sealed', quiesce: 'brief', services: 'up' },
      backup: expect.stringMatching(/^\d{8}T\d{6}Z$/) as string,
      workflowId: `backup/${here.domain}-${night.report.backup}`,
      runId: expect.any(String) as string,
      offsites: [
        { name: 'vault', ...done },
        { name: 'cellar', ...done },
      ],
    });
    expect(Date.parse(night.report.finishedAt)).toBeGreaterThan(Date.parse(night.report.startedAt));
    expect(night.report.parts.map(({ name }) => name)).toEqual(all);
    expect(night.report.parts.every(({ bytes, files }) => bytes > 0 && files > 0)).toBe(true);
    expect(night.report.error).toBeUndefined();
  });

  test('stopped the services, and left them running and nothing behind', async () => {
    expect(night.report.downtimeMs).toBeGreaterThan(0);
    expect(await here.services.allUp()).toBe(true);
    const now = await here.services.pids();
    expect(now.filter((pid) => pids.includes(pid))).toEqual([]);
    expect((await here.lease()).held).toBe(false);
    expect(await here.remains()).toEqual([]);
  });

  test('has a manifest of the published schema, with the rows of the database', async () => {
    const published = z.fromJSONSchema(manifestJsonSchema() as Parameters<typeof z.fromJSONSchema>[0]);
    const alone: Record<string, unknown> = { ...manifest };
    delete alone['offsites']; // what `show` puts beside it
    expect(published.safeParse(alone).error).toBeUndefined();
    expect(published.safeParse({ ...alone, backup: 'yesterday' }).success).toBe(false);
    expect(manifest.database?.rowCounts).toEqual(await tableCounts());
    // As a drill wants them there: of the code in the root.
    expect(manifest.database?.uniqueIndexes).toHaveLength(70);
    expect(manifest.moment).toMatchObject({ kind: 'pinned', quiesced: true });
    expect(manifest.secrets?.proof).toMatchObject({ proven: true });
    expect(manifest.redis).toMatchObject({ aof: false, queues: { mailers: 1 }, sets: { schedule: 5 } });
  });

  test('names the media that were missing at the source', () => {
    const missing = manifest.media?.alreadyMissing.map(({ path }) => path) ?? [];
    expect(missing).toEqual(expect.arrayContaining(here.sample.data.oddities.missing));
    expect(manifest.media?.deletedDuringRun).toEqual([]);
  });

  test('is listed, shown and in the status on a machine that has nothing but the configuration', async () => {
    await here.with(
      (settings) => (settings.state = join(here.folder, 'another-machine')),
      async () => {
        const listed = (await here.permafrost('list', '--json')).json as unknown as object[];
        expect(listed).toMatchObject([
          {
            ...{ backup: night.report.backup, instance: here.domain, parts: all },
            offsites: expect.arrayContaining(['vault', 'cellar']) as string[],
            keep: expect.arrayContaining(['newest']) as string[],
          },
        ]);
        expect(await show(night.report.backup.slice(0, 8))).toEqual(manifest);
        const status = (await here.permafrost('status', '--json')).json;
        expect(status).toMatchObject({
          instance: here.domain,
          services: ['web', 'sidekiq', 'streaming'].map((name) => ({ name, running: true })),
          lastBackup: { backup: night.report.backup },
          running: [],
          problems: [],
        });
      },
    );
  });

  test('a second night without a stop sends what is new, and hashes nothing twice', async () => {
    const post = { method: 'POST', headers: { 'Content-Type': 'application/json' } };
    const body = JSON.stringify({ status: 'one more', media: true });
    expect((await fetch(`${here.sample.url}/api/v1/statuses`, { ...post, body })).status).toBe(200);
    const before = await here.services.pids();
    const { exitCode, report } = await here.backup('--quiesce', 'none', '--offsite', 'vault');
    expect(exitCode).toBe(0);
    expect(report).toMatchObject({ status: 'sealed', quiesce: 'none', downtimeMs: 0, services: 'untouched' });
    expect(report.offsites.map(({ name }) => name)).toEqual(['vault']);
    expect(await here.services.pids()).toEqual(before);

    const second = await show(report.backup);
    const files = manifest.parts.find(({ name }) => name === 'media')?.files ?? 0;
    expect(second.media).toMatchObject({ carriedFiles: files, hashedFiles: 2 });
    expect(second.moment).toMatchObject({ kind: 'pinned', quiesced: false });
    expect(second.offsites).toMatchObject([{ name: 'vault' }]);
    const added = (from: Night['report']) => from.offsites[0]?.bytesAdded ?? 0;
    expect(added(report)).toBeLessThan(added(night.report) * 0.7);
  });
});

test('full: the services stand still until all is captured; a Redis with nothing but an append-only file', async () => {
  const { redis } = here.sample.servers;
  await redis.command('CONFIG', 'SET', 'appendonly', 'yes', 'save', '');
  rmSync(here.sample.redis.dump, { force: true });
  try {
    const { exitCode, report } = await here.backup('--quiesce', 'full', '--offsite', 'vault');
    expect(exitCode).toBe(0);
    const capture = report.phases.find(({ name }) => name === 'capture');
    const captureMs = Date.parse(capture?.finishedAt ?? '') - Date.parse(capture?.startedAt ?? '');
    expect(report.downtimeMs).toBeGreaterThan(captureMs);
    expect(await here.services.allUp()).toBe(true);
    const manifest = await show(report.backup);
    expect(manifest.quiesce).toMatchObject({ mode: 'full', services: ['web', 'sidekiq', 'streaming'] });
    expect(manifest.redis).toMatchObject({ aof: true, queues: { mailers: 1 } });
    expect(manifest.redis?.keys).toBeGreaterThan(10);
  } finally {
    await redis.command('CONFIG', 'SET', 'appendonly', 'no', 'save', '3600 1');
  }
});

test('an off-site that missed nights has read back what it missed and a share; one that was emptied, everything', async () => {
  const media = async (offsite: string) => {
    const { report } = await here.backup('--quiesce', 'none', '--only', 'media', '--offsite', offsite);
    const files = report.parts.find(({ name }) => name === 'media')?.files ?? 0;
    return { files, readBack: report.offsites[0]?.checked?.files ?? 0 };
  };
  const late = await media('cellar'); // two files came while it was left out
  expect(late.readBack).toBeGreaterThanOrEqual(1 + 2); // and the index
  expect(late.readBack).toBeLessThan(late.files / 2);
  const snapshots = join(here.folder, 'cellar/snapshots');
  for (const name of readdirSync(snapshots)) rmSync(join(snapshots, name));
  const anew = await media('cellar');
  expect(anew.readBack).toBe(anew.files + 1);
});

test('an off-site that does not open keeps no other from being sealed', async () => {
  await here.with(breakOffsite('cellar'), async () => {
    const { exitCode, report } = await here.backup('--only', 'database,secrets');
    expect(exitCode).toBe(5);
    expect(report.status).toBe('partial');
    expect(report.offsites).toMatchObject([
      { name: 'vault', sealed: true },
      { name: 'cellar', sealed: false, error: { type: 'AuthFailed' } },
    ]);
    const manifest = await show(report.backup);
    expect(manifest.parts.map(({ name }) => name)).toEqual(['database', 'secrets']);
    expect(manifest.omitted).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ what: 'media' }),
        expect.objectContaining({ what: 'redis' }),
      ]),
    );
  });
});

test('without any off-site that opens, the run refuses: 3', async () => {
  const pids = await here.services.pids();
  await here.with(
    (settings) => {
      breakOffsite('vault')(settings);
      breakOffsite('cellar')(settings);
    },
    async () => {
      const { exitCode, report } = await here.backup();
      expect(exitCode).toBe(3);
      expect(report).toMatchObject({ status: 'failed', services: 'untouched', error: { type: 'Refused' } });
    },
  );
  expect(await here.services.pids()).toEqual(pids);
});

test('while a run is at work another is refused; what users delete meanwhile is told apart; retention', async () => {
  const { postgres } = here.sample.servers;
  const [row = ''] = (
    await postgres.sql(
      here.sample.database.name,
      "SELECT id || '|' || file_file_name FROM media_attachments WHERE remote_url = '' AND processing = 2 AND file_file_name ~ '^[a-z0-9.]+$' ORDER BY id DESC LIMIT 1",
    )
  ).split('\n');
  const [id = '', name = ''] = row.split('|');
  const path = `media_attachments/files/${(id.match(/\d{3}/g) ?? []).join('/')}/original/${name}`;

  const sealedOn = async (offsite: string) => {
    const listed = (await here.permafrost('list', '--json')).json as unknown as ListedBackup[];
    return listed.filter(({ offsites }) => offsites.includes(offsite)).map(({ backup }) => backup);
  };
  const onCellar = await sealedOn('cellar');
  const letGo = await holdTheWindow(here.sample);
  let first: Promise<Night> | undefined;
  try {
    await here.with(
      ({ instance }) => (instance['retention'] = { last: 1, daily: 0, weekly: 0, monthly: 0, yearly: 0 }),
      async () => {
        first = here.backup('--offsite', 'vault');
        await until('the services are stopped', here.services.allDown);
        const spool = join(here.state, 'host/spool', here.domain, 'facts/moment.json');
        await until('the moment is pinned', () => existsSync(spool));
        expect(await here.backup()).toMatchObject({ exitCode: 4, report: { error: { type: 'Busy' } } });

        await postgres.sql(here.sample.database.name, `DELETE FROM media_attachments WHERE id = ${id}`);
        rmSync(join(here.sample.root, 'public/system', path));
        await letGo();
        const { exitCode, report } = await first;
        expect(exitCode).toBe(0);
        const { media, database } = await show(report.backup);
        expect(media?.deletedDuringRun).toEqual([{ path }]);
        expect(media?.alreadyMissing.map((file) => file.path)).toEqual(
          expect.arrayContaining(here.sample.data.oddities.missing),
        );
        expect(media?.alreadyMissing).not.toContainEqual({ path });

        // Of vault's backups only the newest stays, and the one with the full dump of its delta; cellar's, which this run
        // did not fill, are as they were.
        expect(await sealedOn('vault')).toEqual([report.backup, database?.delta?.full]);
        expect(await sealedOn('cellar')).toEqual(onCellar);
      },
    );
  } finally {
    await letGo();
    await first;
  }
});

test('a run that is cancelled while it captures leaves the services up and nothing behind: 130', async () => {
  const before = await here.backups();
  const letGo = await holdTheCapture(here.sample);
  try {
    const night = here.backup('--offsite', 'vault');
    await until('the save is under way', async () =>
      (await here.sample.servers.redis.command('INFO', 'persistence')).includes('rdb_bgsave_in_progress:1'),
    );
    await until('the services are back', here.services.allUp);
    const cancelled = await here.permafrost('cancel', '--json');
    expect(cancelled).toMatchObject({ exitCode: 0, json: { status: 'cancelled', services: 'up' } });
    const { exitCode, report } = await night;
    expect(exitCode).toBe(130);
    expect(report.status).toBe('cancelled');
  } finally {
    await letGo();
  }
  expect(await here.services.allUp()).toBe(true);
  expect((await here.lease()).held).toBe(false);
  expect(await here.remains()).toEqual([]);
  expect(await here.backups()).toEqual(before);
});
