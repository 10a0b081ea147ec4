import { appendFile, mkdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { Failure } from '../../src/errors.js';
import { testbedAvailable } from './available.js';
import { baseSystem } from './baseSystem.js';
import { createHost, type HostOptions, type TestHost } from './host.js';
import { createNetwork } from './network.js';
import { bridgeName, runFolder, sweepDeadTestbeds } from './sweep.js';

export { testbedAvailable } from './available.js';
export { type HostOptions, type TestHost } from './host.js';
export { type MastodonInstall, type MastodonOptions } from './mastodon.js';
export { type SshOptions, type SshResult } from './ssh.js';

export interface Testbed {
  /** An ed25519 key that opens `root` and `backup` on every host. */
  readonly identityFile: string;
  /** The hosts' real keys, by address and by name. */
  readonly knownHosts: string;
  /** This machine's address on the testbed's bridge. */
  readonly address: string;
  /** Adds a host and waits until it is up; a Mastodon host until its services are, too. Hosts know each other by name. */
  addHost(name: string, options?: HostOptions): Promise<TestHost>;
  destroy(): Promise<void>;
}

let testbeds = 0;
let machines = 0;

/**
 * A testbed without hosts yet. Sweeps those that died, and builds the root file system if need be.
 *
 * @throws Failure `ToolMissing` where there can be none (ask `testbedAvailable` first), `CommandFailed`
 */
export async function bootTestbed(options: { log?: (line: string) => void } = {}): Promise<Testbed> {
  const reason = testbedAvailable();
  if (reason !== null) throw new Failure('ToolMissing', `There can be no testbed here: ${reason}.`);
  await sweepDeadTestbeds();
  const baseRoot = await baseSystem(options.log ?? console.error);
  const index = ++testbeds;
  const folder = join(runFolder, String(process.pid), String(index));
  await mkdir(folder, { recursive: true });

  const keys = { identityFile: join(folder, 'id_ed25519'), knownHosts: join(folder, 'known_hosts') };
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'testbed', '-f', keys.identityFile]);
  await writeFile(keys.knownHosts, '');
  const publicKey = await readFile(`${keys.identityFile}.pub`, 'utf8');
  const network = await createNetwork(bridgeName(process.pid, index));
  const hosts: TestHost[] = [];
  let given = 0;
  return {
    ...keys,
    address: network.address,
    async addHost(name, hostOptions = {}) {
      const place = {
        name,
        ...network.hostAddress(given++),
        machine: `pf${String(process.pid)}-${String(++machines)}`,
        bridge: network.bridge,
        folder: join(folder, name),
        baseRoot,
        keys,
        publicKey,
      };
      const host = await createHost(place, hostOptions);
      for (const other of hosts) {
        await appendFile(join(other.disk, 'etc/hosts'), `${host.address} ${host.name}\n`);
        await appendFile(join(host.disk, 'etc/hosts'), `${other.address} ${other.name}\n`);
      }
      hosts.push(host);
      return host;
    },
    async destroy() {
      await Promise.all(hosts.map((host) => host.destroy()));
      await network.destroy();
      await rm(folder, { recursive: true, force: true });
      await rmdir(dirname(folder)).catch(() => undefined);
    },
  };
}
