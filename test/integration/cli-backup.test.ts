import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { backupCommand } from '../../scripts/backup.js';
import { cancelCommand } from '../../scripts/cancel.js';
import { scheduleCommand } from '../../scripts/schedule.js';
import { toolPath } from '../../src/hosts/tools.js';
import { EmbeddedServer } from '../../src/temporal/embedded.js';
import { ensureNamespace } from '../../src/temporal/namespace.js';
import { freePort } from '../../src/temporal/server-process.js';
import { TASK_QUEUE } from '../../src/workflows/names.js';
import { follow } from '../../scripts/cli/follow.js';
import { Interrupts } from '../../scripts/cli/interrupts.js';
import { Output } from '../../scripts/cli/output.js';
import { progressOutput } from '../../scripts/cli/progress-output.js';
import { ProgressView } from '../../src/terminal/progress.js';
import { CapturedIo } from '../unit/cli/captured-io.js';

/** The command against a real Temporal server, with a stand-in for the workflow (cli-stand-in-workflows.ts). */

const ways = ['sealed', 'partial', 'busy', 'refused', 'slow'];

let folder: string;
let server: EmbeddedServer;
let native: NativeConnection;
let standIn: { code: string };
let connection: Connection;
let client: Client;
let worker: { stop(): Promise<void> } | undefined;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-cli-'));
  const [port, uiPort] = [await freePort(), await freePort()];
  const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
  server = new EmbeddedServer({
    state: join(folder, 'state'),
    port,
    uiPort,
    temporal: toolPath('temporal'),
    onFresh: () => Promise.resolve(),
    log: quiet,
  });
  await server.start();
  connection = await Connection.connect({ address: server.address });
  await ensureNamespace(connection, 'default');
  client = new Client({ connection });
  const logger = new DefaultLogger('ERROR');
  Runtime.install({ logger });
  const workflowsPath = fileURLToPath(new URL('cli-stand-in-workflows.ts', import.meta.url));
  standIn = await bundleWorkflowCode({ workflowsPath, logger });
  native = await NativeConnection.connect({ address: server.address });
  writeFileSync(join(folder, 'permafrost.yaml'), configuration(port, uiPort));
});

afterAll(async () => {
  await native?.close();
  await connection?.close();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

afterEach(async () => {
  await worker?.stop();
  worker = undefined;
});

function configuration(port: number, uiPort: number): string {
  const instance = (way: string) =>
    `  ${way}.example: { host: local, mastodon: { root: /srv/mastodon }, offsites: [vault] }`;
  return [
    'instances:',
    ...ways.map(instance),
    `offsites: { vault: { kind: restic, repository: ${folder}/vault, passwordFile: ${folder}/password } }`,
    `temporal: { embedded: { port: ${port}, uiPort: ${uiPort} } }`,
    `state: ${folder}/state`,
  ].join('\n');
}

async function startWorker(): Promise<void> {
  const started = await Worker.create({
    connection: native,
    taskQueue: TASK_QUEUE,
    workflowBundle: standIn,
  });
  const ended = started.run();
  worker = {
    stop: async () => {
      started.shutdown();
      await ended;
    },
  };
}

function io(terminal = false): CapturedIo {
  return new CapturedIo({ PERMAFROST_CONFIG: join(folder, 'permafrost.yaml'), NO_COLOR: '1' }, terminal);
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!condition() && Date.now() < deadline) await sleep(50);
  expect(condition()).toBe(true);
}

async function cancelAll(domain: string): Promise<void> {
  const open = `PermafrostInstance = '${domain}' AND ExecutionStatus = 'Running'`;
  for await (const { workflowId } of client.workflow.list({ query: open })) {
    const handle = client.workflow.getHandle(workflowId);
    await handle.cancel();
    await handle.result().catch(() => undefined);
  }
}

test('--detach leaves the run waiting, and tells how to follow it', async () => {
  const pipe = io();
  expect(await pipe.run(backupCommand, 'slow.example', '--detach')).toBe(0);
  expect(pipe.stdout.text).toMatch(/permafrost cancel backup\/slow\.example-\d{8}T\d{6}Z/);
  expect(pipe.stdout.text).toContain('No worker answers at the moment');
  await startWorker();
  await cancelAll('slow.example');
});

describe('a backup that is followed', () => {
  test('on a pipe: plain lines, then a summary', async () => {
    await startWorker();
    const pipe = io();
    expect(await pipe.run(backupCommand, 'sealed.example')).toBe(0);
    const text = pipe.stdout.text;
    expect(text).toMatch(
      /^\d\d:\d\d:\d\dZ (preflight|quiesce|capture|upload|verify|seal|prune) (running|done)/m,
    );
    expect(text).toContain('Backup 20261121T031700Z of sealed.example: sealed');
    expect(text).toMatch(/database +1\.2 GB +1/);
    expect(text).toContain('downtime  2.1 s (brief)');
    expect(text).toContain('read back 900 files, 4.6 GB');
    expect(text).toMatch(
      /http:\/\/127\.0\.0\.1:\d+\/namespaces\/default\/workflows\/backup%2Fsealed\.example-/,
    );
    expect(text).not.toContain('\u001b');
  });

  test('on a terminal: one view, redrawn in place', async () => {
    await startWorker();
    const terminal = io(true);
    expect(await terminal.run(backupCommand, 'sealed.example')).toBe(0);
    expect(terminal.stdout.text).toContain('\u001b[J');
    const lastView = terminal.stdout.text.split('\u001b[J').at(-2) ?? '';
    expect(lastView.match(/\bdone\b/g)).toHaveLength(7);
  });

  test('with --json: the report alone', async () => {
    await startWorker();
    const json = io();
    expect(await json.run(backupCommand, 'sealed.example', '--json')).toBe(0);
    expect(json.json()).toMatchObject({ status: 'sealed', instance: 'sealed.example', downtimeMs: 2100 });
    expect(json.stderr.text).toContain('preflight');
  });

  test('sealed, but not everywhere: 5', async () => {
    await startWorker();
    const pipe = io();
    expect(await pipe.run(backupCommand, 'partial.example')).toBe(5);
    expect(pipe.stdout.text).toMatch(/cellar +NOT sealed: the disk is full/);
  });

  test('refused: 3, and where and what to do', async () => {
    await startWorker();
    const pipe = io();
    expect(await pipe.run(backupCommand, 'refused.example')).toBe(3);
    expect(pipe.stderr.text).toMatch(/restic is missing[^]*local[^]*do this/);
    const json = io();
    expect(await json.run(backupCommand, 'refused.example', '--json')).toBe(3);
    expect(json.json()).toMatchObject({
      status: 'failed',
      services: 'untouched',
      error: { code: 3, type: 'Refused', message: 'restic is missing', next: 'do this' },
    });
  });

  test('--dry-run shows the plan', async () => {
    await startWorker();
    const pipe = io();
    expect(await pipe.run(backupCommand, 'sealed.example', '--dry-run')).toBe(0);
    expect(pipe.stdout.text).toContain('Nothing was touched.');
    expect(pipe.stdout.text).toContain('stop mastodon-web');
  });

  test('services that stay down longer than the lease are told while the run goes on', async () => {
    await startWorker();
    const handle = await client.workflow.start('backup', {
      taskQueue: TASK_QUEUE,
      workflowId: 'backup/down.example-by-test',
      args: [{ instance: 'down.example' }],
    });
    const out = new Output(io(), { json: false, verbose: false, color: false });
    const interrupts = new Interrupts(out.io, out);
    const output = progressOutput(out, new ProgressView('Backup'));
    const end = await follow({ client, handle, startedAt: new Date(), output, interrupts, leaseMs: 2_000 });
    interrupts.close();
    expect(end).toMatchObject({ end: 'services down', progress: { services: 'starting' } });
    expect((await handle.describe()).status.name).toBe('RUNNING');
    await handle.cancel();
    await handle.result().catch(() => undefined);
  });
});

describe('without a worker', () => {
  test('says so, and leaves nothing that starts later: 7', async () => {
    const json = io();
    expect(await json.run(backupCommand, 'sealed.example', '--json')).toBe(7);
    const { workflowId, error } = json.json() as { workflowId: string; error: { next: string } };
    expect(error.next).toContain('permafrost up');
    await startWorker();
    await expect(client.workflow.getHandle(workflowId).result()).rejects.toThrow();
    expect((await client.workflow.getHandle(workflowId).describe()).status.name).toBe('CANCELLED');
  });
});

describe('Ctrl-C', () => {
  test('in a terminal it asks, and the run can be cancelled: 130', async () => {
    await startWorker();
    const terminal = io(true);
    const ended = terminal.run(backupCommand, 'slow.example');
    await until(() => terminal.stdout.text.includes('preflight  running'));
    terminal.send('SIGINT');
    await until(() => terminal.stdout.text.includes('[c]ancel'));
    terminal.stdin.write('c\n');
    expect(await ended).toBe(130);
    expect(terminal.stderr.text).toContain('The services are up.');
  });

  test('enter goes on, a second one while it asks detaches, and the run goes on', async () => {
    await startWorker();
    const terminal = io(true);
    const ended = terminal.run(backupCommand, 'slow.example');
    await until(() => terminal.stdout.text.includes('preflight  running'));
    terminal.send('SIGINT');
    await until(() => terminal.stdout.text.includes('[c]ancel'));
    const asked = terminal.stdout.text.length;
    terminal.stdin.write('\n');
    await until(() => terminal.stdout.text.slice(asked).includes('preflight  running'));
    const wentOn = terminal.stdout.text.length;
    terminal.send('SIGINT');
    await until(() => terminal.stdout.text.slice(wentOn).includes('[c]ancel'));
    terminal.send('SIGINT');
    expect(await ended).toBe(8);
    expect(terminal.stdout.text).toContain('The backup of slow.example goes on by itself.');
    await cancelAll('slow.example');
  });

  test('on a pipe it detaches', async () => {
    await startWorker();
    const pipe = io();
    const ended = pipe.run(backupCommand, 'slow.example', '--json');
    await until(() => pipe.stderr.text.includes('preflight running'));
    pipe.send('SIGINT');
    expect(await ended).toBe(8);
    expect(pipe.json()).toMatchObject({ status: 'running', instance: 'slow.example' });
    await cancelAll('slow.example');
  });
});

describe('cancel', () => {
  test('the open run of an instance, and waits until its services are up', async () => {
    await startWorker();
    await io().run(backupCommand, 'slow.example', '--detach');
    await sleep(1_500);
    const json = io();
    expect(await json.run(cancelCommand, 'slow.example', '--json')).toBe(0);
    expect(json.json()).toMatchObject({ status: 'cancelled', services: 'up' });
  });

  test.each([
    ['an instance without an open run', 'sealed.example'],
    ['a run that does not exist', 'backup/nothing'],
  ])('%s: 2', async (_what, word) => {
    const json = io();
    expect(await json.run(cancelCommand, word, '--json')).toBe(2);
    expect(json.json()).toMatchObject({ error: { type: 'NotFound' } });
  });
});

test('busy: 4, and who holds the instance', async () => {
  await startWorker();
  const args = [{ instance: 'slow.example' }];
  const { PermafrostInstance } = await import('../../src/workflows/search-attributes.js');
  const holder = await client.workflow.start('backup', {
    taskQueue: TASK_QUEUE,
    workflowId: 'backup/busy.example-holder',
    args,
    typedSearchAttributes: [{ key: PermafrostInstance, value: 'busy.example' }],
  });
  await sleep(1_500);
  const json = io();
  expect(await json.run(backupCommand, 'busy.example', '--json')).toBe(4);
  expect(json.json()).toMatchObject({
    error: { type: 'Busy', message: expect.stringContaining(holder.workflowId) as string },
  });
  await cancelAll('busy.example');
});

test('schedules: apply, list, pause with a reason, resume', async () => {
  const apply = io();
  expect(await apply.run(scheduleCommand, 'apply')).toBe(0);
  expect(apply.stdout.text).toContain('backup/sealed.example: created');
  const pause = io();
  expect(await pause.run(scheduleCommand, 'pause', 'sealed.example', '--note', 'moving house')).toBe(0);
  expect(pause.stdout.text).toContain('PAUSED: moving house');
  const list = io();
  expect(await list.run(scheduleCommand, 'list', '--json')).toBe(0);
  expect(JSON.parse(list.stdout.text)).toContainEqual(
    expect.objectContaining({ scheduleId: 'backup/sealed.example', paused: true, note: 'moving house' }),
  );
  expect(await io().run(scheduleCommand, 'resume', 'sealed.example')).toBe(0);
});
