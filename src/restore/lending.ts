import { posix } from 'node:path';
import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';
import { isRoot, whoReplaces } from './who.js';

/** What somebody else than the login user needs for a load: the dump, and a folder to work in. */
export interface Lent {
  /** Who has it; null: the login user, who had it before. */
  readonly user: string | null;
  readonly dump: string;
  /** Private to who loads. */
  readonly work: string;
  /** What is removed at the end. */
  readonly folders: readonly string[];
}

/** A dump of hundreds of GB that has to go to another disk. */
const moveTimeoutMs = 6 * 3_600_000;

/** Where it would lie, before anything is made. */
export async function lendingPlace(
  host: Host,
  as: Identity,
  dump: string,
  name: string,
  own: string,
): Promise<Lent> {
  const facts = await host.facts();
  if (typeof as !== 'object' || as.user === facts.user)
    return { user: null, dump, work: `${own}/work`, folders: [`${own}/work`] };
  const { user } = as;
  if (!(await isRoot(host, await whoReplaces(host))))
    return placeOf(user, `/var/tmp/permafrost-lent-${name}`);
  const bases = [`${facts.folder}-lent`, '/var/tmp/permafrost-lent'];
  for (const base of bases) {
    const made = await host.run(['sh', '-c', baseScript, 'sh', base], { okCodes: [0, 1] });
    // A home that is closed lies on the way.
    const reached =
      made.exitCode === 0 && (await host.run(['test', '-x', base], { as, okCodes: [0, 1] })).exitCode === 0;
    if (reached) return placeOf(user, `${base}/${name}`);
  }
  // Root gives nothing away in a folder of somebody else's.
  throw new Failure('Refused', `${user} can be lent the dump neither in ${bases.join(' nor in ')}`, {
    host: host.name,
    next: `let ${user} into the first one, or remove the second one if it is somebody else's`,
  });
}

/** $1: it is the login user's own, and no link. */
const baseScript = `umask 066; mkdir -p -- "$1" && [ "$(stat -c '%u %F' -- "$1")" = "$(id -u) directory" ]`;

function placeOf(user: string, folder: string): Lent {
  return { user, dump: `${folder}/database.dump`, work: `${folder}/work`, folders: [folder] };
}

/**
 * $1 user, $2 folder, $3 dump: root gives the file away, without a copy where it lies on the same disk. The folder comes
 * last: who has it could put a link in place of what root is still at work on.
 */
const giveScript = `umask 077; group=$(id -gn -- "$1") || exit 1
[ "$(stat -c %U -- "$2" 2> /dev/null)" = "$1" ] && [ -f "$2/database.dump" ] && exit 0
rm -rf -- "$2" && mkdir -- "$2" "$2/work" || exit 1
ln -- "$3" "$2/database.dump" 2> /dev/null || cp -- "$3" "$2/database.dump" || exit 1
chown -h "$1:$group" -- "$2/database.dump" "$2/work" && chown -h "$1:$group" -- "$2"`;

const takeScript = `umask 077; mkdir -p -m 700 -- "$1" && [ ! -L "$1" ] && [ -O "$1" ] && mkdir -p -- "$1/work" || exit 1
[ -e "$1/database.dump" ] || { cat > "$1/database.dump.new" && mv -- "$1/database.dump.new" "$1/database.dump"; }`;

/** Lends it. Safe to run again. @param from the dump, the login user's. */
export async function lend(host: Host, lent: Lent, from: string): Promise<void> {
  const [folder = ''] = lent.folders;
  if (lent.user === null) {
    await host.run(['mkdir', '-p', '-m', '700', '--', lent.work]);
    return;
  }
  const who = await whoReplaces(host);
  if (await isRoot(host, who)) {
    await host.run(['sh', '-c', giveScript, 'sh', lent.user, folder, from], {
      as: who,
      timeoutMs: moveTimeoutMs,
    });
    return;
  }
  const take = await host.argvAs(['sh', '-c', takeScript, 'sh', folder], { user: lent.user });
  await host.run(['sh', '-c', 'file=$1; shift; exec "$@" < "$file"', 'sh', from, ...take], {
    timeoutMs: moveTimeoutMs,
  });
}

/** Takes it back: nothing is left of it. Safe to run again. */
export async function takeBack(host: Host, { user, folders }: Pick<Lent, 'user' | 'folders'>): Promise<void> {
  for (const folder of folders) {
    if (!posix.isAbsolute(folder)) throw new Failure('Unexpected', `not a lent folder: ${folder}`);
    const who = await whoReplaces(host);
    const as: Identity = user !== null && !(await isRoot(host, who)) ? { user } : who;
    const script = `rm -rf -- "$1" && case $(dirname -- "$1") in *-lent) rmdir -- "$(dirname -- "$1")" 2> /dev/null;; esac; :`;
    await host.run(['sh', '-c', script, 'sh', folder], { as, timeoutMs: 600_000 });
  }
}
