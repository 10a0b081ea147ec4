import { describe, expect, test } from 'vitest';
import type { Check } from '../../src/backups/check.js';
import type { RestorePlan, RestoreReport, RestoreRequest } from '../../src/backups/restore-report.js';
import type { FailureType } from '../../src/errors.js';
import {
  activity,
  cancelActivity,
  cancelTimer,
  child,
  type Command,
  complete,
  fail,
  History,
  notAsked,
  timer,
  upsert,
} from './history.js';
import { backUp, downForMs, downSince, instance, releases } from './night.js';
import { type Heard, replay } from './replay.js';

/** A restore, step by step: whatever fails or is cancelled before the end of the swap leaves the instance as it was. */

const backup = '20261121T031700Z';
const request: RestoreRequest = {
  ...{ instance, backup, from: 'vault', parts: ['database', 'secrets', 'media'] },
  permit: 'f'.repeat(48),
};
const planned: RestorePlan & { next: string[] } = {
  ...{ to: 'local', inPlace: true, services: ['web', 'sidekiq'], warnings: ['the collation is another one'] },
  parts: [{ name: 'database', bytes: 9, files: 1, what: 'replaced' }],
  lost: { newestStatusAt: null, ageMs: null, detail: 'a day' },
  ...{ leaseMs: 900_000, budgetMs: 600_000, needBytes: 1, freeBytes: 2 },
  ...{ changedSecrets: ['OTP_SECRET'], changedFiles: [], next: ['bin/rails db:migrate'] },
};
const nothingRuns = { ...planned, services: [] };
const check = (name: string, passed = true): Check => ({
  name,
  passed,
  detail: `${name} seen`,
  durationMs: 5,
});
const proof = (...checks: Check[]) => ({ checks, notProven: [] });
const loaded = { notes: ['pg_stat_statements is not here'], detail: 'loaded', check: check('pg-restore') };
const media = { added: 3, present: 9, bytes: 30, findings: [] };
const settled = { undoUntil: '2026-11-29T03:17:00.000Z', next: ['bin/tootctl cache clear'], warnings: [] };

interface Given {
  plan?: typeof planned;
  asked?: Partial<RestoreRequest>;
  /** Another host than the instance's own has no guard. */
  ownHost?: boolean;
  /** When everything lies ready; default: as in the plan. */
  runs?: string[];
}

function looked({ plan = planned, asked = {}, ownHost = true }: Given = {}): History {
  return new History('restore', `restore/${instance}`, { ...request, ...asked })
    .decides(activity('admitRestore'))
    .completed('admitRestore', { to: 'local', ownHost })
    .decides(upsert, upsert, upsert, activity('planRestore'))
    .completed('planRestore', plan);
}

function fetched(given: Given = {}): History {
  const history = looked(given);
  if (given.ownHost !== false) history.decides(child('guard', `guard/${instance}`)).childStarted();
  return history
    .decides(upsert, activity('prepareRestore'))
    .completed('prepareRestore')
    .decides(activity('fetchRestore'))
    .completed('fetchRestore', { bytes: 9, detail: 'from vault' });
}

function loading(given: Given = {}): History {
  return fetched(given).decides(upsert, activity('addMedia'), upsert, activity('loadRestore'));
}

function proven(given: Given = {}): History {
  return loading(given)
    .completed('addMedia', media)
    .completed('loadRestore', loaded)
    .decides(upsert, activity('proveRestore'))
    .completed('proveRestore', proof(check('row-counts')));
}

/** … and everything lies ready. */
function ready(given: Given = {}): History {
  const { services } = given.plan ?? planned;
  return proven(given)
    .decides(upsert, activity('readyRestore'))
    .completed('readyRestore', { warnings: [], services: given.runs ?? services });
}

/** … and the services stand still. */
function held(given: Given = {}): History {
  return ready(given)
    .decides(activity('armLease'))
    .completed('armLease', { services: ['web'], wasHealthy: true })
    .decides(activity('stopServices'))
    .completed('stopServices', { stoppedAtMs: downSince })
    .decides(timer('budget'), timer('renewal'), activity('swapRestore'));
}

const endsWindow: Command[] = [cancelTimer('renewal'), cancelTimer('budget')];

function sweptAndEnded(history: History, end: Command, guarded = true): void {
  history.completed('sweepRestore');
  if (guarded) releases(history);
  history
    .decides(upsert, activity('keepRestore'))
    .completed('keepRestore', { url: 'http://127.0.0.1/x', warnings: [] })
    .decides(end);
}

const failedAndSwept = (history: History) =>
  history.decides(activity('sweepRestore')).told((told) => {
    sweptAndEnded(told, fail);
  });

/** From the proven services to the end. */
function done(history: History): void {
  history
    .completed('callAllUp', { healthyAtMs: downSince + downForMs })
    .decides(activity('settleRestore'))
    .completed('settleRestore', settled)
    .decides(upsert, activity('sweepRestore'))
    .told((told) => {
      sweptAndEnded(told, complete);
    });
}

const reportOf = (heard: Heard) => heard.report as RestoreReport;

test('all that is slow happens while the services run; they stand still for the swap alone', async () => {
  const heard = await replay(
    held()
      .completed('swapRestore', { warnings: ['nginx was left alone'] })
      .decides(...endsWindow, activity('startServices'))
      .told(backUp)
      .decides(activity('callAllUp'))
      .told(done),
  );
  expect(reportOf(heard)).toMatchObject({
    ...{
      status: 'restored',
      downtimeMs: downForMs,
      services: 'up',
      undoUntil: settled.undoUntil,
      media: { added: 3 },
    },
    checks: [{ name: 'pg-restore' }, { name: 'row-counts' }],
    next: ['bin/rails db:migrate', 'bin/tootctl cache clear'],
    changedSecrets: ['OTP_SECRET'],
    warnings: ['the collation is another one', 'pg_stat_statements is not here', 'nginx was left alone'],
  });
  expect(heard.all('swapRestore')[0]?.input).toMatchObject({ restore: request, stilled: true });
});

test('a plan touches nothing', async () => {
  const heard = await replay(looked({ asked: { planOnly: true } }).decides(upsert, complete));
  expect(heard.report).toMatchObject({ status: 'planned', plan: { changedSecrets: ['OTP_SECRET'] } });
});

test('without a permit nothing is looked at, and no report is left anywhere', async () => {
  const heard = await replay(
    new History('restore', `restore/${instance}`, request)
      .decides(activity('admitRestore'))
      .failed('admitRestore', 'Refused')
      .decides(upsert, fail),
  );
  expect(heard.failure.type).toBe('Refused');
});

test('a plan that refuses ends it before anything is held', async () => {
  const heard = await replay(
    looked()
      .told((history) => history.events.splice(-2))
      .failed('planRestore', 'Refused', 'the code is too old')
      .decides(upsert, activity('keepRestore'))
      .completed('keepRestore', { warnings: [] })
      .decides(fail),
  );
  expect(heard.failure).toMatchObject({ type: 'Refused', message: 'the code is too old' });
});

describe('before the swap', () => {
  test.each<FailureType>(['NotRestorable', 'OffsiteUnavailable'])(
    'a fetch that fails (%s): nothing is left over',
    async (type) => {
      const heard = await replay(
        fetched()
          .told((history) => history.events.splice(-2))
          .failed('fetchRestore', type)
          .told(failedAndSwept),
      );
      expect(heard.failure.type).toBe(type);
      expect(reportOf(heard)).toMatchObject({ status: 'failed', services: 'untouched', downtimeMs: 0 });
    },
  );

  test('a load that fails calls the media off first', async () => {
    const heard = await replay(
      loading()
        .failed('loadRestore', 'NotRestorable')
        .decides(cancelActivity('addMedia'))
        .activityCancelled('addMedia')
        .told(failedAndSwept),
    );
    expect(heard.failure.type).toBe('NotRestorable');
    expect(heard.all('armLease')).toHaveLength(0);
  });

  test('a proof that fails names what is wrong; nothing is stopped', async () => {
    const heard = await replay(
      proven()
        .told((history) => history.events.splice(-2))
        .completed('proveRestore', proof(check('row-counts'), check('secrets-open', false)))
        .told(failedAndSwept),
    );
    expect(heard.failure).toMatchObject({ type: 'NotRestorable' });
    expect(heard.failure.message).toContain('secrets-open seen');
    expect(reportOf(heard).checks).toHaveLength(3);
    expect(heard.all('armLease')).toHaveLength(0);
  });

  test('… unless it was allowed', async () => {
    const asked = { allow: ['unproven-secrets' as const] };
    const heard = await replay(
      proven({ asked })
        .told((history) => history.events.splice(-2))
        .completed('proveRestore', proof(check('secrets-open', false)))
        .decides(upsert, activity('readyRestore'))
        .failed('readyRestore', 'Refused')
        .told(failedAndSwept),
    );
    expect(reportOf(heard).warnings).toContain('secrets-open: secrets-open seen');
  });

  test('a cancelled load: the job is ended, everything is swept, and the report says so', async () => {
    const heard = await replay(
      loading()
        .cancelRequested()
        .decides(cancelActivity('addMedia'), cancelActivity('loadRestore'))
        .activityCancelled('addMedia')
        .activityCancelled('loadRestore')
        .decides(activity('sweepRestore'))
        .told((told) => {
          sweptAndEnded(told, { do: 'cancelled' });
        }),
    );
    expect(heard.all('keepRestore')[0]?.input).toMatchObject({
      report: { status: 'cancelled', services: 'untouched' },
    });
  });

  test('a lease that is not armed: nothing is stopped', async () => {
    const heard = await replay(
      ready()
        .decides(activity('armLease'))
        .failed('armLease', 'LeaseNotArmed')
        .decides(activity('disarmLease'))
        .completed('disarmLease')
        .told(failedAndSwept),
    );
    expect(heard.all('stopServices')).toHaveLength(0);
  });
});

describe('in the swap', () => {
  test.each<FailureType>(['CommandFailed', 'LeaseLost', 'HostUnreachable'])(
    'that fails (%s): it is taken back before the services start',
    async (type) => {
      const heard = await replay(
        held()
          .failed('swapRestore', type)
          .decides(activity('takeBackRestore'))
          .completed('takeBackRestore', { inPlace: 'before' })
          .decides(...endsWindow, activity('startServices'))
          .told(backUp)
          .told(failedAndSwept),
      );
      expect(heard.failure.type).toBe(type);
      expect(reportOf(heard)).toMatchObject({ status: 'failed', services: 'up', undoUntil: null });
    },
  );

  test('that is cancelled: taken back, services up, swept', async () => {
    const heard = await replay(
      held()
        .cancelRequested()
        .decides(cancelTimer('budget'), cancelTimer('renewal'), cancelActivity('swapRestore'))
        .activityCancelled('swapRestore')
        .decides(activity('takeBackRestore'))
        .completed('takeBackRestore', { inPlace: 'before' })
        .decides(activity('startServices'))
        .told(backUp)
        .decides(activity('sweepRestore'))
        .told((told) => {
          sweptAndEnded(told, { do: 'cancelled' });
        }),
    );
    expect(heard.all('keepRestore')[0]?.input).toMatchObject({
      report: { status: 'cancelled', services: 'up' },
    });
  });

  test('that cannot be taken back yet is insisted on: no services on half a state', async () => {
    await replay(
      held()
        .failed('swapRestore', 'CommandFailed')
        .decides(activity('takeBackRestore'))
        .failed('takeBackRestore', 'HostKeyRejected')
        .decides(timer('pause'))
        .fired('pause')
        .decides(activity('takeBackRestore to it again'))
        .completed('takeBackRestore to it again', { inPlace: 'before' })
        .decides(...endsWindow, activity('startServices'))
        .told(backUp)
        .told(failedAndSwept),
    );
  });

  test('that the lease has ended while it was complete already stands', async () => {
    const heard = await replay(
      held()
        .failed('swapRestore', 'LeaseLost')
        .decides(activity('takeBackRestore'))
        .completed('takeBackRestore', { inPlace: 'after' })
        .decides(...endsWindow, activity('startServices'))
        .told(backUp)
        .decides(activity('callAllUp'))
        .told(done),
    );
    expect(reportOf(heard).status).toBe('restored');
  });

  test('services that do not come up on it: one more standstill, and what was there is back', async () => {
    const heard = await replay(
      held()
        .completed('swapRestore', { warnings: [] })
        .decides(...endsWindow, activity('startServices'))
        .completed('startServices')
        .decides(activity('proveServicesUp'))
        .failed('proveServicesUp', 'ServicesDown', 'web is not running')
        .decides(activity('disarmLease'))
        .completed('disarmLease')
        .decides(activity('armLease to take it back'))
        .completed('armLease to take it back', { services: [], wasHealthy: false })
        .decides(activity('stopServices to take it back'))
        .completed('stopServices to take it back', { stoppedAtMs: downSince + 1 })
        .decides(timer('second budget'), timer('second renewal'), activity('takeBackRestore'))
        .completed('takeBackRestore', { inPlace: 'before' })
        .decides(
          ...[cancelTimer('second renewal'), cancelTimer('second budget')],
          activity('startServices to what was'),
        )
        .completed('startServices to what was')
        .decides(activity('proveServicesUp to what was'))
        .completed('proveServicesUp to what was', { healthyAtMs: downSince + 9_000 })
        .decides(activity('disarmLease to what was'))
        .completed('disarmLease to what was')
        .decides(activity('callAllUp'))
        .completed('callAllUp', { healthyAtMs: downSince + 5_000, problem: 'web is not running' })
        .decides(timer('pause'))
        .fired('pause')
        .decides(activity('callAllUp to what was'))
        .completed('callAllUp to what was', { healthyAtMs: downSince + 9_000 })
        .told(failedAndSwept),
    );
    expect(heard.failure).toMatchObject({
      type: 'CommandFailed',
      message: expect.stringMatching(/all is as it was before: web is not running/) as string,
    });
    // Just what was up before the first standstill, and as it answered then.
    expect(heard.all('callAllUp').at(-1)?.input).toMatchObject({
      ...{ services: ['web'], asBefore: { healthy: true } },
    });
    // The whole time without service counts.
    expect(reportOf(heard)).toMatchObject({
      status: 'failed',
      services: 'up',
      downtimeMs: 9_000,
      undoUntil: null,
    });
  });
});

describe('what is not there', () => {
  test('no service runs: nothing is stopped, and what belongs up is started at the end', async () => {
    const heard = await replay(
      ready({ plan: nothingRuns })
        .decides(activity('swapRestore'))
        .completed('swapRestore', { warnings: [] })
        .decides(activity('callAllUp'))
        .told(done),
    );
    expect(heard.all('armLease')).toHaveLength(0);
    expect(heard.all('swapRestore')[0]?.input).toMatchObject({ stilled: false });
    expect(reportOf(heard)).toMatchObject({ status: 'restored', services: 'up' });
  });

  test('… and what does not come up is told, not taken back: nothing was better before', async () => {
    const heard = await replay(
      ready({ plan: nothingRuns })
        .decides(activity('swapRestore'))
        .completed('swapRestore', { warnings: [] })
        .decides(activity('callAllUp'))
        .told((history) => {
          history.completed('callAllUp', { healthyAtMs: 1, problem: 'web is not running on local' });
        })
        .decides(activity('settleRestore'))
        .completed('settleRestore', settled)
        .decides(upsert, activity('sweepRestore'))
        .told((told) => {
          sweptAndEnded(told, complete);
        }),
    );
    expect(reportOf(heard)).toMatchObject({ status: 'restored', error: { code: 9, type: 'ServicesDown' } });
  });

  test('media alone stop nothing and swap nothing', async () => {
    const heard = await replay(
      fetched({ asked: { parts: ['media'] } })
        .decides(upsert, activity('addMedia'))
        .completed('addMedia', media)
        .decides(activity('settleRestore'))
        .completed('settleRestore', { undoUntil: null, next: [], warnings: [] })
        .decides(upsert, activity('sweepRestore'))
        .told((told) => {
          sweptAndEnded(told, complete);
        }),
    );
    expect(reportOf(heard)).toMatchObject({ status: 'restored', services: 'untouched', undoUntil: null });
  });

  test('another host has no guard: the one that would hold it may be gone', async () => {
    const heard = await replay(
      ready({ plan: nothingRuns, ownHost: false })
        .decides(activity('swapRestore'))
        .completed('swapRestore', { warnings: [] })
        .decides(activity('callAllUp'))
        .completed('callAllUp', { healthyAtMs: 1 })
        .decides(activity('settleRestore'))
        .completed('settleRestore', settled)
        .decides(upsert, activity('sweepRestore'))
        .told((told) => {
          sweptAndEnded(told, complete, false);
        }),
    );
    expect(reportOf(heard).status).toBe('restored');
  });
});

test('a cancellation after the swap keeps what is restored; what was to run is listed', async () => {
  const asked = { run: ['cache' as const] };
  const heard = await replay(
    ready({ plan: nothingRuns, asked })
      .decides(activity('swapRestore'))
      .completed('swapRestore', { warnings: [] })
      .decides(activity('callAllUp'))
      .completed('callAllUp', { healthyAtMs: 1 })
      .decides(activity('settleRestore'))
      .completed('settleRestore', settled)
      .cancelRequested()
      .decides(upsert, notAsked(1), activity('sweepRestore'))
      .told((told) => {
        sweptAndEnded(told, complete);
      }),
  );
  expect(reportOf(heard)).toMatchObject({
    status: 'restored',
    ran: [{ name: 'cache', ok: false, detail: 'it was cancelled' }],
    next: expect.arrayContaining(['bin/tootctl cache clear']) as string[],
  });
});

test('a run of another name than its instance has does nothing', async () => {
  const foreign = new History('restore', 'restore/other.example', request);
  expect((await replay(foreign.decides(fail))).failure.type).toBe('InvalidInput');
});

test('services that have come up since the plan are stopped as well', async () => {
  const heard = await replay(
    held({ plan: nothingRuns, runs: ['web'] })
      .completed('swapRestore', { warnings: [] })
      .decides(...endsWindow, activity('startServices'))
      .told(backUp)
      .decides(activity('callAllUp'))
      .told(done),
  );
  expect(heard.all('swapRestore')[0]?.input).toMatchObject({ stilled: true });
});

test('a restore that could not be noted here is done all the same', async () => {
  const heard = await replay(
    ready({ plan: nothingRuns })
      .decides(activity('swapRestore'))
      .completed('swapRestore', { warnings: [] })
      .decides(activity('callAllUp'))
      .completed('callAllUp', { healthyAtMs: 1 })
      .decides(activity('settleRestore'))
      .failed('settleRestore', 'Refused', 'the disk is full')
      .decides(upsert, activity('sweepRestore'))
      .told((told) => {
        sweptAndEnded(told, complete);
      }),
  );
  expect(reportOf(heard)).toMatchObject({ status: 'restored' });
  expect(reportOf(heard).warnings.at(-1)).toMatch(/the disk is full.*permafrost undo/);
});

const undo = { instance, restore: backup, permit: 'f'.repeat(48) };

/** An undo whose services stand still. */
function undoing(inPlace: boolean): History {
  return new History('undo', `undo/${instance}`, undo)
    .decides(upsert, activity('admitUndo'))
    .completed('admitUndo', {
      ...{ to: 'local', ownHost: true, inPlace, leaseMs: 900_000, budgetMs: 600_000 },
    })
    .decides(upsert, child('guard', `guard/${instance}`))
    .childStarted()
    .decides(activity('readyUndo'))
    .completed('readyUndo', {
      ...{ undone: ['the database of yesterday is back'], warnings: [], services: ['web'] },
    })
    .decides(upsert, activity('armLease'))
    .completed('armLease')
    .decides(activity('stopServices'))
    .completed('stopServices', { stoppedAtMs: downSince })
    .decides(timer('budget'), timer('renewal'), activity('swapUndo'));
}

/** The undo is done. */
function undoneAndEnded(history: History): void {
  history
    .decides(activity('settleUndo'))
    .completed('settleUndo')
    .told(releases)
    .decides(upsert, activity('keepUndo'))
    .completed('keepUndo', { warnings: [] })
    .decides(complete);
}

test('an undo where no instance was before starts nothing: there is nothing to run on', async () => {
  const heard = await replay(
    undoing(false)
      .completed('swapUndo', { warnings: [] })
      .decides(...endsWindow, activity('disarmLease'))
      .completed('disarmLease')
      .told(undoneAndEnded),
  );
  expect(heard.report).toMatchObject({
    ...{ status: 'undone', services: 'stopped' },
    undone: ['the database of yesterday is back', expect.stringMatching(/no instance/)],
  });
});

test('an undo is the same standstill, and nothing is left of it but its report', async () => {
  const heard = await replay(
    undoing(true)
      .completed('swapUndo', { warnings: [] })
      .decides(...endsWindow, activity('startServices'))
      .told(backUp)
      .decides(activity('callAllUp'))
      .completed('callAllUp', { healthyAtMs: 1 })
      .told(undoneAndEnded),
  );
  expect(heard.report).toMatchObject({
    ...{ status: 'undone', downtimeMs: downForMs, undone: ['the database of yesterday is back'] },
  });
  expect(heard.all('armLease')[0]?.input).toMatchObject({ undo });
});
