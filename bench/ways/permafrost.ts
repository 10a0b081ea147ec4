import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
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
import { profileOf } from '../figures/profile.js';
import { bytesIn, settled } from '../watch/folder.js';
import { memoryOf, WorkWatch } from '../watch/processes.js';
import { ServicesWatch } from '../watch/services.js';
import type { Ground } from './script.js';
import type { Night, Way } from './way.js';

/** The real program as an operator runs it: `up` with a Temporal server of its own, `offsite init`, `backup`. */
export class PermafrostWay implements Way {
  readonly #instance: SampleInstance;
  readonly #folder: string;
  readonly #vault: string;
  readonly #state: string;
  readonly #permafrost: Permafrost;
  #up: Promise<Up> | undefined;
  #port = 0;

  constructor({ instance, folder }: Ground) {
    this.#instance = instance;
    this.#folder = folder;
    this.#vault = join(folder, 'vault');
    this.#state = join(folder, 'state');
    this.#permafrost = new Permafrost(join(folder, 'permafrost.yaml'));
  }

  async night(): Promise<Night> {
    this.#up ??= this.#begin();
    const up = await this.#up;
    const before = await bytesIn(this.#vault);
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
    const history = await this.#history(report);
    const { worker, server } = up.processes;
    return {
      ...{ wallMs, outageMs, bytesAdded: (await bytesIn(this.#vault)) - before },
      permafrost: {
        reportedDowntimeMs: report.downtimeMs,
        reportedBytes: report.offsites.reduce((sum, { bytesAdded }) => sum + bytesAdded, 0),
        workerRestBytes,
        workerPeakBytes: memoryOf(worker).peak,
        serverPeakBytes: server === undefined ? 0 : memoryOf(server).peak,
        historyEvents: history.events?.length ?? 0,
        profile: profileOf(readHistory(history), report.phases, ran),
      },
    };
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
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** A configuration with nothing in it but what has to be, and the repository made. */
  async #begin(): Promise<Up> {
    const { domain, root, services, healthUrl } = this.#instance;
    await mkdir(this.#vault, { recursive: true });
    this.#port = await freePort();
    const passwordFile = join(this.#folder, 'vault.password');
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
      offsites: { vault: { kind: 'restic', repository: this.#vault, passwordFile } },
      temporal: { embedded: { port: this.#port, uiPort: await freePort() } },
      state: this.#state,
    };
    await writeFile(passwordFile, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
    await writeFile(this.#permafrost.configFile, stringify(configuration));
    const up = await Up.start(this.#permafrost, { state: this.#state, log: join(this.#folder, 'up.log') });
    const { exitCode, stderr } = await this.#permafrost.run(['offsite', 'init']);
    if (exitCode !== 0)
      throw new Failure('CommandFailed', `permafrost offsite init failed: ${stderr.slice(-1000)}`);
    return up;
  }

  async #history({ workflowId, runId }: BackupReport) {
    const { client, close } = await connectClient({ kind: 'embedded', port: this.#port, uiPort: 0 });
    try {
      return await client.workflow.getHandle(workflowId, runId).fetchHistory();
    } finally {
      await close();
    }
  }
}
