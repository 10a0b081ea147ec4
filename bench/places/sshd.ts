import { appendFile, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { startDaemon } from '../../sample/daemon.js';
import { freePort } from '../../sample/ports.js';

/** An sshd on loopback, with keys of its own, for whoever runs this. */
export interface Sshd {
  readonly port: number;
  readonly identityFile: string;
  readonly knownHosts: string;
  stop(): Promise<void>;
}

/** @throws Failure `CommandFailed` with the end of its log. */
export async function startSshd(folder: string): Promise<Sshd> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const [identityFile, hostKey] = [join(folder, 'id'), join(folder, 'host_key')];
  for (const file of [identityFile, hostKey])
    await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'bench', '-f', file]);
  await copyFile(`${identityFile}.pub`, join(folder, 'authorized_keys'));
  const port = await freePort();
  const config = join(folder, 'sshd_config');
  const lines = [
    `Port ${String(port)}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${hostKey}`,
    `AuthorizedKeysFile ${join(folder, 'authorized_keys')}`,
    // Folders above may be anybody's.
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'PidFile none',
  ];
  await writeFile(config, `${lines.join('\n')}\n`);
  // Where sshd locks itself up before it knows who comes; Debian's unit makes it.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  const log = join(folder, 'log');
  await appendFile(log, '');
  const daemon = await startDaemon({
    ...{ name: 'sshd', user: userInfo().username, log, deathSignal: 'TERM' },
    argv: ['/usr/sbin/sshd', '-D', '-e', '-f', config],
    ready: async () => (await readFile(log, 'utf8')).includes('Server listening on'),
  });
  const knownHosts = join(folder, 'known_hosts');
  const publicKey = (await readFile(`${hostKey}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ');
  await writeFile(knownHosts, `[127.0.0.1]:${String(port)} ${publicKey}\n`);
  return { port, identityFile, knownHosts, stop: () => daemon.stop('SIGTERM') };
}
