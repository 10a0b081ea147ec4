import { describe, expect, test } from 'vitest';
import { activity, cancelActivity, cancelTimer, complete, fail, History, timer } from './history.js';
import { instance } from './night.js';
import { replay } from './replay.js';

/** The guard: an instance's lock and conscience. */

const input = { instance, token: '0f0e0d0c-0000-4000-8000-000000000000', workflowId: `backup/${instance}-x` };
const watching = () =>
  new History('guard', `guard/${instance}`, input).decides(activity('watchRun'), timer('patience'));

describe('a run that lets go', () => {
  const released = () =>
    watching().signalled('release').decides(cancelTimer('patience'), activity('leaseReleased'));

  test('and whose host confirms it: the guard ends, and starts nothing', async () => {
    const { all } = await replay(
      released().completed('leaseReleased', { released: true }).decides(cancelActivity('watchRun'), complete),
    );
    expect(all('bringServicesBack')).toHaveLength(0);
  });

  test('while the host still holds the lease: that is no release', async () => {
    await replay(
      released()
        .completed('leaseReleased', { released: false })
        .decides(timer('look again'))
        .fired('look again')
        .decides(timer('patience'))
        .completed('watchRun', { status: 'COMPLETED' })
        .decides(cancelTimer('patience'), activity('bringServicesBack'))
        .completed('bringServicesBack', { brought: true })
        .decides(complete),
    );
  });

  test('and whose host cannot be asked: the guard stays', async () => {
    await replay(
      released()
        .failed('leaseReleased', 'HostUnreachable')
        .decides(timer('look again'))
        .fired('look again')
        .decides(timer('patience'))
        .signalled('release')
        .decides(cancelTimer('patience'), activity('leaseReleased'))
        .completed('leaseReleased', { released: true })
        .decides(cancelActivity('watchRun'), complete),
    );
  });

  test('is asked about with its own token', async () => {
    const { all } = await replay(
      released().completed('leaseReleased', { released: true }).decides(cancelActivity('watchRun'), complete),
    );
    expect(all('leaseReleased')).toMatchObject([{ input: { instance, token: input.token } }]);
    expect(all('watchRun')).toMatchObject([{ input: { workflowId: input.workflowId } }]);
  });
});

describe('a run that does not', () => {
  const gone = (status: string) =>
    watching()
      .completed('watchRun', { status })
      .decides(cancelTimer('patience'), activity('bringServicesBack'));

  test.each(['TERMINATED', 'TIMED_OUT', 'FAILED', 'NOT_FOUND'])(
    'ended (%s): the guard brings the services back, then ends',
    async (status) => {
      await replay(gone(status).completed('bringServicesBack', { brought: true }).decides(complete));
    },
  );

  test('services that do not come back are insisted on', async () => {
    const { all } = await replay(
      gone('TERMINATED')
        .failed('bringServicesBack', 'ConfigInvalid')
        .decides(timer('pause'))
        .fired('pause')
        .decides(activity('bringServicesBack'))
        .completed('bringServicesBack', { brought: true })
        .decides(complete),
    );
    const unlimited = { attempts: 0, scheduleToClose: null };
    expect(all('bringServicesBack')).toMatchObject([{ options: unlimited }, { options: unlimited }]);
  });

  test('holds them for a day: they are brought back, and the lock stays until the run ends', async () => {
    await replay(
      watching()
        .fired('patience')
        .decides(activity('bringServicesBack'))
        .completed('bringServicesBack', { brought: true })
        .decides(timer('patience'))
        .completed('watchRun', { status: 'COMPLETED' })
        .decides(cancelTimer('patience'), activity('bringServicesBack'))
        .completed('bringServicesBack', { brought: false })
        .decides(complete),
    );
  });
});

describe('cancelling the guard', () => {
  test('changes nothing: it waits for its run', async () => {
    await replay(
      watching()
        .cancelRequested()
        .decides()
        .signalled('release')
        .decides(cancelTimer('patience'), activity('leaseReleased'))
        .completed('leaseReleased', { released: true })
        .decides(cancelActivity('watchRun'), complete),
    );
  });

  test('while it brings services back: they are brought back', async () => {
    await replay(
      watching()
        .completed('watchRun', { status: 'TERMINATED' })
        .decides(cancelTimer('patience'), activity('bringServicesBack'))
        .cancelRequested()
        .decides()
        .completed('bringServicesBack', { brought: true })
        .decides(complete),
    );
  });
});

test('a guard of an id that is not its instance does nothing', async () => {
  const { failure } = await replay(new History('guard', 'guard/other.example', input).decides(fail));
  expect(failure.type).toBe('InvalidInput');
});
