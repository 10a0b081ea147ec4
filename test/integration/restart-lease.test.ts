import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Host } from '../../src/hosts/host.js';
import {
  armLease,
  type LeasedService,
  leaseState,
  releaseLease,
  startUnderLease,
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
