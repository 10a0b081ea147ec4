import { z } from 'zod';
import { writeManifest } from '../backups/manifest.js';
import type { ResticConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { HostStream } from '../hosts/host.js';
import { lastMessage, linesOf } from './lines.js';
import type { CapturedPart, FollowJob, Offsite, OffsitePlace, StoredBackups, StoredPart } from './offsite.js';
import { locked, type Patience, resticCommand } from './restic-command.js';
import {
  backupOf,
  backupsOf,
  escapePattern,
  includeLine,
  isDamage,
  isRefusal,
  lastWordOf,
  messageOf,
  nodeSchema,
  type Snapshot,
  snapshotSchema,
  summarySchema,
  uploadProgress,
} from './restic-output.js';
import { resticMedia } from './restic-media.js';
import { resticReports } from './restic-reports.js';

/**
 * A restic repository: a snapshot for each part, tagged with the backup's id, restored by snapshot id and never by
 * `latest` (which means the newest of any kind). The manifest is a snapshot of its own, written last.
 *
 * Needs restic 0.18 or newer on the host: exit codes 10, 11 and 12, and files that vanish while they are read are no
 * error (restic's CHANGELOG for 0.17 and 0.18).
 */
export function resticOffsite(
  config: ResticConfig,
  place: OffsitePlace,
  domain: string,
  waits?: Patience,
): Offsite {
  const { host } = place;
  const restic = resticCommand(config, place, waits);
  const { argv, env, short, patience, run, withLock, stream, failureOf, readFailureOf } = restic;

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

  /**
   * restic takes a refusal lightly: it ends with 0, and only says which snapshots it could not remove.
   *
   * @returns `append-only` or `locked` (by a living restic) when nothing was removed.
   */
  async function forget(
    found: readonly Snapshot[],
    wait: string,
  ): Promise<'removed' | 'append-only' | 'locked'> {
    if (found.length === 0) return 'removed';
    const attempt = async (patiently: string) =>
      host.run(await argv('--retry-lock', patiently, 'forget', ...found.map(({ id }) => id)), {
        ...short,
        timeoutMs: 600_000,
      });
    let ended = await attempt('0s');
    if (ended.exitCode === locked) {
      if ((await restic.unlockDead()) === 'refused') return 'append-only';
      ended = await attempt(wait);
    }
    const { exitCode, stderr, stdout } = ended;
    if (exitCode === locked) return 'locked';
    if (exitCode === 0 && !stderr.includes('unable to remove')) return 'removed';
    if (!isRefusal(stderr)) throw failureOf(exitCode, stderr, stdout);
    const ids = new Set((await snapshots()).map(({ id }) => id));
    const left = found.filter(({ id }) => ids.has(id));
    if (left.length === found.length) return 'append-only';
    if (left.length > 0) throw removedInPart(left, messageOf(stderr));
    return 'removed';
  }

  function removedInPart(left: readonly Snapshot[], said: string): Failure {
    const of = [...new Set(left.map((one) => backupOf(one) ?? one.id))].join(', ');
    return new Failure(
      'OffsiteUnavailable',
      `off-site ${config.name} was pruned in part; snapshots of ${of} are left: ${said}`.slice(0, 1500),
      {
        host: host.name,
        next: 'what is listed is whole; the next prune goes on with the rest, once the place lets it be removed',
      },
    );
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
    const result = await withLock(patience.writing, async (waiting) =>
      follow(
        part,
        await argv(...waiting, 'backup', '--no-scan', ...tags, ...options, '--', ...paths),
        { as: place.as, env, cwd: '/', nice: 10, okCodes: [0, 1, 3, 10, locked, 12] },
        ({ stdoutTail }) => uploadProgress(stdoutTail, bytes),
      ),
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

  /** Not worth another attempt tonight. */
  function busy(): Failure {
    return new Failure(
      'Refused',
      `off-site ${config.name} is locked by another restic that is at work there: nothing was removed`,
      {
        host: host.name,
        next: 'retention is applied after the next backup; the lock of a restic that is gone, on another machine, is removed by `restic unlock`',
      },
    );
  }

  return {
    name: config.name,
    kind: 'restic',
    opens: true,

    async check() {
      await run(['cat', 'config', '--no-lock'], { timeoutMs: 60_000 });
    },

    // Any command without --no-lock writes a lock and removes it again. One that waits would hide who holds the place.
    async proveWriting() {
      await run(['cat', 'config'], { wait: '0s', timeoutMs: 15_000 });
    },

    async create() {
      const result = await host.run(await argv('init'), { ...short, timeoutMs: 120_000 });
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
      // What an earlier attempt has sent stays in the repository; its snapshot is forgotten for the new one, if that can
      // be now: forgetting needs the repository for itself. Else it goes with its backup.
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
          ...(part.dependsOn === undefined ? [] : ['--tag', `full=${part.dependsOn}`]),
        ],
        follow,
        part.bytes,
      );
      const index =
        part.indexFolder === undefined
          ? undefined
          : await snapshot('media-index', part.backup, [part.indexFolder], [], follow);
      await forget(
        before.filter(({ id }) => id !== taken.id),
        '0s',
      );
      return {
        ref: {
          ...{ backup: part.backup, name: part.name },
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
      await forget(stale, '0s'); // the newest counts
      return summary.data_added_packed ?? summary.data_added;
    },

    async list(): Promise<StoredBackups> {
      return backupsOf(await snapshots());
    },

    readManifest: (stored) => run(['dump', '--no-lock', stored.key, `/${manifestFile}`], { reads: true }),

    async readEntry(part, path): Promise<HostStream> {
      const from = part.index ?? part; // the entries of the media are the files of their index
      const entry = await stream(
        'dump',
        '--no-lock',
        `${from.snapshot ?? ''}:${from.root ?? ''}`,
        `/${path}`,
      );
      const completed = entry.completed.then((ended) => {
        if (ended.exitCode !== 0 && !isDamage(ended.stderr)) throw failureOf(ended.exitCode, ended.stderr);
        return { ...ended, stderr: lastWordOf(ended.stderr) };
      });
      completed.catch(() => undefined); // heard by whoever reads to the end
      return {
        stdout: entry.stdout,
        completed,
        kill: () => {
          entry.kill();
        },
      };
    },

    async saveEntry(part, path, file) {
      const from = part.index ?? part;
      // A restore loads several packs at a time, a dump one after the other.
      const words = await argv('restore', '--no-lock', `${from.snapshot ?? ''}:${from.root ?? ''}`);
      const saved = await host.run(['sh', '-c', saveScript, 'sh', file, path, ...words], {
        ...short,
        stdin: `${includeLine(path)}\n`,
        timeoutMs: dayMs,
      });
      return saved.exitCode === 0;
    },

    async sizeOfEntry(part, path) {
      const from = part.index ?? part;
      const listing = await stream('ls', '--no-lock', from.snapshot ?? '', `${from.root ?? ''}/${path}`);
      let bytes: number | null = null;
      for await (const line of linesOf(listing.stdout)) {
        if (!line.includes('"type":"file"')) continue;
        const node = nodeSchema.safeParse(JSON.parse(line));
        if (node.success && node.data.path === `${from.root ?? ''}/${path}`) bytes = node.data.size;
      }
      const { exitCode, stderr } = await listing.completed;
      if (exitCode !== 0 && /no matching ID/.test(stderr)) return null; // the snapshot was removed
      if (exitCode !== 0) throw readFailureOf(exitCode, stderr);
      return bytes;
    },

    async keep(backup, until) {
      const tags = `permafrost,backup=${backup},part=keep,keep=${until ?? 'forever'}`;
      await run(['backup', '--stdin', '--stdin-filename', 'keep', '--host', domain, '--tag', tags], {
        stdin: `${backup}\n`,
      });
    },

    async release(backup) {
      const marks = await snapshots(`backup=${backup}`, 'part=keep');
      const did = await forget(marks, patience.removing);
      if (did === 'removed') return;
      if (did === 'locked') throw failureOf(locked, 'another restic is at work there');
      throw new Failure(
        'Refused',
        `off-site ${config.name} lets nothing be removed: ${backup} stays kept there`,
        {
          host: host.name,
          next: 'release it from a machine that may remove there',
        },
      );
    },

    ...resticReports({ name: config.name, domain, run, snapshots, forget }),
    ...resticMedia(config, place),

    async remove(backups, follow, stillGoing) {
      if (backups.length === 0) return 'removed';
      const now = await snapshots();
      await stillGoing?.(backupsOf(now));
      const all = now.filter((found) => backups.includes(backupOf(found) ?? ''));
      const dependent = new Set(backupsOf(all).sealed.flatMap((one) => (one.dependsOn ? [one.backup] : [])));
      const manifests = all.filter((found) => found.tags?.includes('part=manifest'));
      // restic forgets in no order: a delta's seal must be gone before that of its full dump, and every seal before a part.
      const waves = [
        manifests.filter((found) => dependent.has(backupOf(found) ?? '')),
        manifests.filter((found) => !dependent.has(backupOf(found) ?? '')),
        all.filter((found) => !manifests.includes(found)),
      ];
      let before = 0;
      for (const wave of waves) {
        const did = await forget(wave, patience.removing);
        if (did === 'append-only' && before === 0) return did;
        if (did === 'locked' && before === 0) throw busy();
        if (did !== 'removed') throw removedInPart(wave, did);
        before += wave.length;
      }
      // Where another restic has come meanwhile, the next prune gives the space back.
      await withLock(patience.removing, async (waiting) =>
        follow(
          'prune',
          await argv(...waiting, 'prune', '--max-unused', '10%'),
          { as: place.as, env, cwd: '/', nice: 10, okCodes: [0, locked] },
          () => ({}),
        ),
      );
      return 'removed';
    },
  };
}

const manifestFile = 'manifest.json';
const dayMs = 86_400_000;

/**
 * $1 file, $2 what it is called in the snapshot, then restic's restore, which gives a file its owner of then. What has come
 * of it is in `$1.part` until it is whole. A snapshot that somebody else has made may hold a link of that name, which must
 * lead nowhere.
 */
const saveScript = `umask 077; file=$1 name=$2; shift 2
rm -rf -- "$file.part" && mkdir -- "$file.part" && cat > "$file.list" || exit 1
came=$file.part/$name
"$@" --include-file "$file.list" --target "$file.part" > /dev/null && [ -f "$came" ] && [ ! -L "$came" ] &&
  chown "$(id -u):$(id -g)" -- "$came" && chmod 600 -- "$came" && mv -fT -- "$came" "$file"; rc=$?
rm -rf -- "$file.part" "$file.list"; exit "$rc"`;
