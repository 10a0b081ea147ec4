import { describe, expect, test } from 'vitest';
import {
  activity,
  cancelActivity,
  cancelled,
  child,
  complete,
  type History,
  notAsked,
  upsert,
} from './history.js';
import * as night from './night.js';
import { replay } from './replay.js';

/** A cancelled run, wherever it was: what it had under way has ended, the services are up, the guard is let go. */

const endsCancelled = (history: History) =>
  history.decides(activity('sweepRun')).told((told) => night.ended(told, cancelled));

const backAndCancelled = (history: History) => history.told(night.backUp).told(endsCancelled);

/** The run is cancelled while it waits for a step; the step hears of it and ends. */
const cancelledIn = (step: Parameters<typeof activity>[0]) => (history: History) =>
  history.cancelRequested().decides(cancelActivity(step)).activityCancelled(step);

/** The report that a cancelled run kept. */
async function reportOf(history: History) {
  const { all } = await replay(history);
  return all('recordRun').at(-1)?.input as { status: string; services: string; error: unknown };
}

const ready = { status: 'cancelled', error: { code: 130, type: 'Cancelled' } };

describe('before the stop', () => {
  test('in preflight: nothing was touched', async () => {
    const report = await reportOf(
      night
        .begun()
        .told(cancelledIn('preflight'))
        .decides(upsert, activity('recordRun'))
        .completed('recordRun')
        .decides(cancelled),
    );
    expect(report).toMatchObject({ ...ready, services: 'untouched' });
  });

  test('while the guard begins: it is let go again', async () => {
    const report = await reportOf(
      night
        .looked()
        .decides(child('guard', `guard/${night.instance}`))
        .cancelRequested()
        .decides()
        .childStarted()
        .decides(notAsked(1), upsert, activity('sweepRun'))
        .told((told) => night.ended(told, cancelled)),
    );
    expect(report).toMatchObject({ ...ready, services: 'untouched' });
  });

  test('while the host is prepared', async () => {
    await reportOf(night.guarded().told(cancelledIn('prepareRun')).told(endsCancelled));
  });

  test('while the lease is armed: it is let go', async () => {
    await reportOf(
      night
        .guarded()
        .completed('prepareRun')
        .decides(activity('armLease'))
        .told(cancelledIn('armLease'))
        .decides(activity('disarmLease'))
        .completed('disarmLease')
        .told(endsCancelled),
    );
  });
});

describe('while the services are stopped', () => {
  const stopping = () => night.armed().decides(activity('stopServices'));

  test('in the middle of the stop: it ends, then they start', async () => {
    const report = await reportOf(
      stopping()
        .told(cancelledIn('stopServices'))
        .decides(...night.starts)
        .told(backAndCancelled),
    );
    expect(report).toMatchObject({ ...ready, services: 'up' });
  });

  test('a stop that was quicker than its cancellation: they start, and no moment is taken', async () => {
    const report = await reportOf(
      stopping()
        .cancelRequested()
        .decides(cancelActivity('stopServices'))
        .completed('stopServices', { stoppedAtMs: night.downSince })
        .decides(notAsked(3), ...night.starts)
        .told(backAndCancelled),
    );
    expect(report).toMatchObject({ ...ready, services: 'up', downtimeMs: night.downForMs });
  });

  test('while the moment is taken: what runs is called off, then they start', async () => {
    const report = await reportOf(
      night
        .held()
        .cancelRequested()
        .decides(...night.windowCancelled)
        .told(night.momentCancelled)
        .decides(...night.starts)
        .told(backAndCancelled),
    );
    expect(report).toMatchObject({ ...ready, services: 'up' });
  });

  test('full, in the capture', async () => {
    await reportOf(
      night
        .held(night.plan({ quiesce: 'full' }))
        .told(night.momentTaken)
        .decides(...night.captures)
        .cancelRequested()
        .decides(...night.endsWindow.toReversed(), cancelActivity('keepMoment'))
        .activityCancelled('keepMoment')
        .decides(...night.starts)
        .told(backAndCancelled),
    );
  });
});

describe('while they are called up nothing is given up', () => {
  const starting = () =>
    night
      .held()
      .told(night.momentTaken)
      .decides(...night.endsWindow, ...night.starts);

  test('in the start', async () => {
    const report = await reportOf(
      starting()
        .cancelRequested()
        .decides()
        .told(night.backUp)
        .decides(notAsked(1), upsert, activity('sweepRun'))
        .told((told) => night.ended(told, cancelled)),
    );
    expect(report).toMatchObject({ ...ready, services: 'up' });
  });

  test('in the proof, and between two attempts of it', async () => {
    const report = await reportOf(
      starting()
        .completed('startServices')
        .decides(activity('proveServicesUp'))
        .failed('proveServicesUp', 'ConfigInvalid')
        .decides(night.pause)
        .cancelRequested()
        .decides()
        .fired('pause')
        .decides(activity('proveServicesUp'))
        .completed('proveServicesUp', { healthyAtMs: night.downSince })
        .decides(activity('disarmLease'))
        .completed('disarmLease')
        .decides(notAsked(1), upsert, activity('sweepRun'))
        .told((told) => night.ended(told, cancelled)),
    );
    expect(report).toMatchObject({ ...ready, services: 'up' });
  });

  test('while the lease is let go', async () => {
    await reportOf(
      starting()
        .completed('startServices')
        .decides(activity('proveServicesUp'))
        .completed('proveServicesUp', { healthyAtMs: night.downSince })
        .decides(activity('disarmLease'))
        .cancelRequested()
        .decides()
        .completed('disarmLease')
        .decides(notAsked(1), upsert, activity('sweepRun'))
        .told((told) => night.ended(told, cancelled)),
    );
  });
});

describe('after the window', () => {
  const capturing = () => night.upAgain().decides(...night.captures);

  test('while the moment is kept', async () => {
    await reportOf(capturing().told(cancelledIn('keepMoment')).told(endsCancelled));
  });

  test('while four copies are made', async () => {
    await reportOf(
      capturing()
        .completed('keepMoment')
        .decides(...night.copies.map(activity))
        .cancelRequested()
        .decides(...night.copies.map(cancelActivity))
        .activityCancelled('dumpDatabase')
        .activityCancelled('describeDatabase')
        .activityCancelled('indexMedia')
        .activityCancelled('copyRedis')
        .told(endsCancelled),
    );
  });

  test('in an upload', async () => {
    await reportOf(night.readyToUpload().told(cancelledIn('uploadPart')).told(endsCancelled));
  });

  test('while a copy is read back', async () => {
    await reportOf(
      night
        .readyToUpload()
        .told((told) => night.uploaded(told))
        .decides(upsert, activity('verifyCopy'))
        .told(cancelledIn('verifyCopy'))
        .told(endsCancelled),
    );
  });

  test('while the seal is written', async () => {
    await reportOf(
      night
        .readyToUpload()
        .told((told) => night.uploaded(told))
        .decides(upsert, activity('verifyCopy'))
        .completed('verifyCopy', { files: 1, bytes: 1 })
        .decides(upsert, activity('sealCopy'))
        .told(cancelledIn('sealCopy'))
        .told(endsCancelled),
    );
  });

  test('while the media index is kept', async () => {
    await reportOf(
      night
        .readyToUpload()
        .told(night.delivered)
        .decides(activity('keepIndex'))
        .told(cancelledIn('keepIndex'))
        .told(endsCancelled),
    );
  });

  test('in retention', async () => {
    const report = await reportOf(
      night
        .readyToUpload()
        .told(night.delivered)
        .decides(activity('keepIndex'))
        .completed('keepIndex')
        .decides(upsert, activity('pruneOffsite'))
        .told(cancelledIn('pruneOffsite'))
        .told(endsCancelled),
    );
    expect(report).toMatchObject({ ...ready, services: 'up' });
  });

  test('when all is done but the tidying: it is what it is, sealed', async () => {
    const { report } = await replay(
      night
        .readyToUpload()
        .told(night.delivered)
        .told(night.tidied)
        .cancelRequested()
        .decides()
        .completed('sweepRun')
        .told(night.releases)
        .decides(complete),
    );
    expect(report).toMatchObject({ status: 'sealed' });
  });
});
