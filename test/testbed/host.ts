import { randomBytes } from 'node:crypto';
import { appendFile, chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { Failure } from '../../src/errors.js';
import { Machine } from './machine.js';
import {
  installCode,
  installMastodon,
  mastodonBinds,
  type MastodonInstall,
  type MastodonOptions,
} from './mastodon.js';
import { ssh, type SshKeys, type SshOptions, type SshResult } from './ssh.js';

export interface HostOptions {
  readonly mastodon?: boolean | MastodonOptions;
  /** Mastodon's code was installed there, and nothing else was done. */
  readonly code?: boolean;
  /** Further users that the testbed's key opens, each with the text of a sudoers file if wanted. */
  readonly users?: readonly { readonly name: string; readonly sudoers?: string }[];
  /** Folders and files of this machine that it sees, not to write: `path:path on the host`. */
  readonly binds?: readonly string[];
}

/** A whole host. */
export interface TestHost {
  readonly name: string;
  readonly address: string;
  readonly identityFile: string;
  readonly knownHosts: string;
  /** Its root file system, seen from outside. */
  readonly disk: string;
  readonly mastodon: MastodonInstall | undefined;
  /** Runs a command as a user of the host. @throws Failure `CommandFailed` */
  ssh(user: string, argv: readonly string[], options?: SshOptions): Promise<SshResult>;
  /** `systemctl …` as root; returns stdout. */
  systemctl(...args: string[]): Promise<string>;
  active(unit: string): Promise<boolean>;
  /** Waits until all these units are active, and the web service answers if it is one of them. @throws Failure */
  until(units: readonly string[]): Promise<void>;
  /** Everything on it is gone at once, as far as its disk is concerned in the middle of a word. */
  powerCut(): Promise<void>;
  /** Switches it on and waits until it takes logins and everything that starts with it has been started. */
  boot(): Promise<void>;
  cutNetwork(): Promise<void>;
  restoreNetwork(): Promise<void>;
  destroy(): Promise<void>;
}

export interface HostPlace {
  readonly name: string;
  readonly address: string;
  readonly prefix: number;
  readonly machine: string;
  readonly bridge: string;
  /** The host's own folder outside. */
  readonly folder: string;
  readonly baseRoot: string;
  readonly keys: SshKeys;
  readonly publicKey: string;
}

const patienceMs = 60_000;

/** Copies the base, makes a host of it and boots it. */
export async function createHost(place: HostPlace, options: HostOptions): Promise<TestHost> {
  const { name, address, folder, keys } = place;
  const disk = join(folder, 'root');
  await mkdir(folder, { recursive: true });
  await execa('cp', ['-a', '--reflink=auto', place.baseRoot, disk]);
  await writeIdentity(place, disk);
  await addUsers(place, disk, options.users ?? []);
  const wanted = options.mastodon === true ? {} : options.mastodon;
  const mastodon = wanted ? await installMastodon(disk, address, wanted) : undefined;
  if (options.code) await installCode(disk);
  const machine = new Machine({
    machine: place.machine,
    root: disk,
    bridge: place.bridge,
    binds: [...(mastodon || options.code ? mastodonBinds : []), ...(options.binds ?? [])],
    console: join(folder, 'console.log'),
  });

  const onHost = (user: string, argv: readonly string[], more?: SshOptions): Promise<SshResult> =>
    ssh(keys, `${user}@${address}`, argv, more);
  const eventually = async (what: string, answer: () => Promise<boolean>): Promise<void> => {
    for (const started = Date.now(); !(await answer());) {
      machine.requireOn();
      if (Date.now() - started > patienceMs) {
        throw new Failure(
          'CommandTimedOut',
          `${what} on ${name}: not within a minute.\n${machine.consoleTail()}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  };
  const answering = (): Promise<void> =>
    eventually('sshd answering', async () => {
      const { exitCode } = await onHost('root', ['true'], { okCodes: [0, 255] });
      return exitCode === 0;
    });
  const active = async (unit: string): Promise<boolean> =>
    (await onHost('root', ['systemctl', 'is-active', '--quiet', unit], { okCodes: [0, 3, 4] })).exitCode ===
    0;

  const host: TestHost = {
    name,
    address,
    ...keys,
    disk,
    mastodon,
    ssh: onHost,
    async systemctl(...args) {
      return (await onHost('root', ['systemctl', ...args])).stdout;
    },
    active,
    async until(units) {
      await eventually(`${units.join(', ')} active`, async () => {
        const { exitCode } = await onHost('root', ['systemctl', 'is-active', ...units], {
          okCodes: [0, 3, 4],
        });
        return exitCode === 0;
      });
      if (mastodon === undefined || !units.some((unit) => unit.startsWith('mastodon-web'))) return;
      await eventually(
        'web healthy',
        async () => (await fetch(`${mastodon.url}/health`).catch(() => undefined))?.ok === true,
      );
    },
    powerCut: () => machine.cutPower(),
    async boot() {
      machine.switchOn();
      await answering();
      // PostgreSQL is the last one to be up, two seconds after sshd.
      await onHost('root', ['timeout', '60', 'systemctl', 'is-system-running', '--wait'], {
        okCodes: [0, 1, 124],
      });
    },
    cutNetwork: () => machine.setCable(false),
    async restoreNetwork() {
      await machine.setCable(true);
      await answering();
    },
    async destroy() {
      await machine.cutPower();
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await host.boot();
    if (mastodon !== undefined) await host.until(mastodon.units);
    return host;
  } catch (error) {
    await host.destroy();
    throw error;
  }
}

/** Its name, address, machine id and host keys; the latter go into known_hosts. */
async function writeIdentity(place: HostPlace, disk: string): Promise<void> {
  const { name, address, prefix, keys } = place;
  const files = {
    'etc/hostname': `${name}\n`,
    'etc/hosts': `127.0.0.1 localhost\n127.0.1.1 ${name}\n`,
    'etc/machine-id': `${randomBytes(16).toString('hex')}\n`,
    // Sorts before Debian's 80-container-host0.network, which would ask for DHCP.
    'etc/systemd/network/10-host0.network': `[Match]\nName=host0\n\n[Network]\nAddress=${address}/${String(prefix)}\n`,
  };
  for (const [path, text] of Object.entries(files)) await writeFile(join(disk, path), text);
  await execa('ssh-keygen', ['-A', '-f', disk]);
  const folder = join(disk, 'etc/ssh');
  for (const file of (await readdir(folder)).filter((found) => /^ssh_host_.*\.pub$/.test(found))) {
    const [type = '', key = ''] = (await readFile(join(folder, file), 'utf8')).split(' ');
    await appendFile(keys.knownHosts, `${address},${name} ${type} ${key}\n`);
  }
}

async function addUsers(
  place: HostPlace,
  disk: string,
  users: NonNullable<HostOptions['users']>,
): Promise<void> {
  for (const { name, sudoers } of users) {
    await execa('chroot', [disk, 'useradd', '--create-home', '--shell', '/bin/bash', name]);
    if (sudoers === undefined) continue;
    const path = join(disk, 'etc/sudoers.d', name);
    await writeFile(path, `${sudoers.trim()}\n`);
    await chmod(path, 0o440);
  }
  for (const user of ['root', 'backup', ...users.map(({ name }) => name)]) {
    const file = `${user === 'root' ? '/root' : `/home/${user}`}/.ssh/authorized_keys`;
    await mkdir(dirname(join(disk, file)), { recursive: true, mode: 0o700 });
    await writeFile(join(disk, file), place.publicKey, { mode: 0o600 });
    await execa('chroot', [disk, 'chown', '-R', `${user}:`, dirname(file)]);
  }
}
