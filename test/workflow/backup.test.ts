import { describe, expect, test } from 'vitest';
import { activity, child, complete, fail, patch, upsert } from './history.js';
import * as night from './night.js';
import { replay } from './replay.js';

describe('a night', () => {
  test('brief: the services stand still for the moment alone', async () => {
    const { report } = await replay(
      night
        .held()
        .told(night.momentTaken)
        .decides(...night.endsWindow, ...night.starts)
        .told(night.backUp)
        .decides(...night.captures)
        .told(night.captured)
        .decides(upsert, activity('uploadPart'))
        .told(night.delivered)
        .told(night.finished),
    );
    expect(report).toMatchObject({
      status: 'sealed',
      backup: '20261122T031700Z',
      downtimeMs: night.downForMs,
      services: 'up',
      offsites: [{ name: 'vault', sealed: true, verified: true, bytesAdded: 41 }],
      parts: [{ name: 'database', bytes: 10, files: 2 }],
      phases: Array.from({ length: 7 }, () => ({ state: 'done' })),
      warnings: [expect.stringContaining('missing at the source already')],
    });
  });

  test('full: they stand still until everything is captured', async () => {
    const { report } = await replay(
      night
        .held(night.plan({ quiesce: 'full' }))
        .told(night.momentTaken)
        .decides(...night.captures)
        .told(night.captured)
        .decides(...night.endsWindow, ...night.starts)
        .told(night.backUp)
        .decides(upsert, activity('uploadPart'))
        .told(night.delivered)
        .told(night.finished),
    );
    expect(report).toMatchObject({ status: 'sealed', quiesce: 'full', downtimeMs: night.downForMs });
  });

  test('none: no lease, no stop, no start', async () => {
    const { report } = await replay(
      night
        .guarded(night.plan({ quiesce: 'none', services: [] }))
        .completed('prepareRun')
        .decides(...night.takesMoment)
        .told(night.momentTaken)
        .decides(...night.captures)
        .told(night.captured)
        .decides(upsert, activity('uploadPart'))
        .told(night.delivered)
        .told(night.finished),
    );
    expect(report).toMatchObject({ status: 'sealed', downtimeMs: 0, services: 'untouched' });
  });

  test('a dry run looks, and does no more', async () => {
    const { report } = await replay(night.looked(night.plan(), { dryRun: true }).decides(upsert, complete));
    expect(report).toMatchObject({ status: 'planned', plan: { services: ['web', 'sidekiq', 'streaming'] } });
  });

  test('secrets and Redis alone: no database is held, no media are read', async () => {
    const { report } = await replay(
      night
        .armed(night.plan({ parts: [{ name: 'secrets' }, { name: 'redis' }] }))
        .decides(activity('stopServices'))
        .completed('stopServices', { stoppedAtMs: night.downSince })
        .decides(night.budget, night.renewal, activity('saveRedis'), activity('copySecrets'))
        .completed('saveRedis')
        .completed('copySecrets')
        .decides(...night.endsWindow, ...night.starts)
        .told(night.backUp)
        .decides(upsert, activity('copyRedis'))
        .completed('copyRedis')
        .decides(upsert, activity('uploadPart'))
        .completed('uploadPart', { bytesAdded: 1 })
        .decides(activity('uploadPart'))
        .completed('uploadPart', { bytesAdded: 1 })
        .told(night.readBackAndSealed)
        .decides(upsert, activity('pruneOffsite'))
        .told(night.pruned),
    );
    expect(report).toMatchObject({ status: 'sealed' });
  });
});

describe('a run that does not begin', () => {
  test('refused by preflight: nothing is touched, not even the lock', async () => {
    const { failure, report } = await replay(
      night.begun().failed('preflight', 'Refused', 'restic is missing').told(night.endsUntouched),
    );
    expect(failure).toEqual({ type: 'Refused', message: 'restic is missing', next: 'do this' });
    expect(report).toMatchObject({ status: 'failed', services: 'untouched', error: { code: 3 } });
  });

  test('what preflight cannot look at is refused too', async () => {
    const { failure } = await replay(
      night.begun().failed('preflight', 'HostUnreachable', 'no route').told(night.endsUntouched),
    );
    expect(failure).toMatchObject({ type: 'Refused', message: 'no route' });
  });

  test('busy: the host is left to the run that holds it', async () => {
    const { failure, report } = await replay(
      night
        .looked()
        .decides(child('guard', `guard/${night.instance}`))
        .childRefused()
        .told(night.endsUntouched),
    );
    expect(failure).toMatchObject({ type: 'Busy', next: expect.stringContaining('permafrost status') });
    expect(report).toMatchObject({ status: 'failed', error: { code: 4 } });
  });

  test("another run's id", async () => {
    const { failure } = await replay(night.foreign().decides(fail));
    expect(failure.type).toBe('InvalidInput');
  });
});

describe('off-sites', () => {
  test('one of two fails: sealed on the other, which did not wait for it', async () => {
    const { report } = await replay(
      night
        .upAgain(night.twoOffsites)
        .decides(...night.captures)
        .told(night.captured)
        .decides(upsert, activity('uploadPart to vault'), activity('uploadPart to cellar'))
        .failed('uploadPart to cellar', 'OffsiteUnavailable', 'the disk is full')
        .decides()
        .completed('uploadPart to vault', { bytesAdded: 10 })
        .decides(activity('uploadPart'))
        .told((told) => night.uploaded(told, 3))
        .told(night.readBackAndSealed)
        .told(night.finished),
    );
    expect(report).toMatchObject({
      status: 'partial',
      offsites: [
        { name: 'vault', sealed: true },
        { name: 'cellar', sealed: false, error: { type: 'OffsiteUnavailable', message: 'the disk is full' } },
      ],
      warnings: [expect.anything(), 'cellar was not filled: the disk is full'],
    });
  });

  test('parts go in two steps: the media, and beside them all others', async () => {
    const { report } = await replay(
      night
        .upAgain()
        .decides(...night.captures)
        .told(night.captured)
        .decides(
          ...[upsert, patch('small-parts-in-one-step')],
          ...[activity('uploadParts to vault'), activity('uploadParts to vault: media')],
        )
        .completed('uploadParts to vault', { bytesAdded: 10 })
        .decides()
        .completed('uploadParts to vault: media', { bytesAdded: 30 })
        .told(night.readBackAndSealed)
        .told(night.finished),
    );
    expect(report).toMatchObject({ status: 'sealed', offsites: [{ name: 'vault', bytesAdded: 41 }] });
  });

  test('one that preflight could not reach is asked again at the end, and filled when it answers', async () => {
    const offsites = [
      { name: 'vault', kind: 'restic' },
      { name: 'cellar', kind: 'restic', problem: night.unreachable },
    ];
    const { report } = await replay(
      night
        .upAgain(night.plan({ offsites }))
        .decides(...night.captures)
        .told(night.captured)
        .decides(upsert, activity('uploadPart'))
        .told((told) => night.uploaded(told))
        .decides(upsert, activity('verifyCopy'))
        .completed('verifyCopy', { files: 12, bytes: 5000 })
        .decides(upsert, activity('sealCopy'))
        .completed('sealCopy', { bytesAdded: 41, parts: [{ name: 'database', bytes: 10, files: 2 }] })
        .decides(patch('missed-off-sites-are-asked-again'), activity('admitOffsite'))
        .completed('admitOffsite')
        .decides(activity('uploadPart'))
        .told((told) => night.uploaded(told))
        .decides(activity('verifyCopy'))
        .completed('verifyCopy', { files: 12, bytes: 5000 })
        .decides(activity('sealCopy'))
        .completed('sealCopy', { bytesAdded: 41, parts: [{ name: 'database', bytes: 10, files: 2 }] })
        .told(night.tidiedTwo),
    );
    expect(report).toMatchObject({
      status: 'sealed',
      offsites: [
        { name: 'vault', sealed: true },
        { name: 'cellar', sealed: true },
      ],
    });
    expect(report).not.toHaveProperty('offsites.1.error');
  });

  test('one that preflight could not reach is left out, and the run is partial', async () => {
    const offsites = [
      { name: 'vault', kind: 'restic' },
      { name: 'cellar', kind: 'restic', problem: night.unreachable },
    ];
    const { report, said } = await replay(
      night
        .held(night.plan({ offsites }))
        .told(night.momentTaken)
        .decides(...night.endsWindow, ...night.starts)
        .told(night.backUp)
        .decides(...night.captures)
        .told(night.captured)
        .decides(upsert, activity('uploadPart'))
        .told(night.delivered)
        .told(night.finished),
    );
    expect(report).toMatchObject({
      status: 'partial',
      offsites: [{ sealed: true }, { sealed: false, error: { message: 'cellar does not answer' } }],
    });
    expect(JSON.stringify(said.map(({ input }) => input))).not.toContain('"offsite":"cellar"');
  });

  test.each(['VerifyFailed', 'OffsiteUnavailable'] as const)('none is sealed (%s): failed', async (type) => {
    const { failure, report } = await replay(
      night
        .readyToUpload()
        .told((told) => night.uploaded(told))
        .decides(upsert, activity('verifyCopy'))
        .failed('verifyCopy', type, 'a file came back changed')
        .decides(activity('sweepRun'))
        .told((told) => night.ended(told, fail)),
    );
    expect(failure).toMatchObject({ type, message: 'a file came back changed' });
    expect(report).toMatchObject({ status: 'failed', services: 'up', offsites: [{ sealed: false }] });
  });

  test('retention and a sweep that fail do not fail a sealed backup, and are told', async () => {
    const { report } = await replay(
      night
        .readyToUpload()
        .told(night.delivered)
        .decides(activity('keepIndex'))
        .failed('keepIndex', 'CommandFailed')
        .decides(upsert, activity('pruneOffsite'))
        .failed('pruneOffsite', 'OffsiteUnavailable', 'locked by somebody else')
        .decides(upsert, activity('recordRun'))
        .failed('recordRun', 'CommandFailed')
        .decides(activity('sweepRun'))
        .failed('sweepRun', 'HostUnreachable', 'no route to the host')
        .told(night.releases)
        .decides(complete),
    );
    expect(report).toMatchObject({
      status: 'sealed',
      warnings: [
        expect.anything(),
        expect.stringContaining('locked by somebody else'),
        expect.stringMatching(/could not be removed.*no route to the host/),
      ],
    });
  });
});

describe('the moment of the database', () => {
  test('lost: it is taken again, and the report says so', async () => {
    const { report } = await replay(
      night
        .upAgain()
        .decides(...night.captures)
        .told(night.momentLost)
        .decides(activity('keepMoment'))
        .told(night.captured)
        .decides(upsert, activity('uploadPart'))
        .told(night.delivered)
        .told(night.finished),
    );
    expect(report).toMatchObject({
      warnings: expect.arrayContaining([expect.stringMatching(/moment.*lost/)]),
    });
  });

  test('lost again and again: failed, not tried for ever', async () => {
    const { failure } = await replay(
      night
        .upAgain()
        .decides(...night.captures)
        .told(night.momentLost)
        .decides(activity('keepMoment'))
        .told(night.momentLost)
        .decides(activity('keepMoment'))
        .told(night.momentLost)
        .decides(activity('sweepRun'))
        .told((told) => night.ended(told, fail)),
    );
    expect(failure.type).toBe('SnapshotLost');
  });
});

describe('the guard of a run', () => {
  test('one that does not end does not hold the run up', async () => {
    await replay(
      night
        .readyToUpload()
        .told(night.delivered)
        .told(night.tidied)
        .completed('sweepRun')
        .told(night.signalsGuard)
        .fired('farewell')
        .decides(complete),
    );
  });

  test('one that has ended already is let go', async () => {
    await replay(
      night
        .readyToUpload()
        .told(night.delivered)
        .told(night.tidied)
        .completed('sweepRun')
        .decides(night.release)
        .signalLost()
        .decides(complete),
    );
  });
});
