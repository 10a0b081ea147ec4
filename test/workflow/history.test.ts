import { DeterminismViolationError } from '@temporalio/workflow';
import { expect, test } from 'vitest';
import { activity, cancelActivity, child, fail, type History, upsert } from './history.js';
import * as night from './night.js';
import { replay } from './replay.js';

/** The tests of the tests: stories that are not true are caught. */

const failedStop = () =>
  night.armed().decides(activity('stopServices')).failed('stopServices', 'CommandFailed');

const untrue: Record<string, () => History> = {
  'a run that does not start what it has stopped': () =>
    failedStop()
      .decides(activity('sweepRun'))
      .told((told) => night.ended(told, fail)),
  'a start that is not proven': () =>
    failedStop()
      .decides(...night.starts)
      .completed('startServices')
      .decides(activity('disarmLease'))
      .completed('disarmLease')
      .decides(activity('sweepRun'))
      .told((told) => night.ended(told, fail)),
  'a lease that is not let go': () =>
    failedStop()
      .decides(...night.starts)
      .completed('startServices')
      .decides(activity('proveServicesUp'))
      .completed('proveServicesUp', { healthyAtMs: 1 })
      .decides(activity('sweepRun'))
      .told((told) => night.ended(told, fail)),
  'a stop without a lease': () => night.guarded().completed('prepareRun').decides(activity('stopServices')),
  'a lock of another name': () =>
    night.looked().decides(child('guard', 'guard/other.example')).childStarted().decides(),
  'no lock at all': () => night.looked().decides(upsert, activity('prepareRun')),
  'a start while the moment is still being taken': () =>
    night
      .held()
      .failed('pinMoment', 'CommandFailed')
      .decides(
        cancelActivity('saveRedis'),
        cancelActivity('copySecrets'),
        ...night.endsWindow,
        ...night.starts,
      ),
  'a seal that was not read back': () =>
    night
      .readyToUpload()
      .told((told) => night.uploaded(told))
      .decides(upsert, activity('sealCopy')),
  'retention before the seal': () =>
    night
      .readyToUpload()
      .told((told) => night.uploaded(told))
      .decides(upsert, activity('verifyCopy'))
      .completed('verifyCopy', { files: 1, bytes: 1 })
      .decides(upsert, activity('pruneOffsite')),
  'a guard that is not let go': () =>
    failedStop()
      .decides(...night.starts)
      .told(night.backUp)
      .decides(activity('sweepRun'))
      .completed('sweepRun')
      .decides(upsert, activity('recordRun')),
  'a window without an end': () =>
    night
      .armed()
      .decides(activity('stopServices'))
      .completed('stopServices', { stoppedAtMs: night.downSince })
      .decides(...night.takesMoment),
};

test.each(Object.keys(untrue))('%s', async (story) => {
  const history = untrue[story]?.() ?? night.begun();
  await expect(replay(history)).rejects.toThrow(DeterminismViolationError);
});

test('a run that is told to have ended otherwise', async () => {
  const history = night.begun().failed('preflight', 'Refused').told(night.endsUntouched);
  await replay(history);
  const refused = night.begun().failed('preflight', 'Refused').decides(upsert, activity('recordRun'));
  await expect(replay(refused.completed('recordRun').decides({ do: 'complete' }))).rejects.toThrow(
    DeterminismViolationError,
  );
});
