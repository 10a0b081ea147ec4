import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { OffsiteConfig } from '../config/configuration.js';
import { offsiteFiles } from '../config/offsite-files.js';
import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';
import { ownMark, sweepLeft } from '../hosts/leftovers.js';

/**
 * The secrets that a tool needs, handed over to a host for the length of a run and never left behind: files in a
 * private folder in memory (`/dev/shm`), which a power cut empties by itself.
 */

/** What the files of the configuration are called where they are handed over, after the off-site's name and a dot. */
const handedOverAs: Readonly<Record<string, string>> = {
  passwordFile: 'password',
  identityFile: 'identity',
  knownHosts: 'known-hosts',
  environmentFile: 'environment',
  configFile: 'rclone-conf',
  configPasswordFile: 'rclone-password',
  ageIdentityFile: 'age-identity',
};

/**
 * The key files of an off-site, read on this machine: `<offsite>.<file>` and its content.
 *
 * @param whose `reader`: also what opens the backups. A filler never gets that: the instance cannot read its own old
 *   backups.
 */
export async function keyFiles(
  offsite: OffsiteConfig,
  whose: 'filler' | 'reader' = 'filler',
): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  if (offsite.kind === 'restic') {
    files.set(`${offsite.name}.repository`, Buffer.from(`${offsite.repository}\n`));
  }
  for (const { key, path, opens } of offsiteFiles(offsite)) {
    if (opens && whose === 'filler') continue;
    files.set(`${offsite.name}.${handedOverAs[key] ?? key}`, await readKey(offsite.name, path));
  }
  return files;
}

async function readKey(offsite: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new Failure('Refused', `off-site ${offsite}: ${path} cannot be read on this machine (${reason})`, {
      next: 'correct the path in the configuration, or the rights of the file',
    });
  }
}

/**
 * The folder that holds the keys handed over to a user of a host.
 *
 * @param of which Permafrost (its folder on that host), and whose keys: those of an instance's run, or of one look at an
 *   off-site. No part may hold an underscore, so that one instance's folders are told from another's.
 */
export function keysFolder(user: string, of: { folder: string; instance: string; run: string }): string {
  const permafrost = createHash('sha256').update(of.folder).digest('hex').slice(0, 8);
  return `${memory}/permafrost_${user}_${permafrost}_${of.instance}_${of.run}`;
}

/** Files in it are in memory; a power cut empties it by itself. */
const memory = '/dev/shm';

/** A shell script that writes what comes to the file `$1`, private, whole or not at all, whoever else does so as well. */
export const receiveFile = `umask 077; new=$(mktemp -- "$1.XXXXXX") || exit 1
cat > "$new" && chmod -- "\${2:-600}" "$new" && mv -- "$new" "$1" || { rm -f -- "$new"; exit 1; }`;

/** Puts key files into a private folder of `as` on a host. Safe to run again. */
export async function handOverKeys(
  host: Host,
  as: Identity,
  folder: string,
  files: ReadonlyMap<string, Buffer | string>,
): Promise<void> {
  await host.run(
    [
      'sh',
      '-c',
      'umask 077; mkdir -- "$1" 2> /dev/null; [ ! -L "$1" ] && [ -d "$1" ] && [ -O "$1" ] && chmod 700 -- "$1"',
      'sh',
      folder,
    ],
    { as },
  );
  for (const [name, content] of files) {
    const path = `${folder}/${name}`;
    await host.run(['sh', '-c', receiveFile, 'sh', path], {
      as,
      stdin: content,
    });
  }
}

export async function takeKeysBack(host: Host, as: Identity, folder: string): Promise<void> {
  await host.run(['rm', '-rf', '--', folder], { as });
}

/**
 * Takes the keys back that other runs of the same instance have left to `as`, which are dead. A look at an off-site goes
 * on beside a run: its keys stay for two days, which is longer than it takes.
 *
 * @param folder of this run's own keys, which stay.
 */
export async function takeOthersKeysBack(host: Host, as: Identity, folder: string): Promise<void> {
  const all = folder.slice(0, folder.lastIndexOf('_'));
  await host.run(['sh', '-c', sweepOthers, 'sh', all, folder], { as });
}

const sweepOthers = `for f in "$1"_*; do
  [ -O "$f" ] || continue # everybody may make a folder of such a name there
  case $f in
    "$2") continue ;;
    "$1"_read-*) [ -z "$(find "$f" -maxdepth 0 -mmin -2880)" ] || continue ;;
  esac
  rm -rf -- "$f"
done`;

/**
 * Hands keys over for the length of one look at an off-site. What a look that was killed has left is removed by the next
 * one from this machine there, and by the instance's next run on its host.
 *
 * @param instance whose host it is, or whose backups are read there; null on this machine.
 */
export async function withKeys<T>(
  host: Host,
  instance: string | null,
  files: ReadonlyMap<string, Buffer | string>,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = `${await sweepReaders(host, instance)}${ownMark()}`;
  try {
    await handOverKeys(host, 'login', folder, files);
    return await use(folder);
  } finally {
    await takeKeysBack(host, 'login', folder);
  }
}

/**
 * Removes the keys that looks which were killed have left on a host.
 *
 * @param instance as for `withKeys`.
 * @returns what the folders of such keys begin with there.
 */
export async function sweepReaders(host: Host, instance: string | null): Promise<string> {
  const { user, folder: own } = await host.facts();
  const readers =
    instance === null
      ? `${memory}/permafrost_${user}_read.`
      : keysFolder(user, { folder: own, instance, run: 'read-' });
  await sweepLeft(host, memory, (name) => name.startsWith(readers.slice(memory.length + 1)));
  return readers;
}
