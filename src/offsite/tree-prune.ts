import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { BackupId } from '../backups/id.js';
import { Failure } from '../errors.js';
import { anyExitCode } from '../hosts/host.js';
import { lastMessage } from './lines.js';
import type { FollowJob } from './offsite.js';
import { listTree, removeFiles, type Tree, writeNames } from './tree-commands.js';
import { backupsFolder, findBackups, type FoundBackup, poolFolder, storedIndex } from './tree-layout.js';
import { findGarbageArgv, indexBroken } from './tree-scripts.js';

/**
 * Removes backups and the media that no other backup's index names.
 *
 * What is garbage is found first, while nothing has been touched: when an index that stays cannot be read, nothing is
 * removed. Then the seals, those of deltas before those of full dumps; then the media; the folders last. So whatever dies,
 * a sealed backup is whole, and one that is half gone is listed as unsealed, for a later run to go on with.
 */
export async function removeBackups(
  tree: Tree,
  backups: readonly BackupId[],
  follow: FollowJob,
): Promise<'removed' | 'append-only'> {
  const all = findBackups(await listTree(tree, backupsFolder));
  const going = all.filter(({ backup }) => backups.includes(backup));
  if (going.length === 0) return 'removed';
  const staying = all.filter(({ backup }) => !backups.includes(backup));
  const needs = staying.find(({ seals }) =>
    [...seals.values()].some(({ dependsOn = '' }) => backups.includes(dependsOn)),
  );
  if (needs !== undefined) throw needed(tree.name, needs.backup);
  // Steps of another removal of the same run have other names: a job that has ended is not started again.
  const digest = createHash('sha256')
    .update(JSON.stringify([going, staying]))
    .digest('hex')
    .slice(0, 12);
  const step: FollowJob = (name, ...rest) => follow(`${name} ${digest}`, ...rest);

  const garbage = going.some(({ files }) => files.some(({ path }) => path.startsWith('media/')))
    ? await findGarbage(tree, staying, `${tree.place.work}/garbage-${digest}`, step)
    : undefined;
  const deltas = going.filter(({ seals }) =>
    [...seals.values()].some(({ dependsOn }) => dependsOn !== undefined),
  );
  const wholes = going.filter((found) => !deltas.includes(found));
  for (const found of [deltas, wholes]) {
    const seals = found.flatMap(({ backup, seals: names }) =>
      [...names.keys()].map((name) => `${backup}/${name}`),
    );
    if ((await removeFiles(tree, backupsFolder, seals, prefixed('seals', step))) === 'append-only')
      return 'append-only';
  }
  if (garbage !== undefined) {
    const did = await tree.transport.remove(poolFolder, garbage, prefixed('pool', step));
    if (did === 'append-only') return did;
  }
  const rest = going.flatMap(({ backup, seals, files }) =>
    files.filter(({ path }) => !seals.has(path)).map(({ path }) => `${backup}/${path}`),
  );
  return removeFiles(tree, backupsFolder, rest, prefixed('folders', step));
}

function prefixed(what: string, follow: FollowJob): FollowJob {
  return (name, ...rest) => follow(`${what} ${name}`, ...rest);
}

/** @returns a file on the host with the names of what no index of the given backups has; undefined when that is nothing. */
async function findGarbage(
  tree: Tree,
  staying: readonly FoundBackup[],
  work: string,
  follow: FollowJob,
): Promise<string | undefined> {
  const { name, transport, place } = tree;
  const { host, as } = place;
  const indexes = staying.flatMap((found) => {
    const index = storedIndex(found);
    // What a sealed backup's index says never changes: it is fetched once, and known by its seal.
    const [seal, ...more] = [...found.seals.values()];
    const key = more.length === 0 && seal !== undefined ? [seal.key] : [];
    if (index !== undefined) return [[`${found.backup}/${index}`, ...key].join(' ')];
    if (![...found.seals.values()].some(({ parts }) => parts.includes('media'))) return [];
    throw unreadable(name, `that of ${found.backup} is not there`);
  });
  await host.run(['sh', '-c', 'umask 077; mkdir -p -- "$1"', 'sh', work], { as });
  await writeNames(tree, `${work}/indexes`, indexes);
  const found = await follow(
    'find what no index names',
    findGarbageArgv({
      work,
      known: `${place.cache}/indexes`,
      zstd: await place.tool('zstd'),
      fetch: await transport.fetchArgv(backupsFolder, `${work}/one`, `${work}/fetched`),
      listPool: await transport.listArgv(poolFolder, 2),
    }),
    { as, cwd: '/', nice: 10, okCodes: anyExitCode },
    () => ({}),
  );
  if (found.exitCode === indexBroken)
    throw unreadable(name, found.stderrTail.trim().split('\n').slice(-2).join('; '));
  const counted = lastMessage(found.stderrTail, z.object({ files: z.number() }));
  if (found.exitCode !== 0 || counted === undefined)
    throw transport.failureOf(found.exitCode, found.stderrTail);
  return counted.files === 0 ? undefined : `${work}/garbage`;
}

function unreadable(name: string, why: string): Failure {
  return new Failure(
    'VerifyFailed',
    `off-site ${name}: a media index cannot be read (${why}): nothing was removed`,
    {
      next: `permafrost verify --from ${name} tells which backup is damaged there; remove that one, or mend its index`,
    },
  );
}

function needed(name: string, backup: BackupId): Failure {
  return new Failure(
    'Refused',
    `off-site ${name}: the database of ${backup} is a delta against one that was to be removed`,
    {
      next: `remove ${backup} as well, or neither; nothing was removed`,
    },
  );
}
