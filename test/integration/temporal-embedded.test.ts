import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { toolPath } from '../../src/hosts/tools.js';
import type { FreshServer } from '../../src/temporal/embedded.js';
import { ensureNamespace } from '../../src/temporal/namespace.js';
import { markOf } from '../../src/temporal/processes.js';
import { reconcileSchedules } from '../../src/temporal/schedules.js';
import { freePort } from '../../src/temporal/server-process.js';
import {
  cleanUp,
  clientAt,
  clientOf,
  listeningAddresses,
  nightly,
  openRun,
  pretended,
  scratchFolder,
  startedServer,
  testServer,
} from './temporal-server.js';

const soon = { timeout: 30_000, interval: 100 };

test('history survives a stop', async () => {
  const state = scratchFolder();
  const first = await startedServer({ state });
  await openRun(await clientOf(first), 'kept');
  await first.stop();

  const second = await startedServer({ state });
  const { client } = await clientOf(second);
  expect((await client.workflow.getHandle('kept').describe()).status.name).toBe('RUNNING');
});

test('a server that is killed is started again, says so, and has its history', async () => {
  const server = await startedServer();
  const connected = await clientOf(server);
  const { client } = connected;
  await openRun(connected, 'kept');
  const killed = server.pid ?? 0;
  process.kill(killed, 'SIGKILL');

  await vi.waitFor(async () => {
    expect(server.pid).not.toBe(killed);
    expect((await client.workflow.getHandle('kept').describe()).status.name).toBe('RUNNING');
  }, soon);
  expect(server.lines.join('\n')).toContain('ended by itself (signal SIGKILL): starting it again');
});

test('only this machine can reach it', async () => {
  const server = await startedServer();
  const addresses = listeningAddresses(server.pid ?? 0);
  expect(addresses).toContain(server.address);
  expect(addresses.filter((address) => !address.startsWith('127.0.0.1:'))).toEqual([]);
});

test('only its user can read it, and it leaves the home of that user alone', async () => {
  const server = await startedServer();
  const folder = join(server.options.state, 'temporal');
  expect(statSync(server.options.state).mode & 0o777).toBe(0o700);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  const environment = readFileSync(`/proc/${server.pid}/environ`, 'utf8').split('\0');
  expect(environment).toContain(`HOME=${join(folder, 'home')}`);
  expect(environment).toContain(`XDG_CONFIG_HOME=${join(folder, 'home')}`);
});

test('a second one on the same state folder is refused, and the first is not disturbed', async () => {
  const first = await startedServer();
  const second = await testServer({ state: first.options.state });
  await expect(second.start()).rejects.toMatchObject({
    type: 'Refused',
    message: expect.stringContaining(`Process ${process.pid} already runs`),
  });
  await second.stop();
  await clientOf(first);

  await first.stop();
  await second.start();
});

test('a port that is taken is named', async () => {
  const squatter = createServer().listen({ host: '127.0.0.1', port: await freePort() });
  await once(squatter, 'listening');
  cleanUp(() => void squatter.close());
  const { port } = squatter.address() as { port: number };

  const server = await testServer({ port });
  await expect(server.start()).rejects.toMatchObject({
    type: 'Refused',
    message: `Port ${port} of 127.0.0.1 (temporal.port) is taken by another program`,
    next: expect.stringContaining(`sport = :${port}`),
  });
});

test('a server whose Permafrost was killed is ended at the next start, and its history is there', async () => {
  const state = scratchFolder();
  const [port, uiPort] = [await freePort(), await freePort()];
  const killed = spawn(
    process.execPath,
    ['--input-type=module', '-e', supervisor(compiled(), state, port, uiPort)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  cleanUp(() => void killed.kill('SIGKILL'));
  const orphan = Number(String((await once(killed.stdout, 'data'))[0]));
  const first = await clientAt(`127.0.0.1:${port}`);
  await openRun(first, 'kept');
  await first.close();
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  expect(markOf(orphan)).toBeDefined();

  const next = await startedServer({ state, port, uiPort });
  expect(markOf(orphan)).toBeUndefined();
  expect(next.lines.join('\n')).toContain(`${orphan} was left behind`);
  const { client } = await clientOf(next);
  expect((await client.workflow.getHandle('kept').describe()).status.name).toBe('RUNNING');
});

test('a fresh database is furnished until that worked once, and then no more', async () => {
  const state = scratchFolder();
  const onFresh = vi.fn<(fresh: FreshServer) => Promise<void>>();
  onFresh.mockRejectedValueOnce(new Error('not today'));
  const failing = await testServer({ state, onFresh });
  await expect(failing.start()).rejects.toThrow('not today');

  for (let start = 0; start < 2; start += 1) {
    const server = await startedServer({ state, onFresh });
    await server.stop();
  }
  expect(onFresh).toHaveBeenCalledTimes(2);
});

test('a database whose making was cut short is made anew', async () => {
  const state = scratchFolder();
  const { version, path, sha256 } = toolPath('temporal');
  mkdirSync(join(state, 'temporal', 'database'), { recursive: true });
  writeFileSync(join(state, 'temporal', 'current.json'), JSON.stringify({ version, binary: path, sha256 }));
  writeFileSync(join(state, 'temporal', 'furnish.json'), JSON.stringify({ version, schedules: [] }));
  writeFileSync(join(state, 'temporal', 'database', 'temporal.db'), '');

  await clientOf(await startedServer({ state }));
});

test('another version waits for open runs, then starts fresh with the schedules as they were left', async () => {
  const state = scratchFolder();
  const configuration = nightly({ 'one.example': 3, 'two.example': (new Date().getUTCHours() + 12) % 24 });
  const furnish = async ({ address, schedules }: FreshServer) => {
    const { client, connection, namespace } = await clientAt(address);
    await ensureNamespace(connection, namespace);
    await reconcileSchedules(client, configuration, schedules);
  };
  const former = await startedServer({
    state,
    onFresh: furnish,
    temporal: pretended('1.0.0', scratchFolder()),
  });
  const before = await clientOf(former);
  await before.client.schedule.getHandle('backup/one.example').pause('the disk is being replaced');
  await before.client.schedule.getHandle('reconcile').pause();
  await before.client.schedule.create({
    scheduleId: 'of-somebody-else',
    spec: { intervals: [{ every: '1d' }] },
    action: { type: 'startWorkflow', workflowType: 'x', taskQueue: 'nobody' },
  });
  await openRun(before, 'tonight');
  await former.stop();

  const next = await startedServer({
    state,
    onFresh: furnish,
    temporal: pretended('2.0.0', scratchFolder()),
  });
  expect(next.version).toBe('1.0.0');
  expect(next.lines.join('\n')).toContain('these runs have ended, then 2.0.0 takes over: tonight');
  const during = await clientOf(next);
  expect((await during.client.workflow.getHandle('tonight').describe()).status.name).toBe('RUNNING');
  await during.client.workflow.getHandle('tonight').terminate();

  await vi.waitFor(() => expect(next.version).toBe('2.0.0'), soon);
  const after = await clientOf(next);
  await vi.waitFor(async () => {
    const { state } = await after.client.schedule.getHandle('backup/one.example').describe();
    expect(state).toMatchObject({ paused: true, note: 'the disk is being replaced' });
  }, soon);
  const other = await after.client.schedule.getHandle('backup/two.example').describe();
  expect(other.state.paused).toBe(false);
  expect(next.lines.join('\n')).toContain('stay behind with Temporal 1.0.0: of-somebody-else');
  await expect(after.client.workflow.getHandle('tonight').describe()).rejects.toThrow();
  expect(keptAside(state)).toEqual([expect.stringMatching(/^1\.0\.0-\d{8}T\d{6}Z$/)]);
});

test('a night that was missed while no server ran is caught up before another version takes over', async () => {
  const state = scratchFolder();
  const former = await startedServer({ state, temporal: pretended('1.0.0', scratchFolder()) });
  const { client } = await clientOf(former);
  const at = new Date(Date.now() + 5_000);
  await client.schedule.create({
    scheduleId: 'nightly',
    spec: { calendars: [{ hour: at.getUTCHours(), minute: at.getUTCMinutes(), second: at.getUTCSeconds() }] },
    policies: { catchupWindow: '1h' },
    action: { type: 'startWorkflow', workflowType: 'backup', workflowId: 'missed', taskQueue: 'nobody' },
  });
  await sleep(2_000); // a schedule begins a moment after it was created
  await former.stop();
  await sleep(Math.max(0, at.getTime() + 1_000 - Date.now()));

  const next = await startedServer({ state, temporal: pretended('2.0.0', scratchFolder()) });
  expect(next.version).toBe('1.0.0');
  expect(next.lines.join('\n')).toMatch(/then 2\.0\.0 takes over: missed-/);
});

test('another version starts fresh at once when the former program is gone, and keeps its file', async () => {
  const state = scratchFolder();
  const tools = scratchFolder();
  const former = await startedServer({ state, temporal: pretended('1.0.0', tools) });
  await openRun(await clientOf(former), 'tonight');
  await former.stop();
  rmSync(tools, { recursive: true });

  const next = await startedServer({ state, temporal: pretended('2.0.0', scratchFolder()) });
  expect(next.version).toBe('2.0.0');
  expect(next.lines.join('\n')).toContain('of Temporal 1.0.0, whose program is gone');
  expect(keptAside(state)).toHaveLength(1);
});

function keptAside(state: string): string[] {
  return readdirSync(join(state, 'temporal', 'old'));
}

/** Compiles the temporal room, for a process of its own. Returns the module's path. */
function compiled(): string {
  mkdirSync('.cache', { recursive: true });
  const out = mkdtempSync(join('.cache', 'temporal-test-'));
  cleanUp(() => rmSync(out, { recursive: true, force: true }));
  const tsc = join('node_modules', 'typescript', 'bin', 'tsc');
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--noCheck', '--outDir', out]);
  return join(process.cwd(), out, 'src', 'temporal', 'embedded.js');
}

function supervisor(module: string, state: string, port: number, uiPort: number): string {
  const log = 'log: { info() {}, warn() {}, error() {} }';
  return `
    import { EmbeddedServer } from ${JSON.stringify(module)};
    const temporal = ${JSON.stringify(toolPath('temporal'))};
    const state = ${JSON.stringify(state)};
    const server = new EmbeddedServer({ state, port: ${port}, uiPort: ${uiPort}, temporal, onFresh: async () => {}, ${log} });
    await server.start();
    console.log(server.pid);
  `;
}
