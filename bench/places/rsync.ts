import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { userInfo } from 'node:os';
import { execa } from 'execa';
import { toolPath } from '../../src/hosts/tools.js';
import type { Place } from './place.js';
import { startSshd } from './sshd.js';

/** A folder behind an sshd; the small parts are encrypted for a key of age that nobody here has any more. */
export async function rsyncPlace(base: string): Promise<Place> {
  const folder = join(base, 'box');
  await mkdir(folder, { recursive: true });
  const sshd = await startSshd(join(base, 'sshd'));
  const { stdout: identity } = await execa(toolPath('age-keygen').path, { stderr: 'ignore' });
  const recipient = /^# public key: (age1\w+)$/m.exec(identity)?.[1];
  const { port, identityFile, knownHosts } = sshd;
  const target = `${userInfo().username}@127.0.0.1:${folder}`;
  const ssh = ['ssh', '-p', String(port), '-i', identityFile, '-o', `UserKnownHostsFile=${knownHosts}`];
  return {
    kind: 'rsync',
    folder,
    config: { kind: 'rsync', target, port, identityFile, knownHosts, recipients: [recipient] },
    async copy(from, without) {
      const words = ['-a', '--exclude', `/${without}`, '-e', ssh.join(' '), `${from}/`, `${target}/media`];
      await execa(toolPath('rsync').path, words);
    },
    close: () => sshd.stop(),
  };
}
