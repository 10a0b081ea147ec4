import { describe, expect, test } from 'vitest';
import type { FailureType } from '../../src/errors.js';
import { activity, cancelActivity, cancelTimer, fail, patch, timer } from './history.js';
import * as night from './night.js';
import { replay } from './replay.js';

/** Whatever fails, the services come back: each story ends with start, prove, disarm, sweep, release. */

const backAndFailed = (history: ReturnType<typeof night.held>) =>
  history
    .told(night.backUp)
    .decides(activity('sweepRun'))
    .told((told) => night.ended(told, fail));

describe('before the stop', () => {
  test.each<FailureType>(['LeaseNotArmed', 'HostUnreachable', 'LeaseLost'])(
    'a lease that is not armed (%s): nothing is stopped, the lease is let go',
    async (type) => {
      const heard = await replay(
        night
          .guarded()
          .completed('prepareRun')
          .decides(activity('armLease'))
          .failed('armLease', type)
          .decides(activity('disarmLease'))
          .completed('disarmLease')
          .decides(activity('sweepRun'))
          .told((told) => night.ended(told, fail)),
      );
      expect(heard.all('stopServices')).toHaveLength(0);
      expect(heard.failure.type).toBe(type);
      expect(heard.report).toMatchObject({ status: 'failed', services: 'untouched', downtimeMs: 0 });
    },
  );

  test('a host that cannot be prepared: no lease, no stop', async () => {
    const { failure } = await replay(
      night
        .guarded()
        .failed('prepareRun', 'Busy', 'another Permafrost holds the lease')
        .decides(activity('sweepRun'))
        .told((told) => night.ended(told, fail)),
    );
    expect(failure.type).toBe('Busy');
  });
});

describe('the stop', () => {
  test.each<FailureType>(['CommandFailed', 'HostUnreachable', 'LeaseLost'])(
    'that fails (%s) may have stopped something: start',
    async (type) => {
      const { failure, report } = await replay(
        night
          .armed()
          .decides(activity('stopServices'))
          .failed('stopServices', type)
          .decides(...night.starts)
          .told(backAndFailed),
      );
      expect(failure.type).toBe(type);
      expect(report).toMatchObject({ status: 'failed', services: 'up' });
    },
  );

  test('that nobody has heard of any more: start', async () => {
    const { failure } = await replay(
      night
        .armed()
        .decides(activity('stopServices'))
        .timedOut('stopServices')
        .decides(...night.starts)
        .told(backAndFailed),
    );
    expect(failure).toMatchObject({ type: 'Unexpected', message: expect.stringContaining('stopServices') });
  });
});

describe('while the services stand still', () => {
  const others = {
    pinMoment: ['saveRedis', 'copySecrets'],
    saveRedis: ['pinMoment', 'copySecrets'],
    copySecrets: ['pinMoment', 'saveRedis'],
  } as const;

  test.each(['pinMoment', 'saveRedis', 'copySecrets'] as const)(
    '%s fails: the others are called off and have ended before the start',
    async (step) => {
      const [first, second] = others[step];
      const { failure, report } = await replay(
        night
          .held()
          .failed(step, 'CommandFailed')
          .decides(cancelActivity(first), cancelActivity(second))
          .activityCancelled(first)
          .activityCancelled(second)
          .decides(...night.endsWindow, ...night.starts)
          .told(backAndFailed),
      );
      expect(failure.message).toBe(`${step} failed`);
      expect(report).toMatchObject({ services: 'up', downtimeMs: night.downForMs });
    },
  );

  test('the budget is used up: what runs is called off, and the services start', async () => {
    const { failure } = await replay(
      night
        .held()
        .fired('budget')
        .decides(cancelTimer('renewal'), ...night.cancelsMoment)
        .told(night.momentCancelled)
        .decides(...night.starts)
        .told(backAndFailed),
    );
    expect(failure).toMatchObject({
      type: 'CommandTimedOut',
      message: expect.stringContaining('600 s'),
      next: expect.stringContaining('quiesce.budget'),
    });
  });

  test('full: the capture fails, and the services start', async () => {
    const { failure } = await replay(
      night
        .held(night.plan({ quiesce: 'full' }))
        .told(night.momentTaken)
        .decides(...night.captures)
        .failed('keepMoment', 'CommandFailed')
        .decides(...night.endsWindow, ...night.starts)
        .told(backAndFailed),
    );
    expect(failure.type).toBe('CommandFailed');
  });

  test('the lease is renewed for as long as it takes', async () => {
    const { all } = await replay(
      night
        .held()
        .fired('renewal')
        .decides(activity('armLease'))
        .completed('armLease')
        .decides(night.renewal)
        .fired('renewal')
        .decides(activity('armLease'))
        .completed('armLease')
        .decides(night.renewal)
        .failed('pinMoment', 'CommandFailed')
        .decides(cancelActivity('saveRedis'), cancelActivity('copySecrets'))
        .activityCancelled('saveRedis')
        .activityCancelled('copySecrets')
        .decides(...night.endsWindow, ...night.starts)
        .told(backAndFailed),
    );
    expect(all('armLease')).toHaveLength(3);
  });

  const renewsInVain = (history: ReturnType<typeof night.held>, type: FailureType) =>
    history.fired('renewal').decides(activity('armLease')).failed('armLease', type);
  const givesUp = (history: ReturnType<typeof night.held>) =>
    history
      .decides(...night.cancelsMoment)
      .told(night.momentCancelled)
      .decides(cancelTimer('budget'), ...night.starts)
      .told(backAndFailed);

  test('a renewal that fails while the lease still lasts is tried again', async () => {
    const { report } = await replay(
      night
        .held()
        .told((told) => renewsInVain(told, 'HostUnreachable'))
        .decides(patch('a renewal that fails is tried again'), night.renewal)
        .told((told) => renewsInVain(told, 'LeaseNotArmed'))
        .decides(night.renewal)
        .fired('renewal')
        .decides(activity('armLease'))
        .completed('armLease')
        .decides(night.renewal)
        .told(night.momentTaken)
        .decides(...night.endsWindow, ...night.starts)
        .told(night.backUp)
        .told(night.fromCaptureOn),
    );
    expect(report).toMatchObject({ status: 'sealed', services: 'up' });
  });

  test('a lease that is not ours any more ends the window: others look after the services', async () => {
    const { failure } = await replay(
      night
        .held()
        .told((told) => renewsInVain(told, 'LeaseLost'))
        .told(givesUp),
    );
    expect(failure.type).toBe('LeaseLost');
  });

  test('a lease that is soon over and cannot be renewed ends it too: nobody else would start them', async () => {
    const shortLease = night.plan({ leaseMs: 12_000 }); // as long as the story up to here takes
    const { failure } = await replay(
      night
        .held(shortLease)
        .told((told) => renewsInVain(told, 'HostUnreachable'))
        .told(givesUp),
    );
    expect(failure.type).toBe('HostUnreachable');
  });
});

describe('the start', () => {
  const windowOver = () =>
    night
      .held()
      .told(night.momentTaken)
      .decides(...night.endsWindow, ...night.starts);

  test.each(['ConfigInvalid', 'HostKeyRejected', 'AuthFailed'] as const)(
    'that Temporal gives up on (%s) is insisted on: a person may mend it meanwhile',
    async (type) => {
      const { report, all } = await replay(
        windowOver()
          .failed('startServices', type)
          .decides(timer('pause'))
          .fired('pause')
          .decides(activity('startServices'))
          .failed('startServices', type)
          .decides(timer('pause'))
          .fired('pause')
          .decides(activity('startServices'))
          .told(night.backUp)
          .told(night.fromCaptureOn),
      );
      expect(all('startServices')).toHaveLength(3);
      expect(report).toMatchObject({ status: 'sealed', services: 'up' });
    },
  );

  test('that is not proven is waited for, and the lease stays armed meanwhile', async () => {
    await replay(
      windowOver()
        .completed('startServices')
        .decides(activity('proveServicesUp'))
        .failed('proveServicesUp', 'ConfigInvalid')
        .decides(timer('pause'))
        .fired('pause')
        .decides(activity('proveServicesUp'))
        .completed('proveServicesUp', { healthyAtMs: night.downSince + 9000 })
        .decides(activity('disarmLease'))
        .completed('disarmLease')
        .told(night.fromCaptureOn),
    );
  });

  test("whose lease is another's is left to whoever holds it", async () => {
    const { all } = await replay(
      windowOver()
        .failed('startServices', 'LeaseLost')
        .decides(activity('proveServicesUp'))
        .completed('proveServicesUp', { healthyAtMs: night.downSince + 9000 })
        .decides(activity('disarmLease'))
        .failed('disarmLease', 'LeaseLost')
        .told(night.fromCaptureOn),
    );
    expect(all('startServices')).toHaveLength(1);
  });

  test('has no end to its attempts and no deadline, and is tried at least every minute', async () => {
    const { said } = await replay(windowOver().told(night.backUp).told(night.fromCaptureOn));
    const calls = said.filter(({ name }) => /^(startServices|proveServicesUp|disarmLease)$/.test(name));
    expect(calls).toHaveLength(3);
    for (const { options } of calls) {
      expect(options).toMatchObject({ attempts: 0, scheduleToClose: null, nextAttemptWithin: 60 });
    }
  });

  test('no step may fall silent: each has a heartbeat, and a cancelled one is waited for', async () => {
    const { said } = await replay(windowOver().told(night.backUp).told(night.fromCaptureOn));
    const steps = said.filter(({ command }) => command === 'activity');
    expect(steps.length).toBeGreaterThan(25);
    for (const { name, options } of steps) {
      const { heartbeat, cancellationType } = options as Record<string, number>;
      expect({ name, heartbeat: heartbeat ?? 999 }).toSatisfy(
        (step: { heartbeat: number }) => step.heartbeat <= 30,
      );
      expect({ name, cancellationType }).toEqual({ name, cancellationType: 1 });
    }
  });

  test('the guard is abandoned, not ended with the run', async () => {
    const { all } = await replay(windowOver().told(night.backUp).told(night.fromCaptureOn));
    expect(all(`guard/${night.instance}`)).toMatchObject([
      { command: 'child', input: { instance: night.instance }, options: { parentClosePolicy: 2 } },
    ]);
  });
});
