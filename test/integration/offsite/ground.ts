import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import type { Manifest } from '../../../src/backups/manifest.js';
import { signManifest } from '../../../src/backups/signature.js';
import type { OffsiteConfig } from '../../../src/config/configuration.js';
import type { FailureType } from '../../../src/errors.js';
import type { Host, JobOptions } from '../../../src/hosts/host.js';
import { localHost } from '../../../src/hosts/local.js';
import { toolPath } from '../../../src/hosts/tools.js';
import { handOverKeys, keyFiles } from '../../../src/offsite/keys.js';
import type { FollowJob, Offsite, OffsitePlace, StoredPart } from '../../../src/offsite/offsite.js';
import { openOffsite } from '../../../src/offsite/open.js';
import { version } from '../../../src/version.js';
import type { Night, NightPart } from './capture.js';

/** Where an off-site under test is, and what is known of it that its kind does not tell. */
export interface Place {
  readonly config: OffsiteConfig;
  /** The folder behind it, to be seen and spoiled by plain file tools. */
  readonly behind: string;
  /** It can also be looked at without the key that opens what is there. */
  readonly keyless?: boolean;
  /** What lies there is of no use to who only finds it. Media of rsync lie there as they are. */
  readonly encrypts: 'all' | 'all but media' | 'nothing';
  /** Nothing can be removed there. */
  readonly appendOnly?: boolean;
  /** Credentials that do not open it, and how that is said. */
  readonly wrong: readonly {
    readonly what: string;
    readonly config: OffsiteConfig;
    readonly type: FailureType;
  }[];
  /** What must be seen in no command line. */
  readonly secrets: readonly string[];
  /** Media are files of their own there (a pool), not pieces of larger ones. */
  readonly pool: boolean;
  /** Puts a manifest in place of that of a backup, as only who holds the keys of the place can. */
  readonly replay?: (manifest: string, backup: string) => Promise<void>;
  /** Right after it was set up. */
  readonly created?: () => void;
  readonly stop?: () => Promise<void>;
  /** Of a kind that Permafrost does not have: how it is opened. */
  readonly open?: (place: OffsitePlace, config: OffsiteConfig, domain: string) => Offsite;
}

export const domain = 'sample.example';

/** A place, the host that it is seen from, and everything that was asked of that host. */
export class Ground {
  readonly host: Host;
  /** The command lines that Permafrost has called. */
  readonly heard: string[][] = [];
  readonly jobs: { argv: readonly string[]; options: JobOptions }[] = [];
  #keys = new Map<OffsiteConfig, string>();

  constructor(
    readonly folder: string,
    readonly place: Place,
  ) {
    this.host = listening(localHost({ folder: join(folder, 'host') }), this.heard);
  }

  /** The off-site, as an activity of its own would open it. */
  async open(
    config: OffsiteConfig = this.place.config,
    instance: string = domain,
    { opens = true }: { opens?: boolean } = {},
  ): Promise<Offsite> {
    const keys = this.#keys.get(config) ?? join(this.folder, `keys-${String(this.#keys.size)}`);
    if (!this.#keys.has(config))
      await handOverKeys(this.host, 'login', keys, await keyFiles(config, opens ? 'reader' : 'filler'));
    this.#keys.set(config, keys);
    const place: OffsitePlace = {
      ...{ host: this.host, as: 'login', keys, tool: (name) => Promise.resolve(toolPath(name).path) },
      ...{ cache: join(this.folder, 'cache'), work: join(this.folder, 'work') },
    };
    return this.place.open?.(place, config, instance) ?? openOffsite(config, place, instance, { opens });
  }

  /** A private folder that is there for the call alone. */
  scratch(): string {
    return join(this.folder, `scratch-${randomBytes(4).toString('hex')}`);
  }

  /** The jobs of one activity, all its attempts; each look gives those of another one. Run to their end, at once. */
  get follow(): FollowJob {
    return remembering(async (_step, argv, options, progress) => {
      this.jobs.push({ argv, options });
      const { as = 'login', env = {}, cwd = '/', okCodes = [0] } = options;
      const ended = await this.host.run(argv, { as, env, cwd, okCodes, timeoutMs: 120_000 });
      const tails = { stdoutTail: ended.stdout.slice(-4096), stderrTail: ended.stderr.slice(-4096) };
      await progress(tails);
      return { exitCode: ended.exitCode, ...tails };
    });
  }

  /** Runs it as the durable job that it is in a run; asks while it runs, and ends it when the answer is `true`. */
  interrupter(whileRunning: () => Promise<boolean>): FollowJob {
    return async (step, argv, { okCodes = [0], ...options }, progress) => {
      const job = await this.host.startJob(`test_${randomBytes(6).toString('hex')}`, argv, options);
      try {
        for (;;) {
          const status = await job.status();
          if (status.state === 'absent' || status.state === 'lost') throw new Error(`${step} is gone`);
          await progress(status);
          if (status.state === 'exited' && okCodes.includes(status.exitCode)) return status;
          if (status.state === 'exited') throw new Error(`${step} failed: ${status.stderrTail}`);
          if (await whileRunning()) throw new Interrupted();
          await sleep(50);
        }
      } finally {
        await job.cancel();
        await job.forget();
      }
    };
  }

  /** Sends every part of a night. */
  async put(
    offsite: Offsite,
    night: Night,
    send: (part: NightPart) => Parameters<Offsite['put']>[0],
  ): Promise<Sent> {
    const sent: Sent = new Map();
    for (const part of night.parts) {
      const before = await this.behind();
      const stored = await offsite.put(send(part), this.follow);
      const files = [...(await this.behind()).keys()].filter((path) => !before.has(path));
      sent.set(part, { ...stored, files });
    }
    return sent;
  }

  /** The files of the place, by plain file tools: what has its final name there. */
  async behind(): Promise<Map<string, { bytes: number; identity: string }>> {
    await mkdir(this.place.behind, { recursive: true });
    const { stdout } = await execa('find', [this.place.behind, '-type', 'f', '-printf', '%P\t%s\t%i %T@\n']);
    const files = stdout.split('\n').map((line) => line.split('\t'));
    return new Map(
      files.flatMap(([path = '', bytes = '', identity = '']) =>
        path === '' || isUnfinished(path) ? [] : [[path, { bytes: Number(bytes), identity }] as const],
      ),
    );
  }

  async stop(): Promise<void> {
    await this.host.close();
    await this.place.stop?.();
  }
}

/** As `followJob` does: a step that has ended with 0 is not run again, whatever it is asked to run. */
export function remembering(follow: FollowJob): FollowJob {
  const ended = new Map<string, Awaited<ReturnType<FollowJob>>>();
  return async (step, argv, options, progress) => {
    const before = ended.get(step);
    if (before !== undefined) await progress(before);
    if (before !== undefined) return before;
    const now = await follow(step, argv, options, progress);
    if (now.exitCode === 0) ended.set(step, now);
    return now;
  };
}

/** What was sent of a night, and the files that came up behind the place meanwhile. */
export type Sent = Map<NightPart, StoredPart & { files: string[] }>;

export class Interrupted extends Error {}

/** What rclone, rsync and rclone's S3 server call a file that is not whole yet. */
function isUnfinished(path: string): boolean {
  return /\.partial$|\.rclone_temp_put_|(^|\/)\.[^/]*$|\.rsync-partial/.test(path);
}

/** The command lines of everything that runs now, ours and those of our tools. */
export async function commandLines(): Promise<string> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    processes.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return lines.join('\n');
}

const signing = generateKeyPairSync('ed25519');

/** What the signatures of our manifests are checked with. */
export const { publicKey } = signing;

/** The manifest of a night, signed, as a run seals it. */
export function manifestOf(
  night: Night,
  sent: ReadonlyMap<NightPart, StoredPart> | undefined,
  offsite: Offsite,
  { instance = domain, warnings = [] }: { instance?: string; warnings?: string[] } = {},
): Manifest {
  const at = new Date(Date.UTC(2026, 10, Number(night.backup.slice(6, 8)), 3, 17)).toISOString();
  const manifest: Manifest = {
    ...{ version: 1, permafrost: version(), backup: night.backup, instance, startedAt: at, sealedAt: at },
    moment: { kind: 'pinned', at, quiesced: true },
    quiesce: { mode: 'brief', services: [], downtimeMs: 0 },
    versions: {
      mastodon: '4.6.2',
      schema: '20260101000000',
      postgresql: '17.6',
      pgDump: '17.6',
      redis: '7.0.15',
    },
    ...(night.delta === undefined
      ? {}
      : {
          database: {
            ...{
              name: 'mastodon',
              format: 'custom',
              sizeBytes: 1,
              encoding: 'UTF8',
              collate: 'C',
              ctype: 'C',
            },
            ...{
              extensions: [],
              roles: 'without passwords',
              rowCounts: {},
              newestStatusAt: at,
              delta: night.delta,
            },
          },
        }),
    parts: night.parts.map((part) => {
      const { snapshot, root, index, files } = sent?.get(part)?.ref ?? {};
      const all =
        part.name === 'media' ? part.files.map(({ size }) => size) : part.entries.map(({ bytes }) => bytes);
      return {
        ...{ name: part.name, bytes: all.reduce((sum, bytes) => sum + bytes, 0), files: all.length },
        entries: [...part.entries],
        ...(snapshot === undefined ? {} : { snapshot }),
        ...(root === undefined ? {} : { root }),
        ...(index === undefined ? {} : { index: { ...index } }),
        ...(files === undefined ? {} : { stored: files.map((file) => ({ ...file })) }),
      };
    }),
    omitted: [],
    copy: {
      ...{ offsite: offsite.name, kind: offsite.kind, verifiedAt: at, checked: { files: 0, bytes: 0 } },
      bytesAdded: [...(sent?.values() ?? [])].reduce((sum, { bytesAdded }) => sum + bytesAdded, 0),
    },
    timings: [],
    warnings,
  };
  return signManifest(manifest, signing.privateKey);
}

/** A host that notes every command line that it is asked to run. */
function listening(host: Host, heard: string[][]): Host {
  const note = (argv: readonly string[], options: { env?: Readonly<Record<string, string>> } = {}) =>
    heard.push([...argv, ...Object.values(options.env ?? {})]);
  return {
    name: host.name,
    facts: () => host.facts(),
    run: (argv, options) => (note(argv, options), host.run(argv, options)),
    stream: (argv, options) => (note(argv, options), host.stream(argv, options)),
    startJob: (id, argv, options) => (note(argv, options), host.startJob(id, argv, options)),
    job: (id) => host.job(id),
    listJobs: () => host.listJobs(),
    putFile: (...args) => host.putFile(...args),
    argvAs: (...args) => host.argvAs(...args),
    close: () => host.close(),
  };
}
