import { z } from 'zod';
import { writeManifest } from '../backups/manifest.js';
import type { ResticConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { HostStream } from '../hosts/host.js';
import type {
  CapturedPart,
  FollowJob,
  Offsite,
  OffsitePlace,
  ReadFile,
  StoredBackups,
  StoredFile,
  StoredPart,
  StoredPartRef,
} from './offsite.js';
import { resticCommand } from './restic-command.js';
import {
  backupOf,
  backupsOf,
  escapePattern,
  includeLine,
  isDamage,
  lastMessage,
  linesOf,
  messageOf,
  nodeSchema,
  recordsOf,
  type Snapshot,
  snapshotSchema,
  summarySchema,
  uploadProgress,
} from './restic-output.js';
import { hashTar } from './tar.js';

/**
 * A restic repository: a snapshot for each part, tagged with the backup's id, restored by snapshot id and never by
 * `latest` (which means the newest of any kind). The manifest is a snapshot of its own, written last.
 *
 * Needs restic 0.18 or newer on the host: exit codes 10, 11 and 12, and files that vanish while they are read are no
 * error (restic's CHANGELOG for 0.17 and 0.18).
 */
export function resticOffsite(config: ResticConfig, place: OffsitePlace, domain: string): Offsite {
  const { host } = place;
  const { argv, env, short, run, failureOf, readFailureOf } = resticCommand(config, place);

  async function snapshots(...tags: readonly string[]): Promise<Snapshot[]> {
    const text = await run([
      'snapshots',
      '--no-lock',
      '--host',
      domain,
      '--tag',
      ['permafrost', ...tags].join(','),
    ]);
    return z.array(snapshotSchema).parse(JSON.parse(text));
  }

  /** Snapshots folders and returns the new snapshot's id and the bytes that it added. */
  async function snapshot(
    part: string,
    backup: string,
    paths: readonly string[],
    options: readonly string[],
    follow: FollowJob,
    bytes?: number,
  ): Promise<{ id: string; bytesAdded: number }> {
    const tags = ['--tag', `permafrost,backup=${backup},part=${part}`, '--host', domain];
    const result = await follow(
      part,
      argv('backup', '--no-scan', ...tags, ...options, '--', ...paths),
      { as: place.as, env, cwd: '/', nice: 10, okCodes: [0, 1, 3, 10, 11, 12] },
      (tail) => uploadProgress(tail, bytes),
    );
    const summary = lastMessage(result.stdoutTail, summarySchema);
    if (result.exitCode === 3) {
      throw new Failure(
        'PartInvalid',
        `off-site ${config.name}: restic could not read everything of ${part}: ${messageOf(result.stderrTail)}`,
        {
          host: host.name,
          next: 'see that the files named can be read by the user that the backup runs as',
        },
      );
    }
    if (result.exitCode !== 0 || summary === undefined)
      throw failureOf(result.exitCode, result.stderrTail, result.stdoutTail);
    return { id: summary.snapshot_id, bytesAdded: summary.data_added_packed ?? summary.data_added };
  }

  return {
    name: config.name,
    kind: 'restic',

    async check() {
      await run(['cat', 'config', '--no-lock'], { timeoutMs: 60_000 });
    },

    // Any command without --no-lock writes a lock and removes it again. One that waits would hide who holds the place.
    async proveWriting() {
      await run(['cat', 'config', '--retry-lock', '0s'], { timeoutMs: 15_000 });
    },

    async create() {
      const result = await host.run(argv('init'), { ...short, timeoutMs: 120_000 });
      if (result.exitCode === 0) return;
      const said = messageOf(result.stderr) || messageOf(result.stdout);
      if (/already (exists|initialized)/.test(said)) {
        throw new Failure('Refused', `off-site ${config.name}: there is a restic repository already`, {
          host: host.name,
          next: 'nothing has to be done; see it with: permafrost list',
        });
      }
      throw failureOf(result.exitCode, said);
    },

    async put(part: CapturedPart, follow: FollowJob): Promise<StoredPart> {
      // What an earlier attempt has sent stays in the repository; its snapshot is forgotten for the new one.
      const before = part.again ? await snapshots(`backup=${part.backup}`, `part=${part.name}`) : [];
      const media = part.name === 'media';
      const taken = await snapshot(
        part.name,
        part.backup,
        [part.folder],
        [
          ...part.exclude.flatMap((path) => ['--exclude', escapePattern(path)]),
          ...(part.excludeFile === undefined ? [] : ['--exclude-file', part.excludeFile]),
          ...(media ? ['--compression', 'off'] : []),
        ],
        follow,
        part.bytes,
      );
      const index =
        part.indexFolder === undefined
          ? undefined
          : await snapshot('media-index', part.backup, [part.indexFolder], [], follow);
      const old = before.filter(({ id }) => id !== taken.id);
      if (old.length > 0) await run(['forget', ...old.map(({ id }) => id)]);
      return {
        ref: {
          snapshot: taken.id,
          root: part.folder,
          ...(index === undefined || part.indexFolder === undefined
            ? {}
            : { index: { snapshot: index.id, root: part.indexFolder } }),
        },
        bytesAdded: taken.bytesAdded + (index?.bytesAdded ?? 0),
      };
    },

    async seal(manifest, again) {
      const stale = again ? await snapshots(`backup=${manifest.backup}`, 'part=manifest') : [];
      const said = await run(
        [
          ...['backup', '--stdin', '--stdin-filename', manifestFile, '--host', domain],
          ...['--tag', `permafrost,backup=${manifest.backup},part=manifest`],
        ],
        { stdin: writeManifest(manifest) },
      );
      const summary = lastMessage(said, summarySchema);
      if (summary === undefined) throw failureOf(0, 'restic gave no summary of the manifest');
      if (stale.length > 0) await run(['forget', ...stale.map((old) => old.id)]);
      return summary.data_added_packed ?? summary.data_added;
    },

    async list(): Promise<StoredBackups> {
      return backupsOf(await snapshots());
    },

    readManifest: (stored) => run(['dump', '--no-lock', stored.key, `/${manifestFile}`]),

    async readEntry(part, path): Promise<HostStream> {
      const from = part.index ?? part; // the entries of the media are the files of their index
      const stream = await host.stream(
        argv('dump', '--no-lock', `${from.snapshot}:${from.root}`, `/${path}`),
        {
          as: place.as,
          env,
          cwd: '/',
        },
      );
      const completed = stream.completed.then((ended) => {
        if (ended.exitCode !== 0 && !isDamage(ended.stderr)) throw failureOf(ended.exitCode, ended.stderr);
        return ended;
      });
      completed.catch(() => undefined); // heard by whoever reads to the end
      return {
        stdout: stream.stdout,
        completed,
        kill: () => {
          stream.kill();
        },
      };
    },

    async *listMedia(part): AsyncIterable<StoredFile> {
      const stream = await host.stream(argv('ls', '--no-lock', part.snapshot), {
        as: place.as,
        env,
        cwd: '/',
      });
      const prefix = `${part.root.replace(/\/+$/, '')}/`;
      for await (const line of linesOf(stream.stdout)) {
        if (!line.includes('"type":"file"')) continue; // there are three folders for each file: not worth parsing
        const node = nodeSchema.safeParse(JSON.parse(line));
        if (!node.success || node.data.type !== 'file' || !node.data.path.startsWith(prefix)) continue;
        yield { path: node.data.path.slice(prefix.length), size: node.data.size };
      }
      const { exitCode, stderr } = await stream.completed;
      if (exitCode !== 0) throw readFailureOf(exitCode, stderr);
    },

    async *readMedia(part, paths, scratch): AsyncIterable<ReadFile> {
      if (paths === 'all') {
        const stream = await host.stream(
          argv('dump', '--no-lock', '--archive', 'tar', `${part.snapshot}:${part.root}`, '/'),
          {
            as: place.as,
            env,
            cwd: '/',
          },
        );
        yield* hashTar(stream.stdout);
        const { exitCode, stderr } = await stream.completed;
        if (exitCode !== 0) throw readFailureOf(exitCode, stderr);
        return;
      }
      yield* restoreSome(part, paths, scratch);
    },

    async remove(backups, follow) {
      if (backups.length === 0) return;
      const all = (await snapshots()).filter((found) => backups.includes(backupOf(found) ?? ''));
      const manifests = all.filter((found) => found.tags?.includes('part=manifest'));
      const parts = all.filter((found) => !manifests.includes(found));
      await run(['unlock']); // of a restic that is gone; a living one's lock stays
      if (manifests.length > 0) await run(['forget', ...manifests.map((found) => found.id)]);
      if (parts.length > 0) await run(['forget', ...parts.map((found) => found.id)]);
      await follow(
        'prune',
        argv('prune', '--max-unused', '10%'),
        { as: place.as, env, cwd: '/', nice: 10 },
        () => ({}),
      );
    },
  };

  /** Named files, restored into a folder of their own on the off-site's host, hashed there and removed. */
  async function* restoreSome(
    part: StoredPartRef,
    paths: readonly string[],
    scratch: string,
  ): AsyncIterable<ReadFile> {
    if (paths.length === 0) return;
    const list = paths.map(includeLine).join('\n');
    const script = `umask 077; rm -rf -- "$1"; mkdir -p -- "$1" && cat > "$1.list"; target=$1; shift
"$@" --include-file "$target.list" --target "$target" > /dev/null; rc=$?; rm -f -- "$target.list"; exit $rc`;
    const restored = await host.run(
      ['sh', '-c', script, 'sh', scratch, ...argv('restore', '--no-lock', `${part.snapshot}:${part.root}`)],
      { ...short, stdin: `${list}\n`, timeoutMs: 3_600_000 },
    );
    try {
      if (restored.exitCode !== 0) throw readFailureOf(restored.exitCode, restored.stderr || restored.stdout);
      const hashed = await host.stream(
        ['sh', '-c', 'cd "$1" && find . -type f -print0 | xargs -0 -r sha256sum -z --', 'sh', scratch],
        { as: place.as },
      );
      for await (const record of recordsOf(hashed.stdout)) {
        yield { path: record.slice('  ./'.length + 64), sha256: record.slice(0, 64) };
      }
    } finally {
      await host.run(['rm', '-rf', '--', scratch], { as: place.as, timeoutMs: 600_000 });
    }
  }
}

const manifestFile = 'manifest.json';
