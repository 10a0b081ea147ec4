import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Failure } from '../../src/errors.js';
import { serversOf } from '../../src/temporal/processes.js';
import { ServerFiles } from '../../src/temporal/server-files.js';
import type { Permafrost, RunningCommand } from './command.js';

const readySchema = z.object({ ready: z.literal(true), ui: z.string() });

/** `permafrost up`: a Temporal server, its UI and the worker. What it logs goes to a file. */
export class Up {
  /** The address of Temporal's UI. */
  readonly ui: string;
  readonly #running: RunningCommand;
  readonly #database: string;

  private constructor(running: RunningCommand, ui: string, state: string) {
    this.#running = running;
    this.ui = ui;
    this.#database = new ServerFiles(join(state, 'temporal')).database;
  }

  /** Starts it and waits until it is ready. @throws Failure `TemporalUnreachable` with the end of its log. */
  static async start(permafrost: Permafrost, place: { state: string; log: string }): Promise<Up> {
    const running = permafrost.start(['up', '--json']);
    running.onOutput('stderr', (text) => void appendFile(place.log, text));
    let said = '';
    const ready = new Promise<z.infer<typeof readySchema>>((resolve) => {
      running.onOutput('stdout', (text) => {
        said += text;
        const parsed = readySchema.safeParse(jsonOf(said));
        if (parsed.success) resolve(parsed.data);
      });
    });
    const first = await Promise.race([ready, running.ended]);
    if ('ready' in first) return new Up(running, first.ui, place.state);
    const log = await readFile(place.log, 'utf8').catch(() => '');
    throw new Failure('TemporalUnreachable', `permafrost up ended by itself: ${log.trim().slice(-800)}`, {
      next: 'Run the demo again; if that does not help, please report this message.',
    });
  }

  /** The worker's and the Temporal server's process. */
  get processes(): { worker: number; server: number | undefined } {
    return { worker: this.#running.pid ?? 0, server: serversOf(this.#database)[0]?.pid };
  }

  /** SIGKILL to the worker and to the Temporal server: nothing of either gets to run another instruction. */
  async kill(): Promise<void> {
    const { server } = this.processes;
    this.#running.kill('SIGKILL');
    if (server !== undefined) process.kill(server, 'SIGKILL');
    await this.#running.ended;
  }

  /** Ends it in good order. */
  async stop(): Promise<void> {
    this.#running.kill('SIGTERM');
    const timer = setTimeout(() => this.#running.kill('SIGKILL'), 30_000);
    await this.#running.ended;
    clearTimeout(timer);
    // What a worker that had to be killed has left.
    for (const { pid } of serversOf(this.#database)) process.kill(pid, 'SIGKILL');
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
