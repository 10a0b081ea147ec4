import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { localHost } from '../../src/hosts/local.js';
import { psql } from '../../src/mastodon/psql.js';
import { startCluster } from '../../src/scratch/cluster.js';
import { inNamespace } from '../../src/scratch/namespace.js';
import { startScratchRedis } from '../../src/scratch/redis.js';
import { closeScratch, findScratch, openScratch } from '../../src/scratch/scratch.js';

/**
 * As root, this file drops to an ordinary user for good before its first test: vitest runs each file in a process of its
 * own.
 */
const root = process.getuid?.() === 0;
if (root) {
  process.setgroups?.([]);
  process.setgid?.('nogroup');
  process.setuid?.('nobody');
  process.env['PATH'] = '/usr/local/bin:/usr/bin:/bin';
}

const ref = { instance: 'scratch.example', id: '20261121T031700Z' };

test('a scratch of an ordinary user is that user’s throughout', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-scratch-user-'));
  const host = localHost({ folder: join(folder, 'host') });
  try {
    const scratch = await openScratch(host, ref, { folder: join(folder, 'drills') });
    expect(scratch.user).toBe((await host.facts()).user);
    const cluster = await startCluster(scratch);
    const redis = await startScratchRedis(scratch);
    expect(await psql(host, cluster.access, 'SELECT 7;')).toEqual([['7']]);
    expect(await redis.cli(['PING'])).toBe('PONG');
    await expect(scratch.admit('daemon')).rejects.toMatchObject({ type: 'Refused' });

    const env = new Map([['PATH', '/usr/bin:/bin']]);
    const web = inNamespace(scratch, 'web', ['sh', '-c', 'id -un; exec sleep 1000'], { env, cwd: '/' });
    if (mayMakeNamespaces()) {
      expect(await (await web).waysOut()).toEqual([]);
      expect(await (await web).logTail()).toBe(`${scratch.user}\n`);
      const asked = [
        `${cluster.binDir}/psql`,
        '-h',
        cluster.socketFolder,
        '-U',
        'postgres',
        '-Atc',
        'SELECT 7',
      ];
      expect((await (await web).run(asked)).stdout).toBe('7\n');
    } else {
      await expect(web).rejects.toMatchObject({ type: 'Refused', next: expect.stringContaining('as root') });
    }

    await scratch.close();
    expect(existsSync(scratch.folder)).toBe(false);
    expect(await host.listJobs()).toEqual([]);
    expect(await readdir(join(folder, 'host/scratches'))).toEqual([]);
    await expect(findScratch(host, ref)).rejects.toMatchObject({ type: 'LeaseLost' });
  } finally {
    await closeScratch(host, ref);
    await rm(folder, { recursive: true });
  }
});

function mayMakeNamespaces(): boolean {
  const words = ['--user', '--map-root-user', '--net', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/run'];
  return spawnSync('unshare', words).status === 0;
}
