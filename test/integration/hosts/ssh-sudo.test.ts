import { describe } from 'vitest';
import { sshHost } from '../../../src/hosts/ssh.js';
import { conformance } from './conformance.js';
import { addSudoUser, startSshd } from './sshd.js';

describe.skipIf(process.getuid?.() !== 0)('needs root for an sshd and a user', () => {
  conformance('over SSH, as a user with sudo', async () => {
    const sshd = await startSshd();
    const { user, remove } = addSudoUser((name) => `${name} ALL=(root,nobody) NOPASSWD: ALL`);
    const { port, identityFile, knownHosts } = sshd;
    return {
      open: () => sshHost({ user, address: '127.0.0.1', port, identityFile, knownHosts, sudo: true }),
      user,
      other: 'nobody',
      privileged: true,
      systemdJobs: false,
      cut: sshd.cut,
      destroy: async () => {
        await sshd.stop();
        remove();
      },
    };
  });
});
