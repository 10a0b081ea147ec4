import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import {
  type SampleInstance,
  type SampleInstanceOptions,
  startSampleInstance,
} from '../../sample/instance.js';
import { freePort } from '../../sample/ports.js';
import { startWriter, type Writer } from '../../sample/writer.js';
import { Permafrost } from './command.js';
import { clearHost, removeKeys } from './remains.js';
import { Up } from './up.js';

/** Moderate: a dump and an upload that take seconds, on a laptop too. */
const size = { accounts: 200, statuses: 5_000, media: 200, mediaBytes: 80_000 };

/** How long the demo waits for its own run to be cancelled, and for its commands to end, before it goes on tidying up. */
const PATIENCE_MS = 20_000;

/** What is not as the demo has it: the pictures are taken on the same stage. */
export interface Props {
  domain?: string;
  /** Must not be there yet. */
  folder?: string;
  size?: SampleInstanceOptions['size'];
  /** Names of off-sites beside `vault`. */
  offsites?: readonly string[];
  /** Where their repositories are, if not in the folder. Must not be there yet. */
  repositories?: string;
  /** Of Temporal's UI, if nobody has it. */
  uiPort?: number;
}

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

  constructor(private readonly props: Props = {}) {
    // Several demos at once keep out of each other's way by their domain: a host knows an instance by that.
    const name = randomBytes(2).toString('hex');
    this.domain = props.domain ?? `demo-${name}.example`;
    this.folder = props.folder ?? join(tmpdir(), `permafrost-demo-${name}`);
    this.state = join(this.folder, 'state');
    this.permafrost = new Permafrost(join(this.folder, 'permafrost.yaml'));
    this.posts = join(this.folder, 'posts.jsonl');
    this.passwordFile = join(this.folder, 'vault.password');
    this.repository = join(props.repositories ?? this.folder, 'vault');
  }

  /** A small Mastodon that is in use. Its database and Redis run as users of their own when we are root. */
  async openInstance(): Promise<SampleInstance> {
    await mkdir(this.folder, { mode: 0o755 });
    this.#made = true;
    await chmod(this.folder, 0o755);
    this.#instance = startSampleInstance({
      folder: join(this.folder, 'mastodon'),
      domain: this.domain,
      size: this.props.size ?? size,
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
    const offsites: Record<string, { kind: string; repository: string; passwordFile: string }> = {};
    for (const name of ['vault', ...(this.props.offsites ?? [])]) {
      const passwordFile = join(this.folder, `${name}.password`);
      await writeFile(passwordFile, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
      offsites[name] = {
        kind: 'restic',
        repository: join(this.props.repositories ?? this.folder, name),
        passwordFile,
      };
    }
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
      offsites,
      temporal: { embedded: { port: await freePort(), uiPort: await freePort(this.props.uiPort) } },
      state: this.state,
    };
    await writeFile(this.permafrost.configFile, stringify(configuration), { mode: 0o644 });
  }

  /** Puts another password in an off-site's file. @returns the right one. */
  async takePassword(offsite: string): Promise<string> {
    const file = join(this.folder, `${offsite}.password`);
    const right = await readFile(file, 'utf8');
    await writeFile(file, 'not the password of this repository\n', { mode: 0o600 });
    return right;
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
    await step('host', () => clearHost(this.state, this.domain));
    await step('instance', async () => (await this.#instance?.catch(() => undefined))?.stop());
    await step('keys', () => removeKeys(this.state, this.domain));
    const { repositories } = this.props;
    if (repositories !== undefined)
      await step('repositories', () => rm(repositories, { recursive: true, force: true }));
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
}

/** `HH:MM` in UTC, so many hours from now. */
function timeIn(hours: number): string {
  return new Date(Date.now() + hours * 3_600_000).toISOString().slice(11, 16);
}
