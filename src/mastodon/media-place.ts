import type { MediaPlace } from '../backups/report.js';
import type { Host } from '../hosts/host.js';
import type { Instance } from './instance.js';

/** Where the media folder lies now; null without one. @throws what `Host.run` throws. */
export async function mediaPlace(
  host: Host,
  { media, appUser }: Pick<Instance, 'media' | 'appUser'>,
): Promise<MediaPlace | null> {
  if (media === null) return null;
  const { root } = await host.facts();
  // Looking into it makes an automounter mount what belongs there.
  const script = '[ -e "$1/." ]; cat /proc/self/mountinfo';
  const { stdout } = await host.run(['sh', '-c', script, 'sh', media.path], {
    as: root ? 'login' : { user: appUser },
    cwd: '/',
  });
  return { path: media.path, ...mountOf(media.path, stdout) };
}

/**
 * The mount that a path without symbolic links is on: bind mounts and subvolumes too, which have the device of what
 * they are a part of.
 *
 * @param mountinfo `/proc/self/mountinfo` (proc_pid_mountinfo(5)): what is mounted later hides what is at its place.
 */
export function mountOf(path: string, mountinfo: string): { mountPoint: string; fstype: string } {
  let best = { mountPoint: '/', fstype: '' };
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const mountPoint = unescape(before.split(' ')[4] ?? '');
    if (mountPoint === '' || mountPoint.length < best.mountPoint.length || !holds(mountPoint, path)) continue;
    best = { mountPoint, fstype: after.split(' ')[0] ?? '' };
  }
  return best;
}

/** Spaces and the like are written as `\040`. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function holds(folder: string, path: string): boolean {
  return `${path}/`.startsWith(folder === '/' ? '/' : `${folder}/`);
}

/**
 * Whether what was mounted there is not mounted now: the folder is on a mount further up, or an automounter stands in
 * for it. A folder that the configuration has moved since says nothing.
 */
export function isUnmounted(before: MediaPlace, now: MediaPlace): boolean {
  if (before.path !== now.path) return false;
  if (before.mountPoint !== now.mountPoint) return holds(now.mountPoint, before.mountPoint);
  return now.fstype === 'autofs' && before.fstype !== 'autofs';
}
