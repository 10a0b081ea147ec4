import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { localHost } from '../../../src/hosts/local.js';
import { conformance } from './conformance.js';

const { username, uid } = userInfo();

conformance(`this machine, as ${username}`, async () => {
  const folder = join(await mkdtemp(join(tmpdir(), 'permafrost-hosts-')), 'own');
  const { systemdJobs } = await localHost({ folder }).facts();
  return {
    open: () => localHost({ folder }),
    user: username,
    ...(uid === 0 ? { other: 'nobody' } : {}),
    privileged: uid === 0,
    systemdJobs,
    destroy: () => rm(join(folder, '..'), { recursive: true }),
  };
});
