import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import type { SampleInstance } from '../../sample/instance.js';
import { Failure } from '../../src/errors.js';
import type { Stretch } from '../stretches.js';

const lookEveryMs = 10;

/** Services that are still down this long after everything is over do not come back. */
const patienceMs = 60_000;

/**
 * Watches the services from outside, the same for everybody who stops them: they are down from the moment at which the
 * first of them has ended until all of them run and the web service answers.
 */
export class ServicesWatch {
  readonly outages: Stretch[] = [];
  readonly #instance: SampleInstance;
  readonly #watching: Promise<void>;
  #endingAt: number | undefined;

  constructor(instance: SampleInstance) {
    this.#instance = instance;
    this.#watching = this.#watch();
  }

  /**
   * @returns the milliseconds for which they were down while they were watched.
   * @throws Failure `ServicesDown` when they stay down.
   */
  async end(): Promise<number> {
    this.#endingAt = Date.now();
    await this.#watching;
    return this.outages.reduce((sum, { from, to }) => sum + to - from, 0);
  }

  async #watch(): Promise<void> {
    let downSince: number | undefined;
    while (this.#endingAt === undefined || downSince !== undefined) {
      const running = this.#allRun();
      if (downSince === undefined && !running) downSince = Date.now();
      else if (downSince !== undefined && running && (await answers(this.#instance.healthUrl))) {
        this.outages.push({ from: downSince, to: Date.now() });
        downSince = undefined;
      }
      if (this.#endingAt !== undefined && Date.now() > this.#endingAt + patienceMs) {
        throw new Failure('ServicesDown', 'The services did not come back after a night.', {
          next: `Read what is in log/ below ${this.#instance.root}.`,
        });
      }
      await sleep(lookEveryMs);
    }
  }

  #allRun(): boolean {
    return this.#instance.services.names.every((name) => {
      try {
        const pid = readFileSync(join(this.#instance.root, 'tmp', 'pids', `${name}.pid`), 'utf8').trim();
        return pid !== '' && existsSync(`/proc/${pid}`);
      } catch {
        return false;
      }
    });
  }
}

/** Stops all services side by side, as `kind: commands` does. */
export async function stopServices({ services }: SampleInstance): Promise<void> {
  await Promise.all(services.stop.map(([command = '', ...words]) => execa(command, words)));
}

/** Starts all services side by side and returns when the web service answers. */
export async function startServices({ services, healthUrl }: SampleInstance): Promise<void> {
  await Promise.all(services.start.map(([command = '', ...words]) => execa(command, words)));
  for (const end = Date.now() + patienceMs; !(await answers(healthUrl)) && Date.now() < end;)
    await sleep(lookEveryMs);
}

/** What a stop and a start take with nothing between them: the services' own time. Milliseconds, once for each try. */
export async function ownTimes(instance: SampleInstance, tries: number): Promise<number[]> {
  const times: number[] = [];
  for (let at = 0; at < tries; at++) {
    const watch = new ServicesWatch(instance);
    await stopServices(instance);
    await startServices(instance);
    times.push(await watch.end());
  }
  return times;
}

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    (answer) => answer.ok,
    () => false,
  );
}
