import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { RestoreReport, UndoReport } from '../../src/backups/restore-report.js';
import { toolPath } from '../../src/hosts/tools.js';
import { guardWorkflowId, restoreWorkflowId, TASK_QUEUE, WORKFLOWS } from '../../src/workflows/names.js';
import { startSshd } from './hosts/sshd.js';
import { holdTheRename } from './obstacles.js';
import { type Installation, type OffsiteSettings, setUpInstallation, until } from './installation.js';
import { processes, stopAsSoonAsThere } from './stopped-process.js';

/** An instance is put back on its own host, and taken back again: one night, and what was written after it. */

vi.setConfig({ testTimeout: 300_000 });

let here: Installation;
let backup: string;
let media: string;
beforeAll(async () => {
  here = await setUpInstallation({ name: 'restore', more: remote });
  const night = await here.backup();
  expect(night).toMatchObject({ exitCode: 0, report: { status: 'sealed' } });
  ({ backup } = night.report);
  media = join(here.sample.root, 'public/system');
  await post('written after the night');
}, 180_000);
afterAll(() => here?.remove());

/** An off-site that every host reaches: that all of them are this machine is what rclone need not know. */
async function remote(folder: string): Promise<Record<string, OffsiteSettings>> {
  const configFile = join(folder, 'rclone.conf');
  const { stdout } = await execa(toolPath('rclone').path, ['obscure', 'one']);
  const lines = ['[cloud]', 'type = crypt', `remote = ${join(folder, 'cloud')}`, `password = ${stdout}`, ''];
  writeFileSync(configFile, lines.join('\n'), { mode: 0o600 });
  return { cloud: { kind: 'rclone', remote: 'cloud:mastodon', configFile } };
}

const takeBack: (() => unknown)[] = [];
afterEach(async () => {
  for (const action of takeBack.splice(0).reverse()) await action();
});

async function post(status: string): Promise<void> {
  const answer = await fetch(new URL('/api/v1/statuses', here.sample.url), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ status }),
  });
  expect(answer.ok).toBe(true);
}

const sql = (text: string, database = here.sample.database.name) =>
  here.sample.servers.postgres.sql(database, text);

/** Posts that were written by these tests. */
async function posts(): Promise<string[]> {
  const rows = await sql("SELECT text FROM statuses WHERE text LIKE 'written %' ORDER BY id");
  return rows.split('\n').filter((line) => line !== '');
}

async function databases(): Promise<string[]> {
  return (await sql('SELECT datname FROM pg_database ORDER BY 1', 'postgres'))
    .split('\n')
    .filter((name) => name !== '');
}

/** The media as they are: every file with its content's size and time. */
function files(): string[] {
  return readdirSync(media, { recursive: true, encoding: 'utf8' })
    .map((path) => ({ path, stat: statSync(join(media, path)) }))
    .filter(({ stat }) => stat.isFile())
    .map(
      ({ path, stat }) =>
        `${path} ${String(stat.size)} ${String(Math.round(stat.mtimeMs))} ${stat.mode.toString(8)}`,
    )
    .sort();
}

/** All that a failed restore must not have changed. */
async function everything() {
  return {
    posts: await posts(),
    databases: await databases(),
    env: readFileSync(here.sample.envFile, 'utf8'),
    files: files(),
    up: await here.services.allUp(),
    lease: (await here.lease()).held,
    remains: await remains(),
  };
}

/** What restores have on their host while they are at work. */
async function remains(): Promise<string[]> {
  const staging = join(here.state, 'host/restore', here.domain);
  const reading = join(here.state, 'reading');
  return [
    ...(await here.remains()),
    ...(existsSync(staging) ? [staging] : []),
    ...(await databases()).filter((name) => name.includes('_restore_')),
    ...(existsSync(reading) ? readdirSync(reading) : []),
  ];
}

async function restore(
  ...words: string[]
): Promise<{ exitCode: number; report: RestoreReport; stderr: string }> {
  const { exitCode, json, stderr } = await here.permafrost('restore', '--yes', '--json', ...words);
  return { exitCode, report: json as unknown as RestoreReport, stderr };
}

async function undo(...words: string[]): Promise<{ exitCode: number; report: UndoReport }> {
  const { exitCode, json } = await here.permafrost('undo', '--yes', '--json', ...words);
  return { exitCode, report: json as unknown as UndoReport };
}

async function started(...words: string[]) {
  const said = await here.permafrost('restore', '--yes', '--detach', '--json', ...words);
  expect(said.exitCode).toBe(0);
  return here.client.workflow.getHandle(restoreWorkflowId(here.domain));
}

/** A restore that stands still in a program of the host's, as a large one would be at work there. */
async function restoreStandingAt(what: string, find: () => number[], ...words: string[]) {
  const [handle, goOn] = await Promise.all([started(...words), stopAsSoonAsThere(what, find)]);
  takeBack.push(goOn);
  return { handle, goOn };
}

/** A restore that stands still in its swap, the services down. */
async function standingInItsSwap<Begun>(begin: () => Promise<Begun> | Begun) {
  const letRename = await holdTheRename(here.sample);
  try {
    const [begun, goOn] = await Promise.all([begin(), stopAsSoonAsThere('the swap', swaps)]);
    takeBack.push(goOn);
    return { begun, goOn };
  } finally {
    await letRename();
  }
}

const loaders = () => processes('pg_restore', '_restore_');
const swaps = () => processes('swap.sh', 'forward', here.state);

const status = async () =>
  (await here.permafrost('status', '--json')).json as {
    problems: string[];
    undos: { restore: string; possible: boolean; undoUntil: string }[];
  };

describe('without leave', () => {
  test('a plan says what would happen, and touches nothing', async () => {
    const before = await everything();
    const pids = await here.services.pids();
    const { exitCode, report } = await restore('--plan');
    expect(exitCode).toBe(0);
    expect(report).toMatchObject({
      ...{ status: 'planned', backup, from: 'vault', parts: ['database', 'secrets', 'media'] },
      plan: { inPlace: true, services: ['web', 'sidekiq', 'streaming'], changedSecrets: [] },
    });
    expect(report.plan?.redis).toEqual(expect.any(String));
    expect(report.plan?.lost.detail).toEqual(expect.any(String));
    expect(await everything()).toEqual(before);
    expect(await here.services.pids()).toEqual(pids);
  });

  test('nobody to ask: it is not done, and what to give is said', async () => {
    const said = await here.permafrost('restore');
    expect(said.exitCode).toBe(2);
    expect(said.stderr).toContain('--yes');
  });

  test('a run without a permit is refused, and the operator hears of it', async () => {
    const before = await everything();
    const request = { instance: here.domain, backup, from: 'vault', parts: ['database'] };
    const run = here.client.workflow.execute(WORKFLOWS.restore, {
      taskQueue: TASK_QUEUE,
      workflowId: restoreWorkflowId(here.domain),
      args: [{ ...request, permit: '0'.repeat(48) }],
    });
    await expect(run).rejects.toMatchObject({ cause: { type: 'Refused' } });
    expect(await everything()).toEqual(before);
    expect((await status()).problems).toEqual([expect.stringContaining('without a permit')]);
    rmSync(join(here.state, 'refusals'), { recursive: true });
  });
});

describe('in place', () => {
  let done: Awaited<ReturnType<typeof restore>>;

  test('the night is back, what was written since is gone, and services stood still for the swap alone', async () => {
    const pids = await here.services.pids();
    const media = files();
    const key = await here.sample.servers.redis.command('SET', 'written-after-the-night', 'yes');
    expect(key).toContain('OK');
    done = await restore();
    expect(done.stderr).not.toContain('FAILED');
    expect(done).toMatchObject({
      exitCode: 0,
      report: {
        ...{
          status: 'restored',
          backup,
          from: 'vault',
          services: 'up',
          undoUntil: expect.any(String) as string,
        },
        media: { added: 0 },
      },
    });
    expect(done.report.downtimeMs).toBeGreaterThan(0);
    expect(done.report.checks.filter(({ passed }) => !passed)).toEqual([]);
    expect(done.report.checks.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['pg-restore', 'row-counts', 'secrets-open', 'newest-status']),
    );
    expect(await posts()).toEqual([]);
    expect(files()).toEqual(media);
    // Redis was not asked for: what is newer than the database stays.
    expect(await here.sample.servers.redis.command('GET', 'written-after-the-night')).toContain('yes');
    expect(await here.services.allUp()).toBe(true);
    expect((await here.services.pids()).filter((pid) => pids.includes(pid))).toEqual([]);
    expect((await here.lease()).held).toBe(false);
    expect(await remains()).toEqual([]);
    expect(await status()).toMatchObject({
      problems: [],
      undos: [{ restore: done.report.restore, possible: true, undoUntil: done.report.undoUntil }],
    });
    await post('written after the restore');
  });

  test('an undo brings back what was there before it', async () => {
    const { exitCode, report } = await undo();
    expect(exitCode).toBe(0);
    expect(report).toMatchObject({ restore: done.report.restore, status: 'undone', services: 'up' });
    expect(await posts()).toEqual(['written after the night']);
    expect(await here.services.allUp()).toBe(true);
    expect(await remains()).toEqual([]);
    expect((await status()).undos).toMatchObject([{ possible: false }]);
    expect(await undo()).toMatchObject({ exitCode: 2 });
  });
});

describe('parts', () => {
  test('secrets and Redis, when they are asked for: secrets named, never shown; the database stays', async () => {
    const night = readFileSync(here.sample.envFile, 'utf8');
    const changed = night.replace(/^SECRET_KEY_BASE=.*$/m, 'SECRET_KEY_BASE=a-planted-secret');
    expect(changed).not.toBe(night);
    writeFileSync(here.sample.envFile, changed);
    takeBack.push(() => {
      writeFileSync(here.sample.envFile, night);
    });
    const { exitCode, report } = await restore('--parts', 'secrets,redis');
    expect(exitCode).toBe(0);
    expect(report).toMatchObject({
      status: 'restored',
      changedSecrets: ['SECRET_KEY_BASE'],
      services: 'up',
    });
    expect(JSON.stringify(report)).not.toContain('a-planted-secret');
    expect(readFileSync(here.sample.envFile, 'utf8')).toBe(night);
    expect(await here.sample.servers.redis.command('EXISTS', 'written-after-the-night')).toContain('0');
    expect(await posts()).toEqual(['written after the night']);
    expect(await undo()).toMatchObject({ exitCode: 0 });
    expect(readFileSync(here.sample.envFile, 'utf8')).toBe(changed);
    expect(await here.sample.servers.redis.command('EXISTS', 'written-after-the-night')).toContain('1');
  });

  test('media alone: what is missing is added, nothing else changes, nothing is stopped', async () => {
    const before = files();
    const paths = before.map((line) => line.split(' ')[0] ?? '').filter((path) => !path.startsWith('cache/'));
    const [gone = '', other = ''] = paths;
    const pids = await here.services.pids();
    rmSync(join(media, gone));
    const was = readFileSync(join(media, other));
    takeBack.push(() => {
      writeFileSync(join(media, other), was);
    });
    writeFileSync(join(media, other), 'not what it was');
    writeFileSync(join(media, 'new.png'), 'new');
    takeBack.push(() => {
      rmSync(join(media, 'new.png'));
    });
    const changed = files();
    const { exitCode, report } = await restore('--parts', 'media');
    expect(exitCode).toBe(0);
    expect(report).toMatchObject({
      status: 'restored',
      services: 'untouched',
      media: { added: 1 },
      undoUntil: null,
    });
    expect(files().filter((line) => !changed.includes(line))).toEqual(
      before.filter((line) => line.startsWith(`${gone} `)),
    );
    expect(changed.filter((line) => !files().includes(line))).toEqual([]);
    expect(await here.services.pids()).toEqual(pids);
    expect(await remains()).toEqual([]);
  });
});

describe('what goes wrong', () => {
  test('secrets that do not open the database: exit 6, all is as it was', async () => {
    const night = readFileSync(here.sample.envFile, 'utf8');
    const changed = night.replace(/^(ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY=).*$/m, `$1${'x'.repeat(32)}`);
    writeFileSync(here.sample.envFile, changed);
    takeBack.push(() => {
      writeFileSync(here.sample.envFile, night);
    });
    const before = await everything();
    const pids = await here.services.pids();
    const { exitCode, report } = await restore('--parts', 'database');
    expect(exitCode).toBe(6);
    expect(report).toMatchObject({
      status: 'failed',
      services: 'untouched',
      error: { type: 'NotRestorable' },
    });
    expect(report.checks.filter(({ passed }) => !passed).map(({ name }) => name)).toContain('secrets-open');
    expect(await everything()).toEqual(before);
    expect(await here.services.pids()).toEqual(pids);
  });

  test('cancelled in the load: all is as it was, also the media that had come', async () => {
    const gone = files().map((line) => line.split(' ')[0] ?? '')[0] ?? '';
    const content = readFileSync(join(media, gone));
    rmSync(join(media, gone));
    takeBack.push(() => {
      writeFileSync(join(media, gone), content);
    });
    const before = await everything();
    const pids = await here.services.pids();
    const { handle } = await restoreStandingAt('the load', loaders);
    await until('the media have come', () => existsSync(join(media, gone)));
    expect(await here.permafrost('cancel', '--json')).toMatchObject({
      ...{ exitCode: 0, json: { workflowId: handle.workflowId, status: 'cancelled', services: 'untouched' } },
    });
    expect(await everything()).toEqual(before);
    expect(await here.services.pids()).toEqual(pids);
  });

  test('terminated in the swap: the guard takes it back, and the services are up on what was there', async () => {
    const before = await everything();
    const { begun: handle } = await standingInItsSwap(() => started('--parts', 'database,secrets'));
    expect(await here.services.allDown()).toBe(true);
    await handle.terminate('by a test');
    const guard = here.client.workflow.getHandle(guardWorkflowId(here.domain));
    await until('the guard has ended', async () => (await guard.describe()).status.name !== 'RUNNING');
    expect(await posts()).toEqual(before.posts);
    expect(await here.services.allUp()).toBe(true);
    expect((await here.lease()).held).toBe(false);
    // What it has left holds secrets: it goes within minutes, by a schedule.
    expect(await remains()).not.toEqual([]);
    await here.client.workflow.execute(WORKFLOWS.expire, {
      taskQueue: TASK_QUEUE,
      workflowId: WORKFLOWS.expire,
    });
    // The worker, too, hears at some time that the run is gone, and may just be removing a job's folder.
    await expect.poll(everything, { timeout: 60_000, interval: 500 }).toEqual(before);
  });

  test('a worker that goes in the load and one that is killed in the swap: the next one goes on, and it is restored', async () => {
    const { handle, goOn } = await restoreStandingAt('the load', loaders, '--parts', 'database');
    const taken = () =>
      until('the next worker has taken it up', async () => {
        const { raw } = await handle.describe();
        return (raw.pendingActivities ?? []).some(({ attempt }) => (attempt ?? 1) > 1);
      });
    const [loader] = loaders();
    await here.worker.stop();
    await here.worker.start();
    await taken();
    expect(loaders()[0]).toBe(loader);
    const { goOn: swapOn } = await standingInItsSwap(goOn);
    await here.worker.kill();
    await here.worker.start();
    await taken();
    expect(await here.services.allDown()).toBe(true);
    swapOn();
    expect(await handle.result()).toMatchObject({ status: 'restored', services: 'up' });
    expect(await posts()).toEqual([]);
    expect(await here.services.allUp()).toBe(true);
    expect(await remains()).toEqual([]);
  });
});

test('to another host, which its permit names and nothing else', async () => {
  const sshd = await startSshd();
  takeBack.push(() => sshd.stop());
  const folder = '/var/lib/permafrost'; // root's own there
  const wasThere = existsSync(folder);
  takeBack.push(() => {
    const ours = ['lease', 'restore', 'undo'].map((name) => join(folder, name, here.domain));
    for (const path of wasThere ? ours : [folder]) rmSync(path, { recursive: true, force: true });
  });
  const to = ['--to', 'root@127.0.0.1', '--port', String(sshd.port)];
  const keys = ['--identity-file', sshd.identityFile, '--known-hosts', sshd.knownHosts];
  // A folder of the instance's own host is none of another's.
  const unseen = await restore('--parts', 'secrets', '--from', 'vault', ...to, ...keys);
  expect(unseen).toMatchObject({ exitCode: 3, report: { services: 'untouched' } });

  await post('written before it moved');
  const { exitCode, report } = await restore('--parts', 'database,secrets', ...to, ...keys);
  expect(report.error).toBeUndefined();
  expect(exitCode).toBe(0);
  expect(report).toMatchObject({
    ...{ status: 'restored', from: 'cloud', services: 'up', to: `root@127.0.0.1:${String(sshd.port)}` },
  });
  expect(await posts()).toEqual([]);
  expect(existsSync(join(folder, 'restore', here.domain))).toBe(false);
  const history = await here.client.workflow.getHandle(restoreWorkflowId(here.domain)).fetchHistory();
  const texts = JSON.stringify(history, (_key, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
  );
  expect(texts).toContain('swapRestore');
  expect(texts).not.toContain(sshd.identityFile);
  expect(await undo()).toMatchObject({ exitCode: 0, report: { to: `root@127.0.0.1:${String(sshd.port)}` } });
  expect(await posts()).toContain('written before it moved');
  expect(await here.services.allUp()).toBe(true);
  expect(await remains()).toEqual([]);
  // What it keeps there goes with the folder, before the schedule looks for it.
  const records = join(here.state, 'restores', here.domain);
  rmSync(join(records, `${report.restore}.json`));
  const kept = (await databases()).filter((name) => name.endsWith(report.restore.toLowerCase()));
  for (const name of kept) await sql(`DROP DATABASE "${name}"`, 'postgres');
});

test('what was kept for undos goes when its time is over, and nothing else', async () => {
  const kept = (await databases()).filter((name) => /_(?:before|undone)_/.test(name));
  expect(kept.length).toBeGreaterThan(0);
  const folder = join(here.state, 'restores', here.domain);
  const expire = () =>
    here.client.workflow.execute(WORKFLOWS.expire, { taskQueue: TASK_QUEUE, workflowId: WORKFLOWS.expire });
  await expire();
  expect((await databases()).filter((name) => kept.includes(name))).toEqual(kept);
  const over = new Date(Date.now() - 1000).toISOString();
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...record, undoUntil: over }));
    const plan = join(here.state, 'host/undo', here.domain, name.replace('.json', ''), 'plan.json');
    const journal = JSON.parse(readFileSync(plan, 'utf8')) as Record<string, unknown>;
    writeFileSync(plan, JSON.stringify({ ...journal, undoUntil: over }));
  }
  await expire();
  expect((await databases()).filter((name) => name.includes(here.sample.database.name))).toEqual([
    here.sample.database.name,
  ]);
  expect(existsSync(join(here.state, 'host/undo', here.domain))).toBe(false);
  expect(await status()).toMatchObject({ undos: [], problems: [] });
  expect(await here.services.allUp()).toBe(true);
});
