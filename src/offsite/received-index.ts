import {
  emptyHeader,
  type MediaIndexHeader,
  type MediaRecord,
  readMediaIndex,
} from '../backups/media-index.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';

/** The index of a backup's media as it lies on a host. */

/**
 * Streams it: memory does not grow with it. `header` is complete with the last record.
 *
 * @throws Failure `PartInvalid` when it is not whole, `CommandFailed` when it cannot be read there.
 */
export async function* readMediaIndexFile(
  host: Host,
  path: string,
  header: MediaIndexHeader = emptyHeader(),
): AsyncIterable<MediaRecord> {
  const file = await host.stream(['cat', '--', path]);
  try {
    yield* readMediaIndex(file.stdout as AsyncIterable<Buffer>, header);
    await ended(file.completed, host, path);
  } catch (error) {
    if (error instanceof Failure && error.type === 'PartInvalid') await ended(file.completed, host, path);
    throw error;
  } finally {
    file.kill();
  }
}

async function ended(
  completed: Promise<{ exitCode: number; stderr: string }>,
  host: Host,
  path: string,
): Promise<void> {
  const { exitCode, stderr } = await completed;
  if (exitCode === 0) return;
  throw new Failure('CommandFailed', `${path} on ${host.name} cannot be read: ${stderr.trim().slice(-500)}`, {
    host: host.name,
  });
}

/** Ids of a backup's host as those of another one. */
export type Owners = (uid: number, gid: number) => { uid: number; gid: number };

/**
 * Who has the media of an index on this host: the user and the group of the same name.
 *
 * @param index plain, on the host.
 * @param fallback ids on this host for names that it does not know.
 */
export async function mediaOwners(
  host: Host,
  index: string,
  fallback: { uid: number; gid: number },
): Promise<Owners> {
  const { stdout } = await host.run(['sh', '-c', ownersScript, 'sh', index]);
  const known = new Map(
    stdout.split('\n').flatMap((line) => {
      const [kind = '', there = '', here = ''] = line.split(' ');
      return here === '' ? [] : [[`${kind} ${there}`, Number(here)] as const];
    }),
  );
  return (uid, gid) => ({
    uid: known.get(`user ${String(uid)}`) ?? fallback.uid,
    gid: known.get(`group ${String(gid)}`) ?? fallback.gid,
  });
}

/** `user <id there> <id here>` and `group …`, a line each; without an id for a name that is not known. */
const ownersScript = `LC_ALL=C grep -E '^# (user|group) [0-9]+ ' < "$1" | while read -r _ kind there name; do
  case $kind in user) database=passwd ;; *) database=group ;; esac
  printf '%s %s %s\\n' "$kind" "$there" "$(getent "$database" -- "$name" | cut -d : -f 3)"
done`;
