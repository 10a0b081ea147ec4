import { describe, expect, it } from 'vitest';
import type { RsyncConfig } from '../../../src/config/configuration.js';
import { localHost } from '../../../src/hosts/local.js';
import { isRefusedRemoval, rsyncCommand, rsyncProgress } from '../../../src/offsite/rsync-command.js';

const config: RsyncConfig = {
  ...{ kind: 'rsync', name: 'box', target: 'backup@box.example:/srv/backups/', port: 2222 },
  ...{ identityFile: '/etc/permafrost/box.key', knownHosts: '/etc/permafrost/box.known_hosts' },
  ...{ recipients: ['age1x'], encrypted: true },
};

function command(changes: Partial<RsyncConfig> = {}) {
  const host = localHost({ look: true });
  const place = { host, as: 'login' as const, keys: '/dev/shm/the keys', cache: '/c', work: '/w' };
  return rsyncCommand({ ...config, ...changes }, { ...place, tool: async (name) => `/usr/bin/${name}` });
}

describe('the call of rsync', () => {
  it('names keys by their files alone, and never asks anything', async () => {
    const words = await command().argv();
    expect(words[0]).toBe('/usr/bin/rsync');
    const ssh = words[words.indexOf('-e') + 1];
    for (const word of [
      '-p 2222',
      '"/dev/shm/the keys/box.identity"',
      'BatchMode=yes',
      'StrictHostKeyChecking=yes',
    ])
      expect(ssh).toContain(word);
    expect(words.join(' ')).not.toContain('/etc/permafrost');
    expect(command().target).toBe('backup@box.example:/srv/backups/');
    expect(command({ target: 'backup@box.example:/' }).target).toBe('backup@box.example:/');
  });

  it('is limited in whole KiB a second, and never to 0, which would be no limit', async () => {
    const limitOf = async (bandwidth?: number) =>
      (await command(bandwidth === undefined ? {} : { bandwidth }).argv()).find((word) =>
        word.startsWith('--bwlimit'),
      );
    expect(await limitOf()).toBeUndefined();
    expect(await limitOf(5 << 20)).toBe('--bwlimit=5120');
    expect(await limitOf(100)).toBe('--bwlimit=1');
  });
});

describe('what rsync ends with', () => {
  it.each([
    [30, 'rsync error: timeout in data send/receive (code 30)', 'OffsiteUnavailable', 'ten minutes'],
    [
      255,
      'ssh: connect to host box.example port 22: Connection refused',
      'OffsiteUnavailable',
      'Connection refused',
    ],
    [255, 'u@box: Permission denied (publickey,password).', 'AuthFailed', 'box.key'],
    [14, 'rsync: Failed to exec ssh: No such file or directory (2)', 'ToolMissing', 'ssh'],
    [127, 'bash: line 1: rsync: command not found', 'OffsiteUnavailable', 'no rsync on the other side'],
    [
      12,
      'rsync: [receiver] write failed on "/x": No space left on device (28)',
      'OffsiteUnavailable',
      'no room',
    ],
    [12, 'rsync: mkdir "/x" failed: Disk quota exceeded (122)', 'OffsiteUnavailable', 'no room'],
    [23, 'rsync: [sender] link_stat "/x" failed: No such file or directory (2)', 'NotFound', 'link_stat'],
    [
      12,
      'rrsync error: Another instance of rrsync is already accessing this directory.',
      'OffsiteUnavailable',
      '-no-lock',
    ],
    [99, '', 'OffsiteUnavailable', 'ended with 99'],
  ])('%i, %s', (exitCode, output, type, text) => {
    const failure = command().failureOf(exitCode, output);
    expect(failure.type).toBe(type);
    expect(`${failure.message} ${failure.next ?? ''}`).toContain(text);
  });

  it('tells a removal that is forbidden for good from one that failed', () => {
    expect(
      isRefusedRemoval('rrsync error: option --delete-missing-args has been disabled on this server.'),
    ).toBe(true);
    expect(isRefusedRemoval('delete_file: unlink(a) failed: Operation not permitted (1)')).toBe(true);
    expect(isRefusedRemoval('rsync: connection unexpectedly closed')).toBe(false);
  });
});

it('its progress is read from the end, however it is cut', () => {
  expect(rsyncProgress('')).toEqual({});
  const tail =
    '00  1%\r  3000003  60%   51.09MB/s    0:00:00 (xfr#2, to-chk=3/7)\r  4000000  80%   51.09MB/s    0:00:00  ';
  expect(rsyncProgress(tail)).toEqual({ bytes: 4_000_000, files: 2 });
});
