import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { posix } from 'node:path';
import type { Host, Identity } from './host.js';

/**
 * What a killed process has left on a host. A folder that is there for one call alone ends its name with a mark that says
 * whose it is: what a dead process of this machine has left goes with the next call, what another machine or container
 * has left after two days, which is longer than a call takes.
 */

/** Minutes. */
const longestCall = 2_880;

/** `<pid>.<machine>.<random>`: the end of a name that no other call has. */
export function ownMark(): string {
  return `${String(process.pid)}.${processes()}.${randomBytes(6).toString('hex')}`;
}

/**
 * Removes what was left in a folder of a host. The folder need not be there. In one that everybody writes to, others may
 * have put something of such a name: what is not the user's own stays, and what cannot be removed is no failure.
 *
 * @param isOurs tells by its name what may be removed at all.
 */
export async function sweepLeft(
  host: Host,
  folder: string,
  isOurs: (name: string) => boolean,
  as: Identity = 'login',
): Promise<void> {
  const { stdout } = await host.run(['sh', '-c', listScript, 'sh', folder], { as, timeoutMs: 600_000 });
  const left = stdout.split('\0').flatMap((line) => {
    const [, age, name] = /^(old|young) (.*)$/s.exec(line) ?? [];
    if (name === undefined || !isOurs(name)) return [];
    const [, pid, where] = /(\d+)\.([0-9a-f]{12})\.[0-9a-f]{12}$/.exec(name) ?? [];
    const dead = where === processes() ? !isAlive(Number(pid)) : age === 'old';
    return dead ? [posix.join(folder, name)] : [];
  });
  if (left.length > 0)
    await host.run(['rm', '-rf', '--', ...left], { as, okCodes: [0, 1], timeoutMs: 3_600_000 });
}

/** `old <name>` or `young <name>` and a NUL for everything of ours in the folder. */
const listScript = `[ -d "$1" ] || exit 0
find -H "$1" -mindepth 1 -maxdepth 1 -user "$(id -u)" \\( -mmin +${String(longestCall)} -printf 'old %f\\0' -o -printf 'young %f\\0' \\) || :`;

/** Which machine since its last boot, and which container on it: where a pid tells a process. */
function processes(): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  return createHash('sha256')
    .update(boot + readlinkSync('/proc/self/ns/pid'))
    .digest('hex')
    .slice(0, 12);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
