import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sshHost } from '../../src/hosts/ssh.js';
import { psql } from '../../src/mastodon/psql.js';
import { startCluster } from '../../src/scratch/cluster.js';
import { inNamespace } from '../../src/scratch/namespace.js';
import { findScratch, openScratch, sweepScratches } from '../../src/scratch/scratch.js';
import { type AcknowledgedPost, startWriter } from '../../sample/writer.js';
import { until } from '../integration/installation-processes.js';
import { bridgeName, runFolder, sweepDeadTestbeds } from '../testbed/sweep.js';
import {
  bootTestbed,
  type MastodonInstall,
  type Testbed,
  testbedAvailable,
  type TestHost,
} from '../testbed/testbed.js';

const missing = testbedAvailable();
if (missing !== null) console.error(`SKIPPED: everything that needs a whole host: ${missing}.`);

describe.skipIf(missing !== null)('a testbed', () => {
  let testbed: Testbed;
  let host: TestHost;
  let vault: TestHost;
  let mastodon: MastodonInstall;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-testbed-'));
    testbed = await bootTestbed();
    [host, vault] = await Promise.all([
      testbed.addHost('mastodon', {
        mastodon: { domain: 'sample.example' },
        users: [{ name: 'keeper', sudoers: 'keeper ALL=(root) NOPASSWD: /usr/bin/systemctl' }],
      }),
      testbed.addHost('vault'),
    ]);
    if (host.mastodon === undefined) throw new Error('not a Mastodon host');
    mastodon = host.mastodon;
  });

  afterAll(async () => {
    await rm(folder, { recursive: true });
    await testbed.destroy();
  });

  const count = async (what: string): Promise<string> => {
    const psql = [
      'runuser',
      '-u',
      'mastodon',
      '--',
      'psql',
      '-XAtd',
      mastodon.database.name,
      '-c',
      `SELECT count(*) FROM ${what}`,
    ];
    return (await host.ssh('root', psql)).stdout;
  };

  const postsOf = async (log: string): Promise<AcknowledgedPost[]> =>
    (await readFile(log, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as AcknowledgedPost);

  test("runs Mastodon's units under real systemd", async () => {
    for (const unit of mastodon.units) expect(await host.active(unit), unit).toBe(true);
    expect(await host.systemctl('is-enabled', ...mastodon.units)).toBe('enabled\n'.repeat(4).trim());
    const restart = await host.systemctl('show', '-P', 'Restart', 'mastodon-web.service');
    expect(restart).toBe('always');
    expect((await host.ssh('root', ['curl', '--version'], { okCodes: [0, 127] })).exitCode).toBe(127);
  });

  test('lets in who should be let in, and nobody else', async () => {
    expect((await host.ssh('backup', ['id', '-un'])).stdout).toBe('backup');
    expect((await vault.ssh('backup', ['pwd'])).stdout).toBe('/home/backup');
    expect((await host.ssh('keeper', ['sudo', '-n', 'systemctl', 'is-active', 'ssh'])).stdout).toBe('active');
    expect((await host.ssh('keeper', ['sudo', '-n', 'id'], { okCodes: [1] })).stderr).toContain('password');
    await expect(host.ssh('postgres', ['true'])).rejects.toThrow(/Permission denied/);
    const words = ['a b', `it's`, '$HOME', 'x;y'];
    expect((await host.ssh('root', ['printf', '%s\\n', ...words])).stdout).toBe(words.join('\n'));
  });

  test('its hosts reach each other by name', async () => {
    expect((await host.ssh('root', ['getent', 'hosts', 'vault'])).stdout).toContain(vault.address);
  });

  test('what is posted before a power cut is there after it, and the services are back by themselves', async () => {
    const log = join(folder, 'posts.jsonl');
    const before = Number(await count('statuses'));
    const writer = startWriter({ url: mastodon.url, log });
    await writer.more(10);
    const { address, identityFile, knownHosts } = host;
    const drills = sshHost({ user: 'root', address, port: 22, identityFile, knownHosts, sudo: false });
    const drill = { instance: mastodon.domain, id: '20261121T031700Z' };
    const scratch = await openScratch(drills, drill);
    await startCluster(scratch);
    await host.ssh('root', ['sh', '-c', `echo plain > ${await scratch.place('database')}/dump && sync`]);

    await host.powerCut();
    await expect(host.ssh('root', ['true'])).rejects.toThrow();
    const plaintext = join(host.disk, scratch.folder);
    expect(existsSync(join(plaintext, 'database/dump'))).toBe(true);
    await host.boot();
    await host.until(mastodon.units);
    expect(existsSync(plaintext)).toBe(false);
    await expect(findScratch(drills, drill)).rejects.toMatchObject({ type: 'LeaseLost' });
    expect(await sweepScratches(drills, async () => true)).toEqual([drill]);
    expect(readdirSync(join(host.disk, 'etc/tmpfiles.d')).filter((name) => /permafrost/.test(name))).toEqual(
      [],
    );

    await writer.more(5);
    await writer.stop();
    const posts = await postsOf(log);
    const known = await count(`statuses WHERE id IN (${posts.map(({ id }) => id).join()})`);
    expect(Number(known)).toBe(posts.length);
    expect(Number(await count('statuses'))).toBeGreaterThanOrEqual(before + posts.length);
    for (const { mediaUrl } of posts) {
      if (mediaUrl !== undefined)
        await host.ssh('root', ['test', '-s', `${mastodon.root}/public${mediaUrl}`]);
    }
  });

  test('a drill that nobody looks after any more is gone when its lease is over', async () => {
    const { address, identityFile, knownHosts } = host;
    const drills = sshHost({ user: 'root', address, port: 22, identityFile, knownHosts, sudo: false });
    const scratch = await openScratch(drills, { instance: mastodon.domain, id: '20261121T041700Z' });
    const cluster = await startCluster(scratch);
    const env = new Map([['PATH', '/usr/bin:/bin']]);
    await inNamespace(scratch, 'web', ['sleep', '1000'], { env, cwd: '/' });
    expect(await psql(drills, cluster.access, 'SELECT 7;')).toEqual([['7']]);
    await drills.close();
    await host.ssh('root', ['sh', '-c', 'echo 0 > "$(echo /var/lib/permafrost/scratches/*)/deadline"']);
    await until('nothing of it is left', () => !existsSync(join(host.disk, scratch.folder)));
    const units = () => host.systemctl('list-units', '--all', '--plain', '--no-legend', 'permafrost-*');
    await until('its units are gone', async () => (await units()) === '');
    expect((await host.ssh('root', ['pgrep', '-f', 'permafrost-scratch'], { okCodes: [1] })).stdout).toBe('');
  });

  test('a cut network is a cut network, and comes back', async () => {
    await host.cutNetwork();
    await expect(host.ssh('root', ['true'])).rejects.toThrow();
    await host.restoreNetwork();
    expect(await host.active('mastodon-web.service')).toBe(true);
  });

  test('what a dead testbed has left behind is swept', async () => {
    const { pid } = spawnSync('true');
    const left = join(runFolder, String(pid), '1', 'host');
    await mkdir(left, { recursive: true });
    await execa('ip', ['link', 'add', bridgeName(pid, 1), 'type', 'bridge']);
    await sweepDeadTestbeds();
    expect(existsSync(left)).toBe(false);
    expect(existsSync(`/sys/class/net/${bridgeName(pid, 1)}`)).toBe(false);
    expect(await host.active('mastodon-web.service')).toBe(true);
  });

  test('timers fire and units freeze, as leases and quiescing need it', async () => {
    await host.ssh('root', [
      'systemd-run',
      '--on-active=1',
      '--timer-property=AccuracySec=100ms',
      'touch',
      '/run/fired',
    ]);
    await expect
      .poll(
        async () => (await host.ssh('root', ['test', '-e', '/run/fired'], { okCodes: [0, 1] })).exitCode,
        { timeout: 10_000 },
      )
      .toBe(0);
    await host.systemctl('freeze', 'mastodon-web.service');
    expect(await host.systemctl('show', '-P', 'FreezerState', 'mastodon-web.service')).toBe('frozen');
    await host.systemctl('thaw', 'mastodon-web.service');
  });
});
