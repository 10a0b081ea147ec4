import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { type SampleInstance, startSampleInstance } from '../../sample/instance.js';
import { freePort } from '../../sample/ports.js';
import { startWriter, type Writer } from '../../sample/writer.js';
import { releaseLease } from '../../src/hosts/lease.js';
import { localHost } from '../../src/hosts/local.js';
import { keysFolder } from '../../src/offsite/keys.js';
import { Permafrost } from './command.js';
import { Up } from './up.js';

/** Moderate: a dump and an upload that take seconds, on a laptop too. */
const size = { accounts: 200, statuses: 5_000, media: 200, mediaBytes: 80_000 };

/** How long the demo waits for its own run to be cancelled, and for its commands to end, before it goes on tidying up. */
const PATIENCE_MS = 20_000;

/** Everything that the demo makes, below one folder of its own, and how it goes away again. */
export class Stage {
  readonly domain: string;
  readonly folder: string;
  readonly state: string;
  readonly permafrost: Permafrost;
  readonly posts: string;
  readonly passwordFile: string;
  readonly repository: string;
  #made = false;
  #instance: Promise<SampleInstance> | undefined;
  #writer: Writer | undefined;
  #up: Promise<Up> | undefined;

  constructor() {
    // Several demos at once keep out of each other's way by their domain: a host knows an instance by that.
    const name = randomBytes(2).toString('hex');
    this.domain = `demo-${name}.example`;
    this.folder = join(tmpdir(), `permafrost-demo-${name}`);
    this.state = join(this.folder, 'state');
    this.permafrost = new Permafrost(join(this.folder, 'permafrost.yaml'));
    this.posts = join(this.folder, 'posts.jsonl');
    this.passwordFile = join(this.folder, 'vault.password');
    this.repository = join(this.folder, 'vault');
  }

  /** A small Mastodon that is in use. Its database and Redis run as users of their own when we are root. */
  async openInstance(): Promise<SampleInstance> {
    await mkdir(this.folder, { mode: 0o755 });
    this.#made = true;
    await chmod(this.folder, 0o755);
    this.#instance = startSampleInstance({
      folder: join(this.folder, 'mastodon'),
      domain: this.domain,
      size,
    });
    return this.#instance;
  }

  startWriter(instance: SampleInstance): Writer {
    this.#writer = startWriter({ url: instance.url, log: this.posts });
    return this.#writer;
  }

  /** The configuration as an operator would write it. */
  async configure(instance: SampleInstance): Promise<void> {
    const { names, start, stop, status } = instance.services;
    const configuration = {
      instances: {
        [this.domain]: {
          host: 'local',
          mastodon: {
            root: instance.root,
            services: { kind: 'commands', names, start, stop, status },
            health: instance.healthUrl,
          },
          // A night that comes while nobody looks: not within this demo.
          schedule: { backup: { at: timeIn(12) } },
        },
      },
      offsites: {
        vault: { kind: 'restic', repository: this.repository, passwordFile: this.passwordFile },
      },
      temporal: { embedded: { port: await freePort(), uiPort: await freePort() } },
      state: this.state,
    };
    await writeFile(this.passwordFile, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
    await writeFile(this.permafrost.configFile, stringify(configuration), { mode: 0o644 });
  }

  up(): Promise<Up> {
    this.#up = Up.start(this.permafrost, { state: this.state, log: join(this.folder, 'up.log') });
    return this.#up;
  }

  /** What `up` has started last. */
  async running(): Promise<Up> {
    return this.#up ?? this.up();
  }

  /** Ends and removes everything; each step whatever became of the others. @returns what did not work. */
  async clear(): Promise<string[]> {
    if (!this.#made) return [];
    const problems: string[] = [];
    const step = async (what: string, work: () => Promise<unknown>): Promise<void> => {
      await work().catch((error: unknown) => {
        problems.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      });
    };
    await step('writer', async () => this.#writer?.stop());
    await step('commands', () => this.#endCommands());
    await step('host', () => this.#clearHost());
    await step('instance', async () => (await this.#instance?.catch(() => undefined))?.stop());
    await step('keys', () => this.#removeKeys());
    await step('folder', () => rm(this.folder, { recursive: true, force: true, maxRetries: 5 }));
    return problems;
  }

  /** A run that is still open is cancelled first, so that it ends its own jobs and takes its own keys back. */
  async #endCommands(): Promise<void> {
    const up = await this.#up?.catch(() => undefined);
    if (up !== undefined) {
      const cancel = this.permafrost.start(['cancel', '--json']);
      const timer = setTimeout(() => cancel.kill('SIGTERM'), PATIENCE_MS);
      await cancel.ended;
      clearTimeout(timer);
      await up.stop();
    }
    await this.permafrost.finish(PATIENCE_MS);
  }

  async #clearHost(): Promise<void> {
    const host = localHost({ folder: join(this.state, 'host') });
    try {
      for (const id of await host.listJobs()) await host.job(id).cancel();
      await releaseLease(host, this.domain, 'any');
    } finally {
      await host.close();
    }
  }

  async #removeKeys(): Promise<void> {
    const { username } = userInfo();
    const ours = keysFolder(username, { folder: join(this.state, 'host'), instance: this.domain, run: '' });
    for (const name of await readdir(dirname(ours))) {
      const folder = join(dirname(ours), name);
      if (folder.startsWith(ours)) await rm(folder, { recursive: true, force: true });
    }
  }
}

/** `HH:MM` in UTC, so many hours from now. */
function timeIn(hours: number): string {
  return new Date(Date.now() + hours * 3_600_000).toISOString().slice(11, 16);
}
