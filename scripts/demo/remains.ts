import { readdir, rm } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { releaseLease } from '../../src/hosts/lease.js';
import { localHost } from '../../src/hosts/local.js';
import { keysFolder } from '../../src/offsite/keys.js';

/** Ends the jobs and the lease that runs from this state folder have left on this machine. */
export async function clearHost(state: string, domain: string): Promise<void> {
  const host = localHost({ folder: join(state, 'host') });
  try {
    for (const id of await host.listJobs()) await host.job(id).cancel();
    await releaseLease(host, domain, 'any');
  } finally {
    await host.close();
  }
}

/** Removes the keys that runs from this state folder have handed over to this machine's memory. */
export async function removeKeys(state: string, domain: string): Promise<void> {
  const { username } = userInfo();
  const ours = keysFolder(username, { folder: join(state, 'host'), instance: domain, run: '' });
  for (const name of await readdir(dirname(ours))) {
    const folder = join(dirname(ours), name);
    if (folder.startsWith(ours)) await rm(folder, { recursive: true, force: true });
  }
}
