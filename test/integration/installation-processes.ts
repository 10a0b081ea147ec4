import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';
import { connectClient, type TemporalClient } from '../../src/temporal/connection.js';
import { EmbeddedServer } from '../../src/temporal/embedded.js';
import { ensureNamespace } from '../../src/temporal/namespace.js';

/** The processes of an installation, each of which can be killed: the Temporal server and the worker. */

const program = fileURLToPath(new URL('../../dist/scripts/permafrost.js', import.meta.url));

export class ServerOfInstallation {
  #server: EmbeddedServer | undefined;
  #temporal: TemporalClient | undefined;

  constructor(
    readonly state: string,
    readonly ports: { port: number; uiPort: number },
  ) {}

  get client(): Client {
    if (this.#temporal === undefined) throw new Error('the Temporal server is not there');
    return this.#temporal.client;
  }

  async start(): Promise<void> {
    const quiet = () => undefined;
    const log = { info: quiet, warn: quiet, error: quiet };
    const onFresh = () => Promise.resolve();
    this.#server = new EmbeddedServer({ state: this.state, ...this.ports, onFresh, log });
    await this.#server.start();
    this.#temporal = await connectClient({ kind: 'embedded', ...this.ports });
    await ensureNamespace(this.#temporal.connection, this.#temporal.namespace);
  }

  async stop(): Promise<void> {
    await this.#temporal?.close();
    await this.#server?.stop();
    this.#temporal = undefined;
    this.#server = undefined;
  }

  async loseForGood(): Promise<void> {
    process.kill(this.#server?.pid ?? 0, 'SIGKILL');
    await this.stop();
    await rm(join(this.state, 'temporal'), { recursive: true });
  }
}

export class WorkerOfInstallation {
  #process: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(
    readonly log: string,
    readonly configuration: string,
  ) {}

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  async start(env: NodeJS.ProcessEnv = {}): Promise<void> {
    if (!existsSync(program)) throw new Error('dist/ is missing: npm run build');
    const log = openSync(this.log, 'a');
    const before = readFileSync(this.log).length;
    // Dies with the test, whatever ends the test.
    const argv = [
      '--pdeathsig',
      'KILL',
      '--',
      process.execPath,
      program,
      'worker',
      '--config',
      this.configuration,
    ];
    const started = spawn('setpriv', argv, { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
    this.#process = started;
    this.#ended = new Promise((resolve) =>
      started.once('exit', () => {
        resolve();
      }),
    );
    await until('the worker works', async () => {
      if (started.exitCode !== null) throw new Error(`the worker ended: ${await readFile(this.log, 'utf8')}`);
      return (await readFile(this.log)).subarray(before).includes('The worker works for');
    });
  }

  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#process?.kill(signal);
    await this.#ended;
    this.#process = undefined;
  }
}

/** Waits until a condition holds. @throws when that takes longer than two minutes. */
export async function until(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + 120_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within two minutes: ${what}`);
    await sleep(50);
  }
}
