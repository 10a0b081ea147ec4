import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa, ExecaError } from 'execa';
import { projectFolder } from '../../sample/paths.js';
import { Failure } from '../../src/errors.js';
import { packageSource } from './packageSource.js';

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
 * minute. Its folder is named by what is in it.
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
    await rename(building, folder).catch((error: unknown) => {
      // Somebody else built the same at the same time.
      if (!existsSync(root)) throw error;
    });
    return root;
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
