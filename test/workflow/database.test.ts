import { describe, expect, test } from 'vitest';
import type { DatabasePlan } from '../../src/backups/database-plan.js';
import type { BackupReport } from '../../src/backups/report.js';
import { activity, child, type Command, type History, patch, upsert } from './history.js';
import * as night from './night.js';
import { replay } from './replay.js';

/** A night of the database alone, whose services are not stopped. */
function planned(): History {
  const parts = [{ name: 'database' as const }];
  return night
    .looked(night.plan({ quiesce: 'none', services: [], parts }))
    .decides(child('guard', `guard/${night.instance}`))
    .childStarted()
    .decides(upsert, activity('prepareRun'))
    .completed('prepareRun')
    .decides(patch('database-deltas'), activity('planDatabase'));
}

function dumped(history: History, kind: 'full' | 'delta'): void {
  history
    .decides(activity('pinMoment'))
    .completed('pinMoment')
    .decides(upsert, activity('keepMoment'))
    .completed('keepMoment', { kind: 'pinned', at: '2026-11-22T03:17:06Z' })
    .decides(activity('dumpDatabase'), activity('describeDatabase'))
    .completed('dumpDatabase', { bytes: 10, kind })
    .completed('describeDatabase')
    .decides(activity('countRows'))
    .completed('countRows')
    .decides(activity('dumpRoles'))
    .completed('dumpRoles', { roles: 'with passwords' })
    .decides(activity('releaseMoment'))
    .completed('releaseMoment')
    .decides(upsert, activity('uploadPart'))
    .completed('uploadPart', { bytesAdded: 10 })
    .told(night.readBackAndSealed);
}

/** What follows the seal. */
function finished(history: History, ...keeps: Command[]): void {
  if (keeps.length > 0) history.decides(...keeps).completed('keepBase', { kept: true });
  history.decides(upsert, activity('pruneOffsite')).told(night.pruned);
}

const full = '20261121T031700Z';
const delta: DatabasePlan = { kind: 'delta', why: 'its full dump is 24 hours old', full, warnings: [] };

async function captureOf(
  history: History,
): Promise<{ said?: string | undefined; warnings: readonly string[] }> {
  const { report } = await replay(history);
  const { phases, warnings } = report as BackupReport;
  return { said: phases.find(({ name }) => name === 'capture')?.detail, warnings };
}

describe("the night's database", () => {
  test('is planned before the moment, told, and kept when it is sealed', async () => {
    const { said } = await captureOf(
      planned()
        .completed('planDatabase', delta)
        .told((history) => dumped(history, 'delta'))
        .told((history) => finished(history, activity('keepBase'))),
    );
    expect(said).toBe(`database: a delta against ${full}, because its full dump is 24 hours old`);
  });

  test('that was to be a delta and became a full dump says so', async () => {
    const { said, warnings } = await captureOf(
      planned()
        .completed('planDatabase', delta)
        .told((history) => dumped(history, 'full'))
        .told((history) => finished(history, activity('keepBase'))),
    );
    expect(said).toBe(`database: a full dump, because the delta against ${full} could not be made`);
    expect(warnings).toEqual([expect.stringContaining('dumped whole')]);
  });

  test('is dumped whole when nothing could be planned', async () => {
    const { said, warnings } = await captureOf(
      planned()
        .failed('planDatabase', 'HostUnreachable', 'no route')
        .told((history) => dumped(history, 'full'))
        .told((history) => finished(history)),
    );
    expect(said).toBeUndefined();
    expect(warnings).toEqual(['The database is dumped whole: no route']);
  });
});
