import { randomUUID } from 'node:crypto';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Host } from '../../src/hosts/host.js';
import {
  armLease,
  type LeasedService,
  leaseState,
  releaseLease,
  startUnderLease,
  startWithoutLease,
  stopUnderLease,
} from '../../src/hosts/lease.js';
import { localHost } from '../../src/hosts/local.js';
import { until } from './installation.js';

/** The lease itself on this machine, with a service that is a file: there, it runs. */

const name = 'lease.example';

let folder: string;
let service: string;
let host: Host;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-lease-'));
  service = join(folder, 'service');
  writeFileSync(service, '');
  host = localHost({ folder: join(folder, 'host') });
});
afterEach(async () => {
  try {
    await releaseLease(host, name, 'any');
  } finally {
    await host.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

const runs = () => existsSync(service);

function arm(token: string, seconds: number, services: LeasedService[] = [files()]): Promise<void> {
  return armLease(host, name, { token, seconds, services, wasHealthy: false, bootUnit: false });
}

function files(): LeasedService {
  return { name: 'service', start: ['touch', service], stop: ['rm', service] };
}

const failure = (type: string) => expect.objectContaining({ type }) as Error;

test('a stop without a lease, or with another token, does nothing', async () => {
  await expect(stopUnderLease(host, name, randomUUID())).rejects.toEqual(failure('LeaseLost'));
  await arm(randomUUID(), 600);
  await expect(stopUnderLease(host, name, randomUUID())).rejects.toEqual(failure('LeaseLost'));
  expect(runs()).toBe(true);
});

test('a stop that comes after the start is refused, and after the release as well', async () => {
  const token = randomUUID();
  await arm(token, 600);
  await stopUnderLease(host, name, token);
  expect(runs()).toBe(false);
  expect(await startUnderLease(host, name, token)).toBe(true);
  expect(runs()).toBe(true);
  await expect(stopUnderLease(host, name, token)).rejects.toEqual(failure('LeaseLost'));
  await expect(arm(token, 600)).rejects.toEqual(failure('LeaseLost'));
  await releaseLease(host, name, token);
  await expect(stopUnderLease(host, name, token)).rejects.toEqual(failure('LeaseLost'));
  expect(runs()).toBe(true);
});

test('a lease that ends sooner than a stop may take does not allow one', async () => {
  const token = randomUUID();
  await arm(token, 30);
  await expect(stopUnderLease(host, name, token)).rejects.toEqual(failure('LeaseNotArmed'));
  expect(runs()).toBe(true);
});

test('one that cannot be armed allows nothing', async () => {
  mkdirSync(join(folder, 'host/lease', name, 'timer-a.new'), { recursive: true, mode: 0o700 });
  const token = randomUUID();
  await expect(arm(token, 5)).rejects.toEqual(failure('LeaseNotArmed'));
  expect(await leaseState(host, name)).toMatchObject({ held: false });
  await expect(stopUnderLease(host, name, token)).rejects.toEqual(failure('LeaseLost'));
  expect(runs()).toBe(true);
});

test("another run's is not touched: not armed, not started, not released", async () => {
  const [token, other] = [randomUUID(), randomUUID()];
  await arm(token, 600);
  await stopUnderLease(host, name, token);
  await expect(arm(other, 600)).rejects.toEqual(failure('Busy'));
  await expect(startUnderLease(host, name, other)).rejects.toEqual(failure('LeaseLost'));
  await releaseLease(host, name, other);
  expect(await leaseState(host, name)).toMatchObject({ held: true, token, phase: 'armed' });
  expect(runs()).toBe(false);
});

test('fires at its deadline and not before, starts what was running, and is over', async () => {
  const token = randomUUID();
  await arm(token, 600);
  await stopUnderLease(host, name, token);
  await arm(token, 3);
  expect(await leaseState(host, name)).toMatchObject({ held: true, phase: 'armed' });
  expect(runs()).toBe(false);
  await until('the lease has fired', async () => !(await leaseState(host, name)).held);
  expect(runs()).toBe(true);
  expect(await leaseState(host, name)).toMatchObject({ lastFired: { token } });
  await expect(stopUnderLease(host, name, token)).rejects.toEqual(failure('LeaseLost'));
});

test('does not fire at a deadline that was moved on', async () => {
  const token = randomUUID();
  await arm(token, 600);
  await stopUnderLease(host, name, token);
  await arm(token, 2);
  await arm(token, 600);
  await sleep(4_000); // twice the former deadline
  expect(runs()).toBe(false);
  expect(await leaseState(host, name)).toMatchObject({ held: true, phase: 'armed' });
});

test('does not fire once it is released', async () => {
  const token = randomUUID();
  await arm(token, 600);
  await stopUnderLease(host, name, token);
  await arm(token, 2);
  await releaseLease(host, name, token);
  await sleep(4_000);
  expect(runs()).toBe(false);
});

test('tries again until the services start', async () => {
  const token = randomUUID();
  const door = join(folder, 'door');
  await arm(token, 600, [
    { ...files(), start: ['sh', '-c', 'test -e "$1" && touch "$2"', 'sh', door, service] },
  ]);
  await stopUnderLease(host, name, token);
  await arm(token, 2);
  await until('it has fired', async () => (await leaseState(host, name)).phase === 'fired');
  expect(runs()).toBe(false);
  writeFileSync(door, '');
  await until('the services are up', runs);
});

const isRoot = process.getuid?.() === 0;
const leaseFolder = () => join(folder, 'host/lease', name);

/** A service without a supervisor: its start command leaves it in the background, and it talks without end. */
function daemon(): LeasedService & { pid(): number; run(): void; end(): void } {
  const file = join(folder, 'daemon.pid');
  const script = 'while :; do echo tick; sleep 0.1; done & echo $! > "$1"';
  const pid = () => Number(readFileSync(file, 'utf8'));
  const start = ['sh', '-c', script, 'sh', file];
  return {
    ...{ name: 'daemon', start, stop: ['sh', '-c', 'kill "$(cat "$1")"', 'sh', file] },
    pid,
    run: () => void spawnSync('sh', start.slice(1), { stdio: 'ignore' }),
    end: () => void (existsSync(file) && spawnSync('kill', ['-KILL', String(pid())])),
  };
}

test('a service that is left in the background stands on its own feet: it holds nothing up and is not ended with us', async () => {
  const service = daemon();
  const standsAlone = () => {
    const proc = `/proc/${String(service.pid())}`;
    expect(readFileSync(`${proc}/environ`, 'utf8')).not.toContain('PERMAFROST_JOB');
    expect(readdirSync(`${proc}/fd`).sort()).toEqual(['0', '1', '2']);
    expect(readlinkSync(`${proc}/fd/1`)).toBe(join(leaseFolder(), 'start.log'));
  };
  try {
    service.run();
    const token = randomUUID();
    await arm(token, 600, [service]);
    await stopUnderLease(host, name, token);
    expect(await startUnderLease(host, name, token)).toBe(true);
    standsAlone();
    await releaseLease(host, name, token);
    service.end();
    await startWithoutLease(host, name, [service]);
    standsAlone();
  } finally {
    service.end();
  }
});

test('what a start command that fails has said is told', async () => {
  const broken = { ...files(), start: ['sh', '-c', 'echo the port is taken >&2; exit 1'] };
  const token = randomUUID();
  await arm(token, 600, [broken]);
  const told = expect.objectContaining({
    ...{ type: 'ServicesDown', message: expect.stringContaining('the port is taken') as string },
  }) as Error;
  await expect(startUnderLease(host, name, token)).rejects.toEqual(told);
  await expect(startWithoutLease(host, name, [broken])).rejects.toEqual(told);
});

test.skipIf(!isRoot)('on a full disk nothing is armed, and a lease that finds room is', async () => {
  const place = join(folder, 'host/lease');
  mkdirSync(place, { recursive: true, mode: 0o700 });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=80k,mode=0700', 'permafrost-test', place]);
  try {
    const token = randomUUID();
    const long = { ...files(), start: ['touch', service, 'x'.repeat(90_000)] };
    await expect(arm(token, 600, [long])).rejects.toEqual(
      expect.objectContaining({
        ...{ type: 'LeaseNotArmed', message: expect.stringContaining('No space left') as string },
      }),
    );
    expect(await leaseState(host, name)).toMatchObject({ held: false });
    await expect(stopUnderLease(host, name, token)).rejects.toEqual(failure('LeaseLost'));
    expect(runs()).toBe(true);
    await arm(token, 600);
    await stopUnderLease(host, name, token);
    // A renewal that finds no room leaves the lease that there is.
    const { firesInMs = 0 } = await leaseState(host, name);
    spawnSync('sh', ['-c', 'cat /dev/zero > "$1"', 'sh', join(place, 'ballast')], { stdio: 'ignore' });
    const lease = ['bash', [join(leaseFolder(), 'lease.sh'), 'arm', token, '3000']] as const;
    expect(spawnSync(...lease).status).toBe(77);
    expect(await leaseState(host, name)).toMatchObject({ held: true, token, phase: 'armed' });
    expect((await leaseState(host, name)).firesInMs ?? 0).toBeLessThanOrEqual(firesInMs);
    expect(await startUnderLease(host, name, token)).toBe(true);
    expect(await leaseState(host, name)).toMatchObject({ phase: 'starting' });
    await expect(stopUnderLease(host, name, token)).rejects.toEqual(failure('LeaseLost'));
    expect(runs()).toBe(true);
  } finally {
    await releaseLease(host, name, 'any');
    execFileSync('umount', ['--lazy', place]);
  }
});

test('it is on the disk before it counts', async () => {
  const log = join(folder, 'synced');
  mkdirSync(join(folder, 'bin'));
  const real = execFileSync('sh', ['-c', 'command -v sync'], { encoding: 'utf8' }).trim();
  const script = `#!/bin/sh\n{ ls; echo "$*"; echo; } >> ${log}\nexec ${real} "$@"\n`;
  writeFileSync(join(folder, 'bin/sync'), script);
  chmodSync(join(folder, 'bin/sync'), 0o755);
  vi.stubEnv('PATH', `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}`);
  try {
    await arm(randomUUID(), 600);
  } finally {
    vi.unstubAllEnvs();
  }
  const calls = readFileSync(log, 'utf8')
    .trim()
    .split('\n\n')
    .map((call) => call.split('\n'))
    .map((lines) => ({ there: lines.slice(0, -1), words: (lines.at(-1) ?? '').split(' ') }));
  const [record, token] = calls.filter(({ words }) => words.includes('.'));
  expect(record?.words).toEqual(
    expect.arrayContaining(['start.sh', 'lease.sh', 'settings', 'boot', 'phase']),
  );
  expect(record?.there).toContain('start.sh');
  expect(record?.there).not.toContain('token');
  expect(token?.words).toEqual(['token', '.']);
});

test.skipIf(!isRoot)(
  'a container that was started anew has the same boot id, and no timer any more',
  async () => {
    const token = randomUUID();
    await arm(token, 600);
    const script = join(leaseFolder(), 'lease.sh');
    // Another PID 1 below the same kernel.
    const inside = (...words: string[]) =>
      spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'bash', script, ...words], {
        encoding: 'utf8',
      });
    expect(inside('state').stdout).toMatch(/^rebooted=yes$/m);
    expect(inside('stop', token, '75').status).toBe(76);
    expect(await leaseState(host, name)).toMatchObject({ held: true, rebooted: false });
    expect(runs()).toBe(true);
  },
);

test('what a boot has started before what comes first is done is stopped once, then that is done, then it starts', async () => {
  const log = join(folder, 'log');
  const say = (what: string) => ['sh', '-c', `echo ${what} >> ${log}; ${what === 'first' ? 'false' : ':'}`];
  const token = randomUUID();
  const flapping = { name: 'flapping', start: ['false'], stop: say('stop'), proven: false };
  await armLease(host, name, {
    ...{ token, seconds: 600, wasHealthy: false, bootUnit: false, first: say('first') },
    services: [{ name: 'service', start: say('start'), stop: say('stop') }, flapping],
  });
  expect(await leaseState(host, name)).toMatchObject({ services: ['service'] });
  await stopUnderLease(host, name, token);
  writeFileSync(join(leaseFolder(), 'boot'), 'another 1\n');
  expect(await startUnderLease(host, name, token)).toBe(true);
  expect(await startUnderLease(host, name, token)).toBe(true);
  const both = ['stop', 'stop'];
  expect(readFileSync(log, 'utf8').trim().split('\n')).toEqual([
    ...[...both, ...both, 'first', 'start'],
    ...['first', 'start'],
  ]);
});

test('a lease that an older Permafrost has armed is still one', async () => {
  const token = randomUUID();
  await arm(token, 600);
  const [id = ''] = readFileSync(join(leaseFolder(), 'boot'), 'utf8').split(' ');
  writeFileSync(join(leaseFolder(), 'boot'), `${id}\n`);
  expect(await leaseState(host, name)).toMatchObject({ held: true, rebooted: false });
  await stopUnderLease(host, name, token);
  expect(runs()).toBe(false);
});
