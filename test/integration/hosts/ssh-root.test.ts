import { describe } from 'vitest';
import { localHost } from '../../../src/hosts/local.js';
import { sshHost } from '../../../src/hosts/ssh.js';
import { conformance } from './conformance.js';
import { startSshd } from './sshd.js';

describe.skipIf(process.getuid?.() !== 0)('needs root for an sshd', () => {
  conformance('over SSH, as root', async () => {
    const sshd = await startSshd();
    const { port, identityFile, knownHosts } = sshd;
    const spec = { user: 'root', address: '127.0.0.1', port, identityFile, knownHosts, sudo: false };
    return {
      open: () => sshHost({ ...spec, folder: `${sshd.folder}/own` }),
      user: 'root',
      other: 'nobody',
      privileged: true,
      systemdJobs: (await localHost({ folder: `${sshd.folder}/own` }).facts()).systemdJobs,
      cut: sshd.cut,
      destroy: sshd.stop,
    };
  });
});
