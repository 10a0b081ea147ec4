import { afterAll, beforeAll, describe } from 'vitest';
import { sshHost } from '../../src/hosts/ssh.js';
import { conformance } from '../integration/hosts/conformance.js';
import { bootTestbed, type Testbed, testbedAvailable, type TestHost } from '../testbed/testbed.js';

const missing = testbedAvailable();

describe.skipIf(missing !== null)(`on a whole host with systemd ${missing ?? ''}`, () => {
  let testbed: Testbed;
  let host: TestHost;
  beforeAll(async () => {
    testbed = await bootTestbed();
    host = await testbed.addHost('plain');
    const rule = 'backup ALL=(root,nobody) NOPASSWD: ALL\n';
    await host.ssh('root', ['tee', '/etc/sudoers.d/backup'], { stdin: rule });
  });
  afterAll(() => testbed.destroy());

  conformance('as root: jobs are systemd units', async () => {
    const { address, identityFile, knownHosts } = host;
    const spec = { user: 'root', address, port: 22, identityFile, knownHosts, sudo: false };
    return { open: () => sshHost(spec), user: 'root', other: 'nobody', privileged: true, systemdJobs: true };
  });

  conformance('as a user with sudo', async () => {
    const { address, identityFile, knownHosts } = host;
    const spec = { user: 'backup', address, port: 22, identityFile, knownHosts, sudo: true };
    return {
      open: () => sshHost(spec),
      user: 'backup',
      other: 'nobody',
      privileged: true,
      systemdJobs: false,
    };
  });
});
