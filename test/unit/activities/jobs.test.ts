import { mkdir, mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { tell } from '../../../src/activities/activity.js';
import { captureRoles } from '../../../src/activities/database.js';
import { followJob } from '../../../src/activities/jobs.js';
import { spoolOf } from '../../../src/activities/spool.js';
import { Failure } from '../../../src/errors.js';
import type { Host } from '../../../src/hosts/host.js';
import { localHost } from '../../../src/hosts/local.js';
import { withOwnScratch } from '../../../src/offsite/own-scratch.js';
import type { Instance } from '../../../src/mastodon/inspect.js';

/** What Temporal or a connection does to a job that is followed; the jobs are real. */

let folder: string;
let host: Host;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-jobs-'));
  host = localHost({ folder });
});
afterEach(async () => {
  await host.job('long').cancel();
  await host.close();
  await rm(folder, { recursive: true, force: true });
});

test('what goes on for long ends where it tells how far it is, once nobody wants it any more', async () => {
  const environment = new MockActivityEnvironment();
  let told = 0;
  const reading = environment.run(async () => {
    for (; told < 1000; told += 1) {
      tell({ bytes: told });
      if (told === 5) environment.cancel('CANCELLED');
      await new Promise(setImmediate);
    }
  });
  await expect(reading).rejects.toThrow('CANCELLED');
  expect(told).toBe(6);
});

test('two attempts at one step read into folders of their own; what a dead one has left for days goes', async () => {
  const scratch = join(folder, 'vault-verify');
  const old = new Date(Date.now() - 3 * 86_400_000);
  for (const name of ['dead', 'alive']) await mkdir(`${scratch}-media-${name}`, { recursive: true });
  await utimes(`${scratch}-media-dead`, old, old);
  const names = await withOwnScratch({ host, scratch }, (first) =>
    withOwnScratch({ host, scratch }, async (second) => {
      for (const path of [first, second]) await mkdir(path);
      return new Set([first, second, scratch]).size;
    }),
  );
  expect(names).toBe(3);
  expect((await readdir(folder)).filter((name) => name.startsWith('vault'))).toEqual([
    'vault-verify-media-alive',
  ]);
});

describe('an activity whose heartbeat Temporal no longer takes', () => {
  /** Follows a job until this is heard, with a Temporal that describes the run so. */
  async function jobAfter(describe: () => Promise<unknown>, reason: 'NOT_FOUND' | 'CANCELLED' = 'NOT_FOUND') {
    const client = {
      workflow: { getHandle: () => ({ describe }) },
      withAbortSignal: (signal: AbortSignal, work: () => unknown) => {
        signal.throwIfAborted();
        return work();
      },
    } as unknown as Client;
    const environment = new MockActivityEnvironment({ activityId: '7' }, { client });
    const following = environment.run(() => followJob(host, 'long', ['sleep', '60']));
    following.catch(() => undefined);
    await vi.waitUntil(async () => (await host.job('long').status()).state !== 'absent');
    environment.cancel(reason);
    await expect(following).rejects.toThrow();
    return (await host.job('long').status()).state;
  }
  const waitingFor = (...ids: string[]) =>
    Promise.resolve({ raw: { pendingActivities: ids.map((activityId) => ({ activityId })) } });

  test('because it came late leaves the job to the next attempt', async () => {
    expect(await jobAfter(() => waitingFor('6', '7'))).toBe('running');
  });

  test('because the run waits for it no more ends the job', async () => {
    expect(await jobAfter(() => waitingFor('6'))).not.toBe('running');
  });

  test('because the run is gone ends the job', async () => {
    const gone = () => Promise.reject(new WorkflowNotFoundError('gone', 'backup/x', undefined));
    expect(await jobAfter(gone)).not.toBe('running');
  });

  test('because it was cancelled ends the job, whoever waits for it', async () => {
    expect(await jobAfter(() => waitingFor('7'), 'CANCELLED')).not.toBe('running');
  });
});

describe('the roles', () => {
  const run = {
    ...{ instance: 'roles.example', backup: '20260101T000000Z' },
    token: '00000000-0000-4000-8000-000000000000',
  };

  /** Roles as they are captured where starting a job fails like this. */
  async function roles(type: 'HostUnreachable' | 'CommandFailed') {
    const failing = Object.assign(localHost({ folder }), {
      startJob: () => Promise.reject(new Failure(type, 'as a test has it')),
    });
    const { user: appUser } = await host.facts();
    const database = { binDir: '/nowhere', host: '127.0.0.1', port: 9, name: 'x', user: 'x', local: false };
    const instance = { appUser, database } as unknown as Instance;
    const spool = await spoolOf(host, instance, run);
    return new MockActivityEnvironment().run(() => captureRoles(failing, instance, run, spool));
  }

  test('are not left out because a connection was cut: the next attempt has them', async () => {
    await expect(roles('HostUnreachable')).rejects.toThrow('as a test has it');
  });

  test('are left out, and called so, where nobody may read them', async () => {
    expect(await roles('CommandFailed')).toEqual({ roles: 'not captured' });
  });
});
