import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { SampleInstance } from '../../sample/instance.js';
import { freePort } from '../../sample/ports.js';
import { Permafrost } from '../../scripts/demo/command.js';
import { clearHost, removeKeys } from '../../scripts/demo/remains.js';
import { Up } from '../../scripts/demo/up.js';
import type { BackupReport } from '../../src/backups/report.js';
import { Failure } from '../../src/errors.js';
import { connectClient } from '../../src/temporal/connection.js';
import { readHistory } from '../figures/history.js';
import { deliveryMs, mediaMs, profileOf } from '../figures/profile.js';
import { openPlace } from '../places/open.js';
import type { Kind, Place } from '../places/place.js';
import { bytesIn, settled } from '../watch/folder.js';
import { memoryOf, WorkWatch } from '../watch/processes.js';
import { ServicesWatch } from '../watch/services.js';
import type { TimedStep } from '../restores/trial.js';
import type { Ground } from './script.js';
import type { Night, Way } from './way.js';

/** The real program as an operator runs it: `up` with a Temporal server of its own, `offsite init`, `backup`. */
export class PermafrostWay implements Way {
  readonly #instance: SampleInstance;
  readonly #folder: string;
  readonly #kinds: readonly Kind[];
  readonly #state: string;
  readonly #permafrost: Permafrost;
  readonly #places: Place[] = [];
  #up: Promise<Up> | undefined;
  #port = 0;

  /** @param kinds of its off-sites, one of each. */
  constructor({ instance, folder }: Ground, kinds: readonly Kind[]) {
    this.#instance = instance;
    this.#folder = folder;
    this.#kinds = kinds;
    this.#state = join(folder, 'state');
    this.#permafrost = new Permafrost(join(folder, 'permafrost.yaml'));
  }

  async night(): Promise<Night> {
    this.#up ??= this.#begin();
    const up = await this.#up;
    const before = await this.#stored();
    await settled();
    const services = new ServicesWatch(this.#instance);
    const work = new WorkWatch({
      worker: up.processes.worker,
      jobsFolder: join(this.#state, 'host', 'jobs'),
    });
    const workerRestBytes = memoryOf(up.processes.worker).now;
    const began = performance.now();
    const { exitCode, stdout, stderr } = await this.#permafrost.run(['backup', '--json']);
    const wallMs = performance.now() - began;
    const [outageMs, ran] = [await services.end(), await work.end()];
    const report = JSON.parse(stdout) as BackupReport;
    if (exitCode !== 0 || report.status !== 'sealed') {
      throw new Failure(
        'CommandFailed',
        `permafrost backup ended with ${String(exitCode)}: ${stderr.slice(-1500)}`,
      );
    }
    const events = await this.#history(report);
    const history = readHistory(events);
    const { worker, server } = up.processes;
    return {
      ...{ wallMs, outageMs, bytesAdded: (await this.#stored()) - before },
      permafrost: {
        reportedDowntimeMs: report.downtimeMs,
        reportedBytes: report.offsites.reduce((sum, { bytesAdded }) => sum + bytesAdded, 0),
        workerRestBytes,
        workerPeakBytes: memoryOf(worker).peak,
        serverPeakBytes: server === undefined ? 0 : memoryOf(server).peak,
        historyEvents: events.events?.length ?? 0,
        deliveryMs: deliveryMs(report.phases),
        mediaMs: mediaMs(history),
        profile: profileOf(history, report.phases, ran),
      },
    };
  }

  /** Runs a verb with `--json`. @returns what it printed. @throws Failure `CommandFailed` unless it ended well. */
  async ask(words: readonly string[]): Promise<unknown> {
    await (this.#up ??= this.#begin());
    const { exitCode, stdout, stderr } = await this.#permafrost.run([...words, '--json']);
    if (exitCode === 0) return JSON.parse(stdout);
    throw new Failure(
      'CommandFailed',
      `permafrost ${words.join(' ')} ended with ${String(exitCode)}: ${stdout.slice(-1000)} ${stderr.slice(-1500)}`,
    );
  }

  /** What a run has done when, from its beginning. */
  async stepsOf(run: { workflowId: string; runId: string }): Promise<TimedStep[]> {
    const { from, steps } = readHistory(await this.#history(run));
    return steps.map((step) => ({ name: step.name, fromMs: step.from - from, tookMs: step.to - step.from }));
  }

  /** Where its restic off-site is, for the bare tool. */
  repository(): { repository: string; passwordFile: string } {
    const config = this.#places.find(({ kind }) => kind === 'restic')?.config ?? {};
    return { repository: String(config['repository']), passwordFile: String(config['passwordFile']) };
  }

  async clear(): Promise<void> {
    const up = await this.#up?.catch(() => undefined);
    if (up !== undefined) {
      await this.#permafrost.run(['cancel', '--json']);
      await up.stop();
    }
    await this.#permafrost.finish(20_000);
    await clearHost(this.#state, this.#instance.domain);
    await removeKeys(this.#state, this.#instance.domain);
    for (const place of this.#places) await place.close();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #stored(): Promise<number> {
    let bytes = 0;
    for (const { folder } of this.#places) bytes += await bytesIn(folder);
    return bytes;
  }

  /** A configuration with nothing in it but what has to be, and the off-sites set up. */
  async #begin(): Promise<Up> {
    const { domain, root, services, healthUrl } = this.#instance;
    for (const kind of this.#kinds) this.#places.push(await openPlace(kind, join(this.#folder, kind)));
    this.#port = await freePort();
    const { names, start, stop, status } = services;
    const configuration = {
      instances: {
        [domain]: {
          host: 'local',
          mastodon: { root, services: { kind: 'commands', names, start, stop, status }, health: healthUrl },
          // Not while it is measured.
          schedule: { backup: { at: new Date(Date.now() + 12 * 3_600_000).toISOString().slice(11, 16) } },
        },
      },
      offsites: Object.fromEntries(this.#places.map(({ kind, config }) => [kind, config])),
      temporal: { embedded: { port: this.#port, uiPort: await freePort() } },
      state: this.#state,
    };
    await writeFile(this.#permafrost.configFile, stringify(configuration));
    const up = await Up.start(this.#permafrost, { state: this.#state, log: join(this.#folder, 'up.log') });
    const { exitCode, stderr } = await this.#permafrost.run(['offsite', 'init']);
    if (exitCode !== 0)
      throw new Failure('CommandFailed', `permafrost offsite init failed: ${stderr.slice(-1000)}`);
    return up;
  }

  async #history({ workflowId, runId }: { workflowId: string; runId: string }) {
    const { client, close } = await connectClient({ kind: 'embedded', port: this.#port, uiPort: 0 });
    try {
      return await client.workflow.getHandle(workflowId, runId).fetchHistory();
    } finally {
      await close();
    }
  }
}
