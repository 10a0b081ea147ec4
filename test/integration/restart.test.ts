import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { randomUUID } from 'node:crypto';
import { armLease, releaseLease, stopUnderLease } from '../../src/hosts/lease.js';
import { RECONCILE_ID, TASK_QUEUE, WORKFLOWS, guardWorkflowId } from '../../src/workflows/names.js';
import { type Installation, setUpInstallation, until } from './installation.js';
import { forbidSaves, holdTheCapture, holdTheWindow } from './obstacles.js';

/**
 * Services are never left down. Each layer that sees to it is alone here: those before it are taken away by what the
 * test does (a killed worker, a terminated run, a lost server), and the ones after it would come much later.
 */

vi.setConfig({ testTimeout: 300_000 });

let here: Installation;
beforeAll(async () => {
  here = await setUpInstallation({ name: 'restart' });
});
afterAll(() => here?.remove());

const takeBack: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const action of takeBack.splice(0).reverse()) await action();
  // A test that failed spoils no other.
  if (!(await here.services.allUp())) await here.permafrost('services', 'start');
});
beforeEach(async () => {
  expect(await here.services.allUp()).toBe(true);
  expect(await here.lease()).toMatchObject({ held: false });
});

/** Small nights: what the window is about is the services. */
const small = ['--only', 'secrets,redis'];

/** A run that stands in its quiesce window with all services stopped. */
async function runInTheWindow() {
  takeBack.push(await holdTheWindow(here.sample));
  const said = await here.permafrost('backup', '--detach', '--json', ...small);
  await until('the services are stopped', here.services.allDown);
  const handle = here.client.workflow.getHandle((said.json as { workflowId: string }).workflowId);
  return { handle, letGo: async () => takeBack.pop()?.() };
}

async function leaseIsOver(): Promise<void> {
  await until('the lease has ended', async () => !(await here.lease()).held);
}

async function guardHasEnded(): Promise<void> {
  const guard = here.client.workflow.getHandle(guardWorkflowId(here.domain));
  await until('the guard has ended', async () => (await guard.describe()).status.name !== 'RUNNING');
}

/** Arms a lease for all services, or renews the one that `token` holds. */
function arm(token: string, seconds: number): Promise<void> {
  const { names, start, stop } = here.sample.services;
  const services = names.map((name, at) => ({ name, start: start[at] ?? [], stop: stop[at] ?? [] }));
  return armLease(here.host, here.domain, { token, seconds, services, wasHealthy: true, bootUnit: false });
}

/** Another run can begin. */
async function nextNightIsSealed(): Promise<void> {
  expect(await here.backup(...small)).toMatchObject({ exitCode: 0, report: { status: 'sealed' } });
}

describe('the run itself', () => {
  test('starts the services when a step of the window fails', async () => {
    takeBack.push(await forbidSaves(here.sample));
    const pids = await here.services.pids();
    const { exitCode, report } = await here.backup(...small);
    expect(exitCode).toBe(1);
    expect(report).toMatchObject({ status: 'failed', services: 'up', error: { type: 'AuthFailed' } });
    expect(report.downtimeMs).toBeGreaterThan(0);
    expect(await here.services.allUp()).toBe(true);
    expect((await here.services.pids()).filter((pid) => pids.includes(pid))).toEqual([]);
    expect(await here.lease()).toMatchObject({ held: false });
    expect(await here.remains()).toEqual([]);
  });

  test('stops nothing when the lease cannot be armed', async () => {
    const lease = join(here.state, 'host/lease', here.domain);
    rmSync(lease, { recursive: true, force: true });
    mkdirSync(join(lease, 'timer-a.new'), { recursive: true }); // where the timer would note its process
    takeBack.push(() => Promise.resolve(rmSync(lease, { recursive: true, force: true })));
    const pids = await here.services.pids();
    const { exitCode, report } = await here.backup(...small);
    expect(exitCode).toBe(1);
    expect(report).toMatchObject({ services: 'untouched', error: { type: 'LeaseNotArmed' } });
    expect(await here.services.pids()).toEqual(pids);
  });

  test('goes on in another worker when its own is killed in the window', async () => {
    const { handle, letGo } = await runInTheWindow();
    await here.worker.kill();
    expect(await here.services.allDown()).toBe(true);
    await here.worker.start();
    await letGo();
    expect(await handle.result()).toMatchObject({ status: 'sealed', services: 'up' });
    expect(await here.services.allUp()).toBe(true);
    expect((await here.lease()).lastFired).toBeUndefined();
  });

  test('brings them back when it is cancelled in the window', async () => {
    const { handle } = await runInTheWindow();
    const cancelled = await here.permafrost('cancel', '--json');
    expect(cancelled).toMatchObject({ exitCode: 0, json: { status: 'cancelled', services: 'up' } });
    expect(await here.services.allUp()).toBe(true);
    await expect(handle.result()).rejects.toThrow();
    expect(await here.remains()).toEqual([]);
  });
});

describe('the guard', () => {
  test('brings the services back when the run is terminated in the window', async () => {
    const { handle } = await runInTheWindow();
    await handle.terminate('by a test');
    await until('the services are up', here.services.allUp);
    await guardHasEnded();
    expect(await here.lease()).toMatchObject({ held: false });
    expect((await here.lease()).lastFired).toBeUndefined();
  });

  test('does so although somebody has cancelled it, and lets the instance go', async () => {
    const { handle } = await runInTheWindow();
    await here.client.workflow.getHandle(guardWorkflowId(here.domain)).cancel();
    await handle.terminate('by a test');
    await until('the services are up', here.services.allUp);
    await guardHasEnded();
    expect((await here.lease()).lastFired).toBeUndefined();
    await takeBack.pop()?.();
    await nextNightIsSealed();
  });

  test('lets the instance go when the run is terminated while it captures', async () => {
    takeBack.push(await holdTheCapture(here.sample));
    const said = await here.permafrost('backup', '--detach', '--json', '--only', 'database,redis');
    const job = join(here.state, 'host/jobs');
    await until('a dump is taken', async () =>
      (await here.remains()).some((path) => path.startsWith(job) && /dump$/.test(path)),
    );
    await until('the services are up', here.services.allUp);
    expect(await here.backup(...small)).toMatchObject({ exitCode: 4 });
    await here.client.workflow
      .getHandle((said.json as { workflowId: string }).workflowId)
      .terminate('by a test');
    await guardHasEnded();
    expect(await here.services.allUp()).toBe(true);
    await takeBack.pop()?.();
    await nextNightIsSealed();
    expect(await here.remains()).toEqual([]);
  });
});

describe('the reconciler', () => {
  /** What a run leaves that is gone with its guard: stopped services, and a lease that is armed for long. */
  async function vanishedRun(): Promise<void> {
    const token = randomUUID();
    await arm(token, 3600);
    await stopUnderLease(here.host, here.domain, token);
  }

  const reconcile = () =>
    here.client.workflow.execute(WORKFLOWS.reconcile, { taskQueue: TASK_QUEUE, workflowId: RECONCILE_ID });

  test('brings back what a vanished run has left stopped, but not from under another Permafrost', async () => {
    await vanishedRun();
    // While the lease lasts, it may be that of a run which this Temporal does not know.
    expect(await reconcile()).toEqual({ brought: [] });
    expect(await here.services.allDown()).toBe(true);
    // Its time is long over, and its timer did not do its work.
    writeFileSync(join(here.state, 'host/lease', here.domain, 'deadline'), '-100\n');
    expect(await reconcile()).toEqual({ brought: [here.domain] });
    expect(await here.services.allUp()).toBe(true);
    expect(await here.lease()).toMatchObject({ held: false });
  });

  test('leaves alone what a run at work holds', async () => {
    const { handle, letGo } = await runInTheWindow();
    expect(await reconcile()).toEqual({ brought: [] });
    expect(await here.services.allDown()).toBe(true);
    await letGo();
    expect(await handle.result()).toMatchObject({ status: 'sealed' });
  });
});

describe('an operator', () => {
  test('who starts the services while no run is at work gets all of them, whatever the last lease held', async () => {
    const { names, start, stop } = here.sample.services;
    const [web] = names.map((name, at) => ({ name, start: start[at] ?? [], stop: stop[at] ?? [] }));
    const token = randomUUID();
    const lease = { token, seconds: 600, services: web ? [web] : [], wasHealthy: true, bootUnit: false };
    await armLease(here.host, here.domain, lease);
    await releaseLease(here.host, here.domain, token);
    const [program = '', ...words] = stop[1] ?? [];
    execFileSync(program, words);
    expect(await here.services.allUp()).toBe(false);
    expect(await here.permafrost('services', 'start')).toMatchObject({ exitCode: 0 });
    expect(await here.services.allUp()).toBe(true);
  });
});

describe('the lease on the host', () => {
  test('starts the services when worker and server are gone, for good; the next night is like any other', async () => {
    const { letGo } = await runInTheWindow();
    await here.worker.kill();
    await here.server.loseForGood();
    expect(await here.services.allDown()).toBe(true);
    const { token = '', firesInMs = 0 } = await here.lease();
    expect(firesInMs).toBeGreaterThan(0);
    await arm(token, 2); // a configured one lasts two minutes at least; this renews it for so long
    await until('the services are up', here.services.allUp);
    await leaseIsOver();
    expect((await here.lease()).lastFired).toMatchObject({ token });

    await letGo();
    await here.server.start();
    await here.worker.start();
    await nextNightIsSealed();
    expect(await here.remains()).toEqual([]);
  });
});
