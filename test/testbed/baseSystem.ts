import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa, ExecaError } from 'execa';
import { projectFolder } from '../../sample/paths.js';
import { Failure } from '../../src/errors.js';
import { type PackageSource, packageSource } from './packageSource.js';

export const cacheFolder = join(projectFolder, '.cache', 'testbed');

const packages = [
  'systemd',
  'systemd-sysv',
  'dbus',
  'openssh-server',
  'iproute2',
  'sudo',
  'postgresql',
  'redis-server',
  'rsync',
  'zstd',
  'rdiff',
  'age',
  'procps',
  'ca-certificates',
];

/** What is done to the fresh system, in it. A change here makes a new base. */
const finish = `
set -e
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
rm -f /etc/ssh/ssh_host_*
systemctl enable systemd-networkd ssh postgresql redis-server
usermod --home /home/backup --shell /bin/bash backup
install -d -o backup -g backup -m 0750 /home/backup /srv/backups
for folder in /etc/postgresql/*/main/conf.d; do echo fsync=off >"$folder/testbed.conf"; done
`;

/**
 * The root file system that every host is a copy of; built by debootstrap when there is none yet, which takes about a
 * minute. Its folder is named by what is in it. Who comes while another process builds it waits for that one.
 *
 * @throws Failure `CommandFailed`
 */
export async function baseSystem(log: (line: string) => void): Promise<string> {
  const source = packageSource();
  if (source === null) throw new Failure('ToolMissing', 'The package source of this machine is not known.');
  const description = JSON.stringify([source.suite, packages, finish]);
  const name = createHash('sha256').update(description).digest('hex').slice(0, 12);
  const folder = join(cacheFolder, name);
  const root = join(folder, 'root');
  if (existsSync(root)) return root;

  await mkdir(cacheFolder, { recursive: true });
  const release = await lock(`${folder}.lock`);
  try {
    if (!existsSync(root)) await build(source, folder, description, log);
    return root;
  } finally {
    release();
  }
}

/** Waits for a lock that ends with this process, whatever ends this process. @returns what lets go of it */
async function lock(file: string): Promise<() => void> {
  const holder = spawn('flock', [file, 'sh', '-c', 'echo mine; cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(holder.stdout, 'data');
  return () => holder.stdin.end();
}

async function build(
  source: PackageSource,
  folder: string,
  description: string,
  log: (line: string) => void,
): Promise<void> {
  log(`Building the testbed's root file system (${source.suite}, about a minute, once) …`);
  const building = `${folder}.${String(process.pid)}`;
  await mkdir(building, { recursive: true });
  try {
    await execa('debootstrap', [
      '--variant=minbase',
      `--keyring=${source.keyring}`,
      `--components=${source.components}`,
      `--include=${packages.join(',')}`,
      source.suite,
      join(building, 'root'),
      source.mirror,
    ]);
    await execa('chroot', [join(building, 'root'), 'sh', '-c', finish], { env: { LC_ALL: 'C' } });
    await writeFile(join(building, 'description.json'), description);
    await rename(building, folder);
  } catch (error) {
    throw new Failure('CommandFailed', `The testbed's root file system could not be built: ${why(error)}`, {
      next: `Is ${source.mirror} reachable from here?`,
      cause: error,
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

function why(error: unknown): string {
  return error instanceof ExecaError ? String(error.stderr).slice(-500) : String(error);
}
