import { expect, test } from 'vitest';
import type { FoundDrill } from '../../src/activities/drill-steps.js';
import type { Check } from '../../src/backups/check.js';
import type { DrillReport, DrillRequest } from '../../src/backups/drill-report.js';
import { activity, cancelActivity, cancelled, complete, fail, History, upsert } from './history.js';
import { instance } from './night.js';
import { type Heard, replay } from './replay.js';

const backup = '20261122T031700Z';
/** Of the drill: by its start, as Temporal has it. */
const drill = '20261122T031700Z';
const found: FoundDrill = {
  ...{ backup, from: 'vault', host: 'local', depth: 'application', media: { bytes: 9_000, files: 90 } },
  ...{ warnings: ['cellar could not be asked: it is down'], notProven: [] },
};
const step = { instance, drill, backup, from: 'vault' };
const check = (name: string, passed = true): Check => ({
  name,
  passed,
  detail: `${name} seen`,
  durationMs: 5,
});
const proof = (...checks: Check[]) => ({ checks, notProven: [] });
const sampled = { ...proof(check('part-hashes')), media: { files: 9, bytes: 900, ms: 50 } };
const loaded = { check: check('pg-restore'), notes: ['pg_stat_statements is not here'], ms: 400 };

function planned(plan = found, request: Partial<DrillRequest> = {}): History {
  return new History('drill', `drill/${instance}`, { instance, ...request })
    .decides(upsert, upsert, activity('findDrill'))
    .completed('findDrill', plan);
}

function opened(plan = found): History {
  return planned(plan)
    .decides(upsert, activity('openScratch'))
    .completed('openScratch')
    .decides(upsert, activity('receiveBackup'));
}

/** The database is loaded while the files are looked at: here these are done first. */
function fetched(plan = found, dump = true): History {
  const loads = dump && plan.depth !== 'files';
  return opened(plan)
    .completed('receiveBackup', { bytes: 5_000, ms: 100, dump })
    .decides(upsert, activity('proveReceived'), ...(loads ? [upsert, activity('loadScratch')] : []))
    .completed('proveReceived', sampled);
}

/** The scratch goes, the report is kept. */
function closes(history: History): void {
  history
    .decides(upsert, activity('closeScratch'))
    .completed('closeScratch')
    .decides(upsert, activity('keepDrill'))
    .completed('keepDrill', { url: 'http://127.0.0.1:8243/x.html', warnings: [] });
}

const reportOf = (heard: Heard) => heard.report as DrillReport;

test('a backup that is the instance: fetched, loaded, proven, booted, and how long that takes', async () => {
  const heard = await replay(
    fetched()
      .completed('loadScratch', loaded)
      .decides(upsert, activity('proveScratch'))
      .completed('proveScratch', proof(check('row-counts')))
      .decides(upsert, activity('proveBoot'))
      .completed('proveBoot', { ...proof(check('boots')), bootMs: 1_000 })
      .told(closes)
      .decides(complete),
  );
  const report = reportOf(heard);
  expect(report).toMatchObject({
    ...{ drill, instance, backup, from: 'vault', depth: 'application', status: 'passed', passed: true },
    ...{ notProven: loaded.notes, warnings: found.warnings, recoveryTimeMs: 1_500 },
    // A tenth of the media was read, in 50 ms.
    forecast: { totalMs: 2_000 },
  });
  expect(report.checks.map(({ name }) => name)).toEqual(['part-hashes', 'pg-restore', 'row-counts', 'boots']);
  for (const name of [
    'openScratch',
    'receiveBackup',
    'proveReceived',
    'loadScratch',
    'proveScratch',
    'proveBoot',
  ])
    expect(heard.all(name)).toMatchObject([{ input: step }]);
  expect(heard.all('closeScratch')).toMatchObject([{ input: { instance, drill } }]);
});

test('one that would not restore fails the run, and everything else is proven all the same', async () => {
  const heard = await replay(
    fetched({ ...found, depth: 'database' })
      .completed('loadScratch', loaded)
      .decides(upsert, activity('proveScratch'))
      .completed('proveScratch', proof(check('row-counts', false), check('sequences')))
      .told(closes)
      .decides(fail),
  );
  expect(heard.failure).toMatchObject({ type: 'NotRestorable' });
  expect(heard.failure.message).toBe(`${backup} on vault would not restore as it is: row-counts`);
  expect(heard.report).toMatchObject({ status: 'findings', passed: false });
  expect(reportOf(heard).forecast).toBeUndefined();
  expect(heard.all('keepDrill')).toMatchObject([{ input: { status: 'findings' } }]);
});

test('a dump that does not load is a finding, and nothing is asked of a database that is not there', async () => {
  const heard = await replay(
    fetched()
      .completed('loadScratch', { check: check('pg-restore', false), notes: [], ms: 9 })
      .told(closes)
      .decides(fail),
  );
  expect(heard.failure.message).toContain('pg-restore');
  expect(reportOf(heard).notProven).toEqual(['Nothing of the database: it could not be loaded.']);
});

test('a load that is done before the files are is proven meanwhile, and told after them', async () => {
  const heard = await replay(
    opened({ ...found, depth: 'database' })
      .completed('receiveBackup', { bytes: 5_000, ms: 100, dump: true })
      .decides(upsert, activity('proveReceived'), upsert, activity('loadScratch'))
      .completed('loadScratch', loaded)
      .decides(upsert, activity('proveScratch'))
      .completed('proveScratch', proof(check('row-counts')))
      .completed('proveReceived', sampled)
      .told(closes)
      .decides(complete),
  );
  expect(reportOf(heard).checks.map(({ name }) => name)).toEqual(['part-hashes', 'pg-restore', 'row-counts']);
});

test('an off-site that goes away while the files are looked at ends the load, too', async () => {
  const heard = await replay(
    opened({ ...found, depth: 'database' })
      .completed('receiveBackup', { bytes: 5_000, ms: 100, dump: true })
      .decides(upsert, activity('proveReceived'), upsert, activity('loadScratch'))
      .failed('proveReceived', 'OffsiteUnavailable')
      .decides(cancelActivity('loadScratch'))
      .activityCancelled('loadScratch')
      .told(closes)
      .decides(fail),
  );
  expect(heard.failure).toMatchObject({ type: 'OffsiteUnavailable' });
});

test('a dump that did not come whole is a finding: there is nothing to load', async () => {
  const heard = await replay(fetched(found, false).told(closes).decides(fail));
  expect(heard.failure.message).toContain('pg-restore');
  expect(reportOf(heard).checks.at(-1)).toMatchObject({
    ...{ name: 'pg-restore', passed: false },
    detail: expect.stringContaining('nothing to load') as string,
  });
});

test('a manifest that nobody can restore by is the finding: nothing is fetched', async () => {
  const finding = check('manifest-signature', false);
  const heard = await replay(
    planned({ ...found, finding })
      .decides(upsert, upsert, activity('keepDrill'))
      .completed('keepDrill', { warnings: [] })
      .decides(fail),
  );
  expect(heard.failure).toMatchObject({ type: 'NotRestorable' });
  expect(reportOf(heard).checks).toEqual([finding]);
});

test('a drill that could not be made says so, leaves nothing, and is on record', async () => {
  const heard = await replay(
    opened().failed('receiveBackup', 'OffsiteUnavailable').told(closes).decides(fail),
  );
  expect(heard.failure).toMatchObject({ type: 'OffsiteUnavailable', next: 'do this' });
  expect(heard.report).toMatchObject({ status: 'failed', error: { type: 'OffsiteUnavailable' } });
});

test('one that is cancelled leaves nothing, and is no record of anything', async () => {
  const heard = await replay(
    opened()
      .cancelRequested()
      .decides(cancelActivity('receiveBackup'))
      .activityCancelled('receiveBackup')
      .decides(upsert, activity('closeScratch'))
      .completed('closeScratch')
      .decides(upsert, cancelled),
  );
  expect(heard.all('keepDrill')).toEqual([]);
});

test('scratch that cannot be removed, and a report that cannot be kept, are warnings', async () => {
  const heard = await replay(
    fetched({ ...found, depth: 'files', warnings: [] })
      .decides(upsert, activity('closeScratch'))
      .failed('closeScratch', 'HostUnreachable')
      .decides(upsert, activity('keepDrill'))
      .failed('keepDrill', 'Unexpected')
      .decides(complete),
  );
  expect(reportOf(heard).scratchLeft).toBe(true);
  expect(reportOf(heard).warnings).toEqual([
    expect.stringContaining('goes by itself within the hour: closeScratch failed'),
    expect.stringContaining('could not be kept: keepDrill failed'),
  ]);
});

test.each([`drill/other.example`, `drill/${instance}-x`, `drill/${instance}.evil`])(
  'a run called %s looks at nothing',
  async (workflowId) => {
    const foreign = new History('drill', workflowId, { instance });
    expect((await replay(foreign.decides(fail))).failure.type).toBe('InvalidInput');
  },
);

test('what has had its time goes; what cannot be removed yet fails nothing', async () => {
  const expire = (end: (history: History) => History) =>
    replay(end(new History('expire', 'expire-2026-11-22T03:20:00Z').decides(activity('sweepScratch'))));
  const swept = await expire((history) =>
    history
      .completed('sweepScratch', { swept: ['a'], failed: [] })
      .decides(activity('expireUndos'))
      .completed('expireUndos', { removed: ['b'], failed: [] })
      .decides(complete),
  );
  expect(swept.report).toEqual({ swept: ['a'], removed: ['b'] });
  const failed = await expire((history) =>
    history
      .failed('sweepScratch', 'HostUnreachable')
      .decides(activity('expireUndos'))
      .failed('expireUndos', 'HostUnreachable')
      .decides(complete),
  );
  expect(failed.report).toEqual({ swept: [], removed: [] });
  const foreign = new History('expire', 'somebody');
  expect((await replay(foreign.decides(fail))).failure.type).toBe('InvalidInput');
});
