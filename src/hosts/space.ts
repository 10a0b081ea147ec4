import type { Host } from './host.js';

/** Disks as a host sees them. */

/** The nearest folder on the way to `$1` that is there: what will be made in it later lies on the same disk. */
const nearest = 'd=$1; until [ -d "$d" ]; do d=$(dirname -- "$d"); done';

/**
 * Bytes that the login user may still write where `path` is, or is going to be.
 *
 * @param path Permafrost's own folder when it is left out.
 */
export async function freeBytes(host: Host, path?: string): Promise<number> {
  const script = `${nearest}; df --output=avail -B1 -- "$d" | tail -n 1`;
  const { stdout } = await host.run(['sh', '-c', script, 'sh', path ?? (await host.facts()).folder]);
  return Number(stdout.trim());
}

/**
 * Those of `others` that lie on the same file system as `path`: what is lost with it. Partitions of one disk count as
 * different, since they look so from here.
 */
export async function sharingDisk(host: Host, path: string, others: readonly string[]): Promise<string[]> {
  // Subvolumes of one btrfs have different device numbers and the same source.
  const script = `for path; do set -- "$path"; ${nearest}; printf '%s %s\\0' "$(stat -c %d -- "$d")" "$(df --output=source -- "$d" | tail -n 1)"; done`;
  const { stdout } = await host.run(['sh', '-c', script, 'sh', path, ...others]);
  const [mine, ...theirs] = stdout.split('\0').map((line) => /^(\d+) (.*)$/s.exec(line)?.slice(1));
  return others.filter((_, at) => {
    const other = theirs[at];
    if (mine === undefined || other === undefined) return false;
    const [device, source = ''] = mine;
    return device === other[0] || (source.startsWith('/dev/') && source === other[1]);
  });
}
