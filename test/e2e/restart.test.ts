import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Host } from '../../src/hosts/host.js';
import { armLease, leaseState, releaseLease, stopUnderLease } from '../../src/hosts/lease.js';
import { sshHost } from '../../src/hosts/ssh.js';
import { connectClient } from '../../src/temporal/connection.js';
import { bootTestbed, type Testbed, testbedAvailable, type TestHost } from '../testbed/testbed.js';
import { dumpsOn, holdDump, type Installation, install } from './installation.js';

const missing = testbedAvailable();
const domain = 'sample.example';
const web = 'mastodon-web.service';

/** The user `backup` of the Mastodon host keeps the repository: one machine less. */
describe.skipIf(missing !== null)(`services come back, whatever dies ${missing ?? ''}`, () => {
  let testbed: Testbed;
  let host: TestHost;
  let installation: Installation;
  let units: readonly string[];

  beforeAll(async () => {
    testbed = await bootTestbed();
    host = await testbed.addHost('mastodon', { mastodon: { domain, size: { statuses: 50 } } });
    units = host.mastodon?.units ?? [];
    // After a power cut systemd starts the others; this one is the lease's.
    await host.systemctl('disable', 'mastodon-sidekiq.service');
    installation = await install({
      ...{ host, user: 'root', vault: host },
      more: { database: { lockWaitTimeout: '5m' } },
    });
    await installation.makeOffsite();
  });
  afterAll(async () => {
    await installation.remove();
    await testbed.destroy();
  });
  beforeEach(() => installation.up());
  afterEach(async () => {
    installation.killWorker();
    await resumeRedis();
  });

  /** Starts a night, and holds its window open by a Redis that does not answer when it is asked for its save. */
  async function holdWindow(): Promise<void> {
    const held = host.ssh('root', ['sh', '-c', stopRedisAtTheStop]);
    await start();
    await held;
    await until('all services are stopped', async () => {
      const states = await Promise.all(units.map((unit) => host.active(unit)));
      return states.every((active) => !active);
    });
  }
  const resumeRedis = () => host.ssh('root', ['pkill', '-CONT', '-x', 'redis-server']);

  async function until(what: string, answer: () => Promise<boolean>): Promise<void> {
    for (const started = Date.now(); !(await answer());) {
      if (Date.now() - started > 240_000)
        throw new Error(`not in time: ${what}\n${installation.log().slice(-3000)}`);
      await sleep(200);
    }
  }

  const timers = () => host.systemctl('list-units', 'permafrost-lease-*', '--plain', '--no-legend');

  interface Status {
    lastBackup: { backup: string } | null;
    running: unknown[];
  }
  const status = () => installation.json<Status>('status');
  const ended = () => until('the run has ended', async () => (await status()).running.length === 0);
  const newest = async (): Promise<string> => (await status()).lastBackup?.backup ?? '';

  async function start(): Promise<{ workflowId: string }> {
    return installation.json<{ workflowId: string }>('backup', '--detach');
  }

  async function expectAllUp(): Promise<void> {
    for (const unit of units) expect([unit, await host.active(unit)]).toEqual([unit, true]);
    expect(await timers()).toBe('');
  }

  test('a worker that is killed while services are stopped: the next one calls them up and seals', async () => {
    const before = await newest();
    await holdWindow();
    expect(await timers()).toContain(`permafrost-lease-${domain}-a.timer`);
    installation.killWorker();
    await resumeRedis();
    await installation.up();
    await ended();
    await expectAllUp();
    expect((await newest()) > before).toBe(true);
  });

  test('a worker that is killed during the dump: the next one finds the same dump and seals', async () => {
    const before = await newest();
    const dump = holdDump(host);
    const { workflowId } = await start();
    const pid = await dump.running;
    installation.killWorker();
    await installation.up();
    await until('the dump is looked after again', async () => (await dumpAttempt(workflowId)) > 1);
    expect(await dumpsOn(host)).toBe(pid);
    await dump.letGo();
    await ended();
    await expectAllUp();
    expect((await newest()) > before).toBe(true);
  });

  test('a run that is cancelled leaves no process of its jobs on the host', async () => {
    const dump = holdDump(host);
    const night = installation.backup();
    await dump.running;
    await installation.verb('cancel');
    expect((await night).exitCode).toBe(130);
    expect(await processesOfJobs()).toBe('');
    await dump.letGo();
    await expectAllUp();
  });

  test('a power cut while services are stopped: they are up after the boot, and the next night seals', async () => {
    const other = 'boot.example'; // of a supervisor that nothing starts at boot
    const root = open();
    try {
      const token = randomUUID();
      const lease = { token, seconds: 600, services: [await startDaemon()], wasHealthy: false };
      await armLease(root, other, { ...lease, bootUnit: true });
      await stopUnderLease(root, other, token);
    } finally {
      await root.close();
    }
    await holdWindow();
    await host.powerCut();
    await host.boot();
    await host.until(units);
    await ended();
    await expectAllUp();
    await until('the lease’s boot unit is done', async () => (await daemonRuns()) && !(await held(other)));
    await sleep(500); // systemd ends what a unit leaves behind, unless it is told not to
    expect(await daemonRuns()).toBe(true);
    await endDaemon();
    const { exitCode, report } = await installation.backup();
    expect([exitCode, report.status]).toEqual([0, 'sealed']);
    await expectAllUp();
  });

  test('a power cut in the swap of a restore: one whole state is there before systemd starts the services on it', async () => {
    await sql(`UPDATE accounts SET note = 'of after the night' WHERE id = (SELECT min(id) FROM accounts)`);
    // Whoever changes a database's comment keeps it from being renamed.
    const holding = sql(
      `BEGIN; COMMENT ON DATABASE mastodon_sample IS 'held'; SELECT pg_sleep(600);`,
      'postgres',
    );
    const cut = expect(holding).rejects.toThrow();
    await installation.json('restore', '--parts', 'database,secrets', '--yes', '--detach');
    const journals = join(host.disk, 'var/lib/permafrost/undo', domain);
    const journal = () => {
      const [restore = ''] = existsSync(journals) ? readdirSync(journals) : [];
      const file = join(journals, restore, 'journal');
      return existsSync(file) ? readFileSync(file, 'utf8') : '';
    };
    await until('the swap has begun', async () => journal().includes(' begun'));
    expect(await host.active(web)).toBe(false);
    await host.powerCut();
    await cut;
    await host.boot();
    await host.until(units);
    await ended();
    await expectAllUp();
    const note = 'SELECT note FROM accounts WHERE id = (SELECT min(id) FROM accounts)';
    expect(await sql(note)).toBe('of after the night');
    expect((await sql('SELECT datname FROM pg_database')).split('\n')).not.toContainEqual(
      expect.stringMatching(/_(?:restore|before|undone)_/),
    );
    expect(await installation.json('status')).toMatchObject({ undos: [] });
  });

  async function sql(text: string, database = 'mastodon_sample'): Promise<string> {
    const argv = ['runuser', '-u', 'postgres', '--', 'psql', '-XAtq', database];
    return (await host.ssh('root', argv, { stdin: text })).stdout.trim();
  }

  function open(): Host {
    const { address, identityFile, knownHosts } = host;
    return sshHost({ user: 'root', address, port: 22, identityFile, knownHosts, sudo: false });
  }

  async function held(name: string): Promise<boolean> {
    return existsSync(join(host.disk, 'var/lib/permafrost/lease', name, 'token'));
  }

  /** A service that its start command leaves in the background, as other supervisors and scripts do. */
  const pidFile = '/run/daemon.pid';
  async function startDaemon() {
    const script = `sleep infinity & echo $! > ${pidFile}`;
    await host.ssh('root', ['sh', '-c', `exec > /dev/null 2>&1; ${script}`]);
    return {
      name: 'daemon',
      start: ['sh', '-c', script],
      stop: ['sh', '-c', `kill "$(cat ${pidFile})"; rm ${pidFile}`],
    };
  }
  async function daemonRuns(): Promise<boolean> {
    const alive = ['sh', '-c', `kill -0 "$(cat ${pidFile})"`];
    return (await host.ssh('root', alive, { okCodes: [0, 1, 2] })).exitCode === 0;
  }
  const endDaemon = () => host.ssh('root', ['sh', '-c', `kill "$(cat ${pidFile})"; rm ${pidFile}`]);

  test('a network cut while services are stopped: the timer on the host starts them', async () => {
    const first = open();
    const services = [
      ...units.map((name) => ({
        ...{ name, start: ['systemctl', 'start', name], stop: ['systemctl', 'stop', name] },
      })),
      await startDaemon(),
    ];
    const name = 'cut.example';
    const token = randomUUID();
    const lease = { token, services, wasHealthy: false, bootUnit: false };
    try {
      await armLease(first, name, { ...lease, seconds: 120 });
      await stopUnderLease(first, name, token);
      expect(await host.active(web)).toBe(false);
      await armLease(first, name, { ...lease, seconds: 4 });
      await host.cutNetwork();
      const folder = join(host.disk, 'var/lib/permafrost/lease', name);
      await until(
        'the lease has fired',
        async () => existsSync(join(folder, 'last-fired')) && !existsSync(join(folder, 'token')),
      );
    } finally {
      await host.restoreNetwork();
      await first.close();
    }
    const second = open();
    try {
      expect(await leaseState(second, name)).toMatchObject({ held: false, lastFired: { token } });
      await expectAllUp();
      expect(await daemonRuns()).toBe(true);
      // It still runs in the unit of the timer that fired; the next lease can be armed and renewed all the same.
      const next = { ...lease, token: randomUUID(), seconds: 600 };
      for (let renewals = 0; renewals < 4; renewals += 1) await armLease(second, name, next);
      expect(await leaseState(second, name)).toMatchObject({ held: true, phase: 'armed' });
      await releaseLease(second, name, next.token);
      await endDaemon();
    } finally {
      await releaseLease(second, name, 'any');
      await second.close();
    }
  });

  test('after all that nothing of Permafrost is on the host but its own folder', async () => {
    const prune = ['/proc', '/sys', '/opt/permafrost-sample', '/usr'].flatMap((path) => [
      '-path',
      path,
      '-prune',
      '-o',
    ]);
    const { stdout } = await host.ssh('root', ['find', '/', ...prune, '-iname', '*permafrost*', '-print']);
    expect(stdout).toBe('/var/lib/permafrost');
    expect(await host.systemctl('list-units', 'permafrost*', '--all', '--plain', '--no-legend')).toBe('');
    expect(await processesOfJobs()).toBe('');
    const { stdout: own } = await host.ssh('root', ['ls', '-A', '/var/lib/permafrost']);
    expect(own.split('\n').sort()).toEqual([
      'base',
      'bin',
      'cache',
      'index',
      'jobs',
      'lease',
      'restore',
      'scratch',
      'spool',
    ]);
    const emptied = ['spool', 'jobs', 'restore', 'scratch'].map((name) => `/var/lib/permafrost/${name}`);
    const { stdout: left } = await host.ssh('root', ['find', ...emptied, '-mindepth', '1']);
    expect(left).toBe('');
  });

  /** Whatever carries the mark that every process of ours has in its environment. */
  async function processesOfJobs(): Promise<string> {
    const script = 'cd /proc && grep -lz "^PERMAFROST_JOB=" [0-9]*/environ 2>/dev/null; true';
    return (await host.ssh('root', ['sh', '-c', script])).stdout;
  }

  async function dumpAttempt(workflowId: string): Promise<number> {
    const address = `127.0.0.1:${String(installation.temporalPort)}`;
    const { client, close } = await connectClient({ kind: 'address', address, namespace: 'default' });
    try {
      const { raw } = await client.workflow.getHandle(workflowId).describe();
      const dump = raw.pendingActivities?.find((pending) => pending.activityType?.name === 'dumpDatabase');
      return dump?.attempt ?? 0;
    } finally {
      await close();
    }
  }
});

const stopRedisAtTheStop = `while systemctl is-active -q ${web}; do sleep 0.01; done; pkill -STOP -x redis-server`;
