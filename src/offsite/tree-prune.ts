import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { BackupId } from '../backups/id.js';
import { Failure } from '../errors.js';
import { anyExitCode } from '../hosts/host.js';
import { sweepLeft } from '../hosts/leftovers.js';
import { lastMessage } from './lines.js';
import type { FollowJob, StoredBackups } from './offsite.js';
import { listTree, removeFiles, type Tree, writeNames } from './tree-commands.js';
import {
  backupsFolder,
  findBackups,
  type FoundBackup,
  poolFolder,
  storedBackups,
  storedIndex,
} from './tree-layout.js';
import { findGarbageArgv, indexBroken } from './tree-scripts.js';

/**
 * Removes backups and the media that no other backup's index names.
 *
 * What is garbage is found first, while nothing has been touched: when an index that stays cannot be read, nothing is
 * removed. Then the seals, those of deltas before those of full dumps; then the media; the folders last. So whatever dies,
 * a sealed backup is whole, and one that is half gone is listed as unsealed, for a later run to go on with.
 *
 * @param stillGoing as `Offsite.remove` says: finding garbage may take long.
 */
export async function removeBackups(
  tree: Tree,
  backups: readonly BackupId[],
  follow: FollowJob,
  stillGoing?: (now: StoredBackups) => Promise<void>,
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

  const work = `${tree.place.work}/garbage-${digest}`;
  const garbage = going.some(({ files }) => files.some(({ path }) => path.startsWith('media/')))
    ? await findGarbage(tree, staying, work, step)
    : undefined;
  if (stillGoing !== undefined)
    await stillGoing(storedBackups(findBackups(await listTree(tree, backupsFolder))));
  const deltas = going.filter(({ seals }) =>
    [...seals.values()].some(({ dependsOn }) => dependsOn !== undefined),
  );
  const wholes = going.filter((found) => !deltas.includes(found));
  const named = (found: readonly FoundBackup[], sealing: boolean) =>
    found.flatMap(({ backup, seals, files }) =>
      files.filter(({ path }) => seals.has(path) === sealing).map(({ path }) => `${backup}/${path}`),
    );
  const files = (what: string, names: readonly string[]) =>
    names.length === 0 ? undefined : () => removeFiles(tree, backupsFolder, names, prefixed(what, step));
  const pool = (names: string) => () => tree.transport.remove(poolFolder, names, prefixed('pool', step));
  // Each under a name of its own: a job that has ended is not started again.
  const waves = [
    { what: 'the seals of deltas', remove: files('seals of deltas', named(deltas, true)) },
    { what: 'the seals', remove: files('seals', named(wholes, true)) },
    { what: 'media', remove: garbage === undefined ? undefined : pool(garbage) },
    { what: 'the folders', remove: files('folders', named(going, false)) },
  ];
  let did: 'removed' | 'append-only' = 'removed';
  let gone = false;
  for (const { what, remove } of waves) {
    if (remove === undefined) continue;
    did = await remove();
    if (did === 'append-only' && gone) throw removedInPart(tree.name, what, going);
    if (did === 'append-only') break;
    gone = true;
  }
  await removeWork(tree, work);
  return did;
}

/** Gone with the removal; what one that was cut has left, the next attempt goes on with, and a later removal sweeps. */
async function removeWork({ place: { host, as, work: all } }: Tree, work: string): Promise<void> {
  await host.run(['rm', '-rf', '--', work], { as, timeoutMs: 600_000 });
  await sweepLeft(host, all, (name) => name.startsWith('garbage-'), as);
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

function removedInPart(name: string, what: string, going: readonly FoundBackup[]): Failure {
  const ids = going.map(({ backup }) => backup);
  const more = ids.length > 5 ? ` and ${String(ids.length - 5)} more` : '';
  return new Failure(
    'OffsiteUnavailable',
    `off-site ${name} lets some be removed and some not: ${what} of ${ids.slice(0, 5).join(', ')}${more} are left there`,
    { next: 'see what the key may remove there; the next removal goes on with what is left' },
  );
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
