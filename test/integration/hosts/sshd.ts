import { spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa, execaSync } from 'execa';

/** A real sshd on loopback, with keys and a known_hosts file of its own. Needs root. */
export interface Sshd {
  folder: string;
  port: number;
  identityFile: string;
  /** Made by ssh-keyscan -H. */
  knownHosts: string;
  /** Kills the processes that serve us, as a cut cable would end them. */
  cut(): Promise<void>;
  stop(): Promise<void>;
}

export type KeyType = 'ed25519' | 'ecdsa' | 'rsa';

export async function startSshd(
  options: { hostKeys?: KeyType[]; settings?: string[]; port?: number } = {},
): Promise<Sshd> {
  const folder = mkdtempSync(join(tmpdir(), `permafrost-sshd-${process.pid}-`));
  chmodSync(folder, 0o755);
  mkdirSync('/run/sshd', { recursive: true });
  const port = options.port ?? (await freePort());
  const hostKeys = (options.hostKeys ?? ['ed25519']).map((type) =>
    makeKey(join(folder, `host_${type}`), type),
  );
  const identityFile = makeKey(join(folder, 'id'), 'ed25519');
  writeFileSync(join(folder, 'authorized_keys'), readFileSync(`${identityFile}.pub`), { mode: 0o644 });
  const config = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    ...hostKeys.map((file) => `HostKey ${file}`),
    `AuthorizedKeysFile ${folder}/authorized_keys`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'PermitRootLogin prohibit-password',
    'PidFile none',
    ...(options.settings ?? []),
    // Debian's bash reads ~/.bashrc for each command over SSH: whatever root has there is not to be tested.
    'Match User root',
    `SetEnv HOME=${folder}`,
  ];
  writeFileSync(join(folder, 'sshd_config'), config.join('\n') + '\n');
  const server = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', join(folder, 'sshd_config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  server.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  for (let i = 0; !said.includes('listening on'); i++) {
    if (i > 100 || server.exitCode !== null) throw new Error(`sshd does not start: ${said}`);
    await sleep(50);
  }
  const knownHosts = join(folder, 'known_hosts');
  const scanned = await execa('ssh-keyscan', ['-H', '-p', String(port), '127.0.0.1']);
  writeFileSync(knownHosts, scanned.stdout + '\n');
  return {
    folder,
    port,
    identityFile,
    knownHosts,
    cut: async () => {
      const { stdout } = await execa('ps', ['-eo', 'pid=,ppid=,args=']);
      const rows = stdout.split('\n').map((line) => line.trim().split(/\s+/));
      const serving = new Set([String(server.pid)]);
      for (const [pid = '', ppid = '', program] of rows.sort((a, b) => Number(a[0]) - Number(b[0])))
        if (serving.has(ppid) && program?.startsWith('sshd') === true) serving.add(pid);
      serving.delete(String(server.pid));
      for (const pid of serving) process.kill(Number(pid), 'SIGKILL');
      if (serving.size === 0) throw new Error('nobody serves us');
      await sleep(100);
    },
    stop: async () => {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      server.kill();
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

export function makeKey(file: string, type: KeyType, passphrase = ''): string {
  execaSync('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', 'permafrost-test', '-f', file]);
  return file;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * A system user with a sudoers rule, named after this process; those of processes that are gone are removed first.
 */
export function addSudoUser(rule: (user: string) => string): { user: string; remove: () => void } {
  for (const file of readdirSync('/etc/sudoers.d')) {
    const pid = /^permafrost-t(\d+)$/.exec(file)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) removeUser(file);
  }
  const user = `permafrost-t${process.pid}`;
  execaSync('useradd', ['--system', '--create-home', '--shell', '/bin/bash', '--password', '*', user]);
  writeFileSync(`/etc/sudoers.d/${user}`, '', { mode: 0o440 });
  appendFileSync(`/etc/sudoers.d/${user}`, `${rule(user)}\n`);
  execaSync('visudo', ['-cf', `/etc/sudoers.d/${user}`]);
  return { user, remove: () => removeUser(user) };
}

function removeUser(user: string): void {
  rmSync(`/etc/sudoers.d/${user}`, { force: true });
  execaSync('userdel', ['--remove', user], { reject: false });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
