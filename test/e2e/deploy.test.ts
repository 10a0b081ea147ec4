import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { projectFolder } from '../../sample/paths.js';
import type { BackupReport } from '../../src/backups/report.js';
import { makeKeysQuick } from '../integration/offsite/quick-keys.js';
import { bootTestbed, type Testbed, testbedAvailable, type TestHost } from '../testbed/testbed.js';

const missing = testbedAvailable();
const domain = 'sample.example';
const clone = '/opt/permafrost';
const configFile = '/etc/permafrost/permafrost.yaml';
const repository = '/srv/backups/night';
const password = 'not-a-secret-here';
const parts = ['dist', 'node_modules', '.tools', 'setup', 'deploy', 'package.json'];

/** Permafrost and Mastodon on one machine that systemd runs, as on most servers. */
describe.skipIf(missing !== null)(`Permafrost as a unit of systemd ${missing ?? ''}`, () => {
  let testbed: Testbed;
  let host: TestHost;
  let units: readonly string[];

  beforeAll(async () => {
    testbed = await bootTestbed();
    host = await testbed.addHost('mastodon', {
      mastodon: { domain, size: { statuses: 50 } },
      binds: parts.map((part) => `${join(projectFolder, part)}:${clone}/${part}`),
    });
    units = host.mastodon?.units ?? [];
    await host.ssh('root', ['install', '-d', '-m', '700', '/etc/permafrost']);
    await put('/etc/permafrost/vault.password', `${password}\n`);
    await configure('local');
  });
  afterAll(() => testbed.destroy());

  async function put(path: string, content: string): Promise<void> {
    await host.ssh('root', ['sh', '-c', 'umask 077; cat > "$1"', 'sh', path], { stdin: content });
  }

  async function configure(where: unknown, more: Record<string, unknown> = {}): Promise<void> {
    const instances = { [domain]: { host: where, mastodon: { root: host.mastodon?.root } } };
    const offsites = { vault: { kind: 'restic', repository, passwordFile: 'vault.password' } };
    await put(configFile, stringify({ instances, offsites, ...more }));
  }

  /** Runs a verb on the host, as an operator there does. */
  async function permafrost(...words: string[]) {
    const argv = ['node', `${clone}/dist/scripts/permafrost.js`, ...words, '--config', configFile];
    const okCodes = Array.from({ length: 255 }, (_, code) => code);
    const { exitCode, stdout, stderr } = await host.ssh('root', argv, { okCodes });
    return { exitCode, stdout, stderr, json: <T>() => JSON.parse(stdout) as T };
  }

  async function until(what: string, answer: () => Promise<boolean>): Promise<void> {
    for (const started = Date.now(); !(await answer()); await sleep(200)) {
      if (Date.now() - started < 120_000) continue;
      const { stdout } = await host.ssh('root', ['journalctl', '-u', 'permafrost', '-o', 'cat', '-n', '30']);
      throw new Error(`not in time: ${what}\n${stdout}`);
    }
  }

  const states = () => Promise.all(units.map((unit) => host.active(unit)));
  const allStopped = async () => (await states()).every((active) => !active);
  const leases = () => host.systemctl('list-units', 'permafrost-lease-*', '--plain', '--no-legend');

  interface Status {
    lastBackup: { backup: string } | null;
    running: unknown[];
  }
  const status = async () => (await permafrost('status', '--json')).json<Status>();
  const ended = () => until('the run has ended', async () => (await status()).running.length === 0);

  /** Starts a night, and holds its window open by a Redis that does not answer when it is asked for its save. */
  async function holdWindow(): Promise<void> {
    const stopRedis =
      'while systemctl is-active -q mastodon-web.service; do sleep 0.01; done; pkill -STOP -x redis-server';
    const held = host.ssh('root', ['sh', '-c', stopRedis]);
    await permafrost('backup', '--detach');
    await held;
    await until('all services are stopped', allStopped);
  }
  const resumeRedis = () => host.ssh('root', ['pkill', '-CONT', '-x', 'redis-server']);

  test('one command installs it, and a night is sealed from its sandbox', async () => {
    const installed = await permafrost('unit', 'install', '--json');
    expect(installed.exitCode, installed.stdout).toBe(0);
    expect(installed.json()).toMatchObject({ unit: 'permafrost', user: 'root', changed: true });
    expect(await host.systemctl('is-enabled', 'permafrost')).toBe('enabled');
    await permafrost('offsite', 'init');
    makeKeysQuick(join(host.disk, repository), password);
    const night = await permafrost('backup', '--json');
    expect(night.exitCode, night.stdout + night.stderr).toBe(0);
    expect(night.json<BackupReport>().status).toBe('sealed');
    const again = await permafrost('unit', 'install', '--json');
    expect(again.json()).toMatchObject({ changed: false });
  });

  test('stopped while services are down: the next start calls them up, and the night is sealed', async () => {
    const before = (await status()).lastBackup?.backup ?? '';
    await holdWindow();
    const refused = await permafrost('unit', 'remove', '--json');
    expect([refused.exitCode, refused.stdout]).toEqual([4, expect.stringContaining('unit remove --now')]);
    const stopped = host.systemctl('stop', 'permafrost');
    await until('it is stopping', async () => !(await host.active('permafrost')));
    await resumeRedis();
    await stopped;
    // Nobody of ours is at work any more; what brings the services back now is the timer.
    expect(await allStopped()).toBe(true);
    expect(await leases()).toContain(`permafrost-lease-${domain}-`);
    await host.systemctl('start', 'permafrost');
    await ended();
    expect(await states()).toEqual(units.map(() => true));
    expect(await leases()).toBe('');
    expect(((await status()).lastBackup?.backup ?? '') > before).toBe(true);
  });

  test('a power cut while services are down: all is up after the boot, and the run comes to its end', async () => {
    await holdWindow();
    await host.powerCut();
    await host.boot();
    await host.until([...units, 'permafrost.service']);
    await ended();
    expect(await states()).toEqual(units.map(() => true));
    expect(await leases()).toBe('');
  });

  test('it does not start on a full state disk, and says so', async () => {
    await host.ssh('root', ['sh', '-c', 'mkdir /run/full && mount -t tmpfs -o size=1M tmpfs /run/full']);
    await configure('local', { state: '/run/full' });
    const { exitCode, stdout } = await permafrost('up', '--json');
    expect([exitCode, stdout]).toEqual([3, expect.stringContaining('The disk of the state folder is full')]);
    await configure('local');
  });

  test('one command removes it, and what is left is what the page names', async () => {
    const { exitCode, stdout } = await permafrost('unit', 'remove', '--json');
    expect(exitCode, stdout).toBe(0);
    // systemd forgets a unit whose file is gone when it gets round to it.
    const units = () => host.systemctl('list-units', 'permafrost*', '--all', '--plain', '--no-legend');
    await expect.poll(units, { timeout: 60_000, interval: 500 }).toBe('');
    const ours = '[p]ermafrost\\.js|[t]emporal server|[/]permafrost/host/';
    const processes = await host.ssh('root', ['pgrep', '-af', ours], { okCodes: [0, 1] });
    expect(processes.stdout).toBe('');
    expect(await traces()).toEqual(['/etc/permafrost', '/var/lib/permafrost']);
    await host.ssh('root', ['rm', '-rf', '/var/lib/permafrost']);
  });

  test('where hosts are reached over SSH it runs as a user of its own, who is given no more than it needs', async () => {
    const { address, identityFile, knownHosts } = host;
    await put('/etc/permafrost/server.key', await readFile(identityFile, 'utf8'));
    await put('/etc/permafrost/known_hosts', await readFile(knownHosts, 'utf8'));
    const keys = { identityFile: 'server.key', knownHosts: 'known_hosts' };
    await configure({ ssh: `root@${address}`, ...keys, folder: '/root/permafrost' });
    const refused = await permafrost('unit', 'install', '--json');
    expect([refused.exitCode, refused.stdout]).toEqual([
      3,
      expect.stringContaining('chgrp permafrost /etc/permafrost/server.key'),
    ]);
    const granted = await permafrost('unit', 'install', '--grant', '--json');
    expect(granted.exitCode, granted.stdout + granted.stderr).toBe(0);
    expect(await host.systemctl('show', '-p', 'User', '--value', 'permafrost')).toBe('permafrost');
    const key = await host.ssh('root', ['stat', '-c', '%U:%G %a', '/etc/permafrost/server.key']);
    expect(key.stdout).toBe('root:permafrost 640');
    const planned = await permafrost('backup', '--dry-run', '--json');
    expect(planned.exitCode, planned.stdout + planned.stderr).toBe(0);
    expect((await permafrost('unit', 'remove', '--now', '--json')).exitCode).toBe(0);
  });

  /** Whatever of ours is on the host, but the clone, what it stands on, and the off-site. */
  async function traces(): Promise<string[]> {
    const pruned = ['/proc', '/sys', '/usr', '/opt', '/run', '/srv'];
    const prune = pruned.flatMap((path) => ['-path', path, '-prune', '-o']);
    const { stdout } = await host.ssh('root', ['find', '/', ...prune, '-iname', '*permafrost*', '-print']);
    const topmost = stdout.split('\n').filter((path) => !/^\/(etc|var\/lib)\/permafrost\//.test(path));
    return topmost.filter((path) => path !== '').sort();
  }
});
