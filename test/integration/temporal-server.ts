import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { Configuration } from '../../src/config/configuration.js';
import { type Tool, toolPath } from '../../src/hosts/tools.js';
import { connectClient, type TemporalClient } from '../../src/temporal/connection.js';
import { EmbeddedServer, type EmbeddedOptions } from '../../src/temporal/embedded.js';
import { freePort } from '../../src/temporal/server-process.js';

const cleanups: (() => Promise<void> | void)[] = [];

/** Runs after the test, the last one first. */
export function cleanUp(action: () => Promise<void> | void): void {
  cleanups.push(action);
}

afterEach(async () => {
  for (const action of cleanups.splice(0).reverse()) await action();
});

export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-temporal-'));
  cleanUp(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface TestServer extends EmbeddedServer {
  readonly lines: string[];
  readonly options: EmbeddedOptions;
}

/** A server on free ports that tells what it said (`lines`), not started yet. Ended after the test. */
export async function testServer(options: Partial<EmbeddedOptions> = {}): Promise<TestServer> {
  const lines: string[] = [];
  const say = (message: string) => void lines.push(message);
  const all: EmbeddedOptions = {
    state: options.state ?? scratchFolder(),
    port: await freePort(),
    uiPort: await freePort(),
    onFresh: () => Promise.resolve(),
    log: { info: say, warn: say, error: say },
    lookAgainMs: 200,
    ...options,
  };
  const server = new EmbeddedServer(all);
  cleanUp(() => server.stop());
  return Object.assign(server, { lines, options: all });
}

export async function startedServer(options: Partial<EmbeddedOptions> = {}): Promise<TestServer> {
  const server = await testServer(options);
  await server.start();
  return server;
}

export function clientOf(server: EmbeddedServer): Promise<TemporalClient> {
  return clientAt(server.address);
}

/** Closed after the test. */
export async function clientAt(address: string): Promise<TemporalClient> {
  const client = await connectClient({ kind: 'address', address, namespace: 'default' });
  cleanUp(() => client.close());
  return client;
}

/** The same program under another version's name: what a new pinned version is to the files. */
export function pretended(version: string, folder: string): Tool {
  const tool = toolPath('temporal');
  const path = join(folder, `temporal-${version}`, 'temporal');
  mkdirSync(join(folder, `temporal-${version}`), { recursive: true });
  symlinkSync(tool.path, path);
  return { ...tool, path, version };
}

/** An open run: nobody works on its task queue. */
export async function openRun({ client }: TemporalClient, workflowId: string): Promise<void> {
  await client.workflow.start('backup', { workflowId, taskQueue: 'nobody' });
}

export function listeningAddresses(pid: number): string[] {
  const lines = execFileSync('ss', ['-Hltnp'], { encoding: 'utf8' }).split('\n');
  return lines.filter((line) => line.includes(`pid=${pid},`)).map((line) => line.split(/\s+/)[3] ?? '');
}

/** A configuration of these instances, backed up daily at the given hour; null: not by itself. */
export function nightly(hours: Record<string, number | null>): Pick<Configuration, 'instances'> {
  const schedule = (hour: number) => ({
    hour,
    minute: 17,
    timezone: 'UTC',
    catchUpMs: 21_600_000,
    jitterMs: 300_000,
  });
  const instances = Object.entries(hours).map(([domain, hour]) => [
    domain,
    {
      domain,
      schedule: hour === null ? {} : { backup: schedule(hour), drill: { day: 2, ...schedule(hour) } },
    },
  ]);
  return { instances: Object.fromEntries(instances) as Configuration['instances'] };
}
