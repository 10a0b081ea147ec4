import { expect, test } from 'vitest';
import { isUnmounted, mountOf } from '../../../src/mastodon/media-place.js';

const place = (mountPoint: string, fstype = 'ext4', path = '/srv/media/system') => ({
  path,
  mountPoint,
  fstype,
});

/** Before, now, and whether the mount is missing. */
test.each([
  [place('/srv/media'), place('/srv/media'), false],
  [place('/srv/media'), place('/srv'), true],
  [place('/srv/media'), place('/'), true],
  [place('/'), place('/'), false],
  [place('/'), place('/srv/media', 'nfs'), false], // moved to a disk of its own
  [place('/srv/media'), place('/srv/media/system'), false],
  [place('/srv/media', 'nfs'), place('/srv/media', 'autofs'), true],
  [place('/srv/media', 'nfs'), place('/srv/media', 'fuse.sshfs'), false],
  [place('/srv/media'), place('/', 'ext4', '/var/media'), false], // configured elsewhere since
])('%j, then %j: %s', (before, now, missing) => {
  expect(isUnmounted(before, now)).toBe(missing);
});

/** As a kernel wrote it: a disk, a bind mount of a folder of it, a share under an automounter, a name with a space. */
const mountinfo = `25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
31 25 0:27 / /proc rw,nosuid shared:13 - proc proc rw
80 25 8:1 /data/system /home/mastodon/live/public/system rw shared:40 - ext4 /dev/sda1 rw
90 25 0:50 / /srv/nas rw shared:50 - autofs systemd-1 rw,fd=50
91 90 0:51 / /srv/nas rw shared:51 master:3 - nfs4 nas:/media rw
95 25 8:17 / /mnt/my\\040disk rw shared:60 - xfs /dev/sdb1 rw
`;

test.each([
  ['/home/mastodon/live/public/system', '/home/mastodon/live/public/system', 'ext4'],
  ['/home/mastodon/live/public/system2', '/', 'ext4'],
  ['/srv/nas/mastodon/system', '/srv/nas', 'nfs4'],
  ['/mnt/my disk/system', '/mnt/my disk', 'xfs'],
  ['/', '/', 'ext4'],
])('%s is on %s (%s)', (path, mountPoint, fstype) => {
  expect(mountOf(path, mountinfo)).toEqual({ mountPoint, fstype });
});
