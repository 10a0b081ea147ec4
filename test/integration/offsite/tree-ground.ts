import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { writeMediaIndex } from '../../../src/backups/media-index.js';
import type { RcloneConfig } from '../../../src/config/configuration.js';
import type { Host } from '../../../src/hosts/host.js';
import { hashFolder } from '../../../src/offsite/hash-folder.js';
import type { FollowJob, Offsite, StoredPart } from '../../../src/offsite/offsite.js';
import { rcloneTransport } from '../../../src/offsite/rclone.js';
import { poolName } from '../../../src/offsite/tree-layout.js';
import { treeOffsite } from '../../../src/offsite/tree.js';
import type { TreeTransport } from '../../../src/offsite/tree-transport.js';
import { captured, type Night, type NightPart } from './capture.js';
import { domain, Ground, manifestOf, remembering } from './ground.js';

export const hashOf = (content: string | Buffer) => createHash('sha256').update(content).digest('hex');

const longAgo = new Date('2024-05-06T07:08:09.500Z');

/** A tree of files in a plain folder, filled by rclone, and media to be put there. */
export class TreeGround {
  readonly ground: Ground;
  /** The folder of the media, and that of the pool behind the place. */
  readonly media: string;
  readonly pool: string;
  /** The steps that would be durable jobs. */
  readonly steps: string[] = [];
  /** What happens to the transport, for a fault that is to come at just that moment. */
  meddle: (transport: TreeTransport) => TreeTransport = (transport) => transport;
  /** What happens to the host: a worker that dies. */
  through: (host: Host) => Host = (host) => host;
  /** As rclone calls the place. */
  remote = 'disk:';
  #offsite: Offsite | undefined;

  private constructor(
    readonly folder: string,
    config: RcloneConfig,
  ) {
    this.ground = new Ground(folder, {
      ...{ config, behind: join(folder, 'behind'), encrypts: 'nothing', wrong: [], secrets: [], pool: true },
      open: (place, _config, instance) => {
        const at = { ...place, host: this.through(place.host) };
        const transport = rcloneTransport({ ...config, remote: this.remote }, at, instance);
        return treeOffsite('disk', at, this.meddle(transport), { recipients: [] });
      },
    });
    this.media = join(folder, 'system');
    this.pool = join(folder, 'behind', domain, 'media');
  }

  /**
   * @param template a folder that is there for all tests of a file.
   * @param name of what the place holds; made the first time, and copied from then on.
   */
  static async begin(
    template: string,
    name: string,
    make: (made: TreeGround) => Promise<void>,
  ): Promise<TreeGround> {
    const folder = await mkdtemp(join(tmpdir(), 'permafrost-tree-'));
    const configFile = join(folder, 'rclone.conf');
    await writeFile(configFile, `[disk]\ntype = alias\nremote = ${folder}/behind\n`);
    const config = { kind: 'rclone', name: 'disk', remote: 'disk:', configFile, encrypted: false } as const;
    const tree = new TreeGround(folder, config);
    await mkdir(tree.media);
    tree.#offsite = await tree.ground.open();
    const behind = join(folder, 'behind');
    const kept = join(template, name);
    if (!existsSync(kept)) {
      await make(tree);
      await cp(behind, kept, { recursive: true });
    } else await cp(kept, behind, { recursive: true });
    return tree;
  }

  get offsite(): Offsite {
    if (this.#offsite === undefined) throw new Error('not begun');
    return this.#offsite;
  }

  async end(): Promise<void> {
    await this.ground.host.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The jobs of one activity, all its attempts; each look gives those of another one. Run to their end, at once. */
  get follow(): FollowJob {
    return remembering(async (step, argv, { okCodes = [0], as = 'login' }) => {
      this.steps.push(step);
      const { exitCode, stdout, stderr } = await this.ground.host.run(argv, { as, okCodes });
      return { exitCode, stdoutTail: stdout.slice(-4096), stderrTail: stderr.slice(-4096) };
    });
  }

  /** A media file. */
  async put(path: string, content: string | Buffer): Promise<string> {
    const full = join(this.media, path);
    await mkdir(dirname(full), { recursive: true });
    await writeFile(full, content);
    await utimes(full, longAgo, longAgo);
    return hashOf(content);
  }

  /** The media as they are now, captured, with a database beside them. */
  async night(backup: string, { full }: { full?: string } = {}): Promise<Night> {
    const at = join(this.folder, backup);
    await mkdir(join(at, 'index'), { recursive: true });
    await mkdir(join(at, 'database'));
    const files = [];
    for await (const { path, sha256 } of hashFolder(this.ground.host, 'login', this.media)) {
      const { size, mtimeNs, mode, uid, gid } = await stat(join(this.media, path), { bigint: true });
      files.push({
        ...{ path, pathBytes: Buffer.from(path), sha256, size: Number(size), mode: Number(mode) & 0o7777 },
        ...{ mtime: `${mtimeNs / 1_000_000_000n}.${String(mtimeNs % 1_000_000_000n).padStart(9, '0')}` },
        ...{ uid: Number(uid), gid: Number(gid) },
      });
    }
    files.sort((one, other) => Buffer.compare(one.pathBytes, other.pathBytes));
    const index = Buffer.concat([...writeMediaIndex(files)]);
    await writeFile(join(at, 'index/media.index'), index);
    const dump = `dump of ${backup}`;
    const name = full === undefined ? 'database.dump' : 'database.delta.zst';
    await writeFile(join(at, 'database', name), dump);
    const entries = (path: string, content: string | Buffer) => [
      { path, bytes: content.length, sha256: hashOf(content) },
    ];
    const parts: NightPart[] = [
      { name: 'database', folder: join(at, 'database'), entries: entries(name, dump), files: [] },
      {
        ...{ name: 'media', folder: this.media, indexFolder: join(at, 'index') },
        ...{ entries: entries('media.index', index), files },
      },
    ];
    if (full === undefined) return { backup, parts };
    const sha256 = hashOf(full);
    return {
      backup,
      parts,
      delta: { full, fullBytes: 1, fullSha256: sha256, dumpBytes: 1, dumpSha256: sha256 },
    };
  }

  async send(to: Offsite, one: Night, run: FollowJob = this.follow): Promise<Map<NightPart, StoredPart>> {
    const sent = new Map<NightPart, StoredPart>();
    for (const part of one.parts) {
      const ofPart: FollowJob = (step, ...rest) => run(`${step} (${part.name})`, ...rest);
      sent.set(part, await to.put(captured(one, part), ofPart));
    }
    return sent;
  }

  async seal(to: Offsite, one: Night, run?: FollowJob): Promise<void> {
    const sent = await this.send(to, one, run);
    await to.seal(manifestOf(one, sent, to), false);
  }

  /** The media of a night that the pool does not have as they were captured. */
  async missingOf(one: Night): Promise<string[]> {
    const missing = [];
    for (const { path, sha256 } of one.parts.flatMap(({ files }) => files)) {
      const content = await readFile(join(this.pool, poolName(sha256))).catch(() => 'nothing');
      if (hashOf(content) !== sha256) missing.push(path);
    }
    return missing;
  }

  async inPool(): Promise<string[]> {
    const names = await readdir(this.pool, { recursive: true, withFileTypes: true });
    return names.flatMap((name) => (name.isFile() ? [name.name] : [])).sort();
  }

  /** Something that happens on the host right before, or right after, files are sent to the pool. */
  sendingMedia({ before = ':', after = ':' }: { before?: string; after?: string }): void {
    this.meddle = (transport) => ({
      ...transport,
      sendArgv: async (from, to, options) => {
        const words = await transport.sendArgv(from, to, options);
        if (to !== 'media') return words;
        return ['sh', '-c', `${before}; "$@"; code=$?; ${after}; exit $code`, 'sh', ...words];
      },
    });
  }

  /**
   * A worker that dies after it has started so many commands: what it started is done, and it does not hear of it.
   *
   * @param jobs those of all attempts.
   */
  dyingAfter(commands: number, jobs: FollowJob): { limited: (host: Host) => Host; run: FollowJob } {
    let left = commands;
    const dies = () => {
      if ((left -= 1) < 0) throw new WorkerDied();
    };
    const limited = (host: Host): Host => ({
      ...this.ground.host,
      run: async (argv, options) => {
        dies();
        const ended = await host.run(argv, options);
        if (left === 0) throw new WorkerDied();
        return ended;
      },
      stream: (argv, options) => {
        dies();
        return host.stream(argv, options);
      },
    });
    const run: FollowJob = async (...job) => {
      dies();
      const ended = await jobs(...job);
      if (left === 0) throw new WorkerDied();
      return ended;
    };
    return { limited, run };
  }
}

export class WorkerDied extends Error {}
