import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { localHost } from '../../../src/hosts/local.js';
import { conformance } from './conformance.js';

/**
 * As root, this file drops to an ordinary user for good before its first test: vitest runs each file in a process of
 * its own. (As an ordinary user, local.test.ts is this test already.)
 */
const root = process.getuid?.() === 0;

describe.skipIf(!root)('without root', () => {
  if (root) {
    process.setgroups?.([]);
    process.setgid?.('nogroup');
    process.setuid?.('nobody');
    process.env['PATH'] = '/usr/local/bin:/usr/bin:/bin';
  }
  const folders: string[] = [];
  afterAll(async () => {
    for (const folder of folders) await rm(folder, { recursive: true });
  });
  const scratch = async (): Promise<string> => {
    const folder = await mkdtemp(join(tmpdir(), 'permafrost-hosts-user-'));
    folders.push(folder);
    return folder;
  };

  it('keeps its folder where the user keeps state', async () => {
    const home = await scratch();
    process.env['HOME'] = home;
    expect((await localHost().facts()).folder).toBe(`${home}/.local/state/permafrost`);
    process.env['XDG_STATE_HOME'] = `${home}/state`;
    expect((await localHost().facts()).folder).toBe(`${home}/state/permafrost`);
  });

  conformance('this machine, as an ordinary user', async () => {
    const folder = join(await scratch(), 'own');
    return { open: () => localHost({ folder }), user: 'nobody', privileged: false, systemdJobs: false };
  });
});
