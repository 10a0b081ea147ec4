import { expect, test } from 'vitest';
import type { BackupSchedule } from '../../../src/config/configuration.js';
import type { StoredBackup } from '../../../src/offsite/offsite.js';
import { planPrune } from '../../../src/offsite/prune-plan.js';

const now = new Date('2026-11-22T12:00:00Z');
const nothing = { now, reading: new Set<string>(), ended: new Set<string>() };
const schedule: BackupSchedule = { hour: 3, minute: 17, timezone: 'UTC', catchUpMs: 0, jitterMs: 0 };
const config = {
  retention: { last: 1, daily: 0, weekly: 0, monthly: 0, yearly: 0 },
  schedule: { backup: schedule },
};
const stored = (backup: string, more: Partial<StoredBackup> = {}): StoredBackup => ({
  ...{ backup, parts: ['database'], key: backup },
  ...more,
});

test('deltas go before the full dump that they need', () => {
  const [full, delta, newest] = ['20261101T031700Z', '20261102T031700Z', '20261121T031700Z'];
  const sealed = [stored(newest), stored(delta, { dependsOn: full }), stored(full)];
  expect(planPrune({ sealed, unsealed: [] }, config, nothing).removals).toEqual([delta, full]);
});

test('what is marked, read, or needed stays, and says why', () => {
  const [full, delta, kept, newest] = [
    ...['20261101T031700Z', '20261102T031700Z', '20261103T031700Z', '20261121T031700Z'],
  ] as [string, string, string, string];
  const sealed = [
    stored(newest),
    stored(kept, { kept: 'forever' }),
    stored(delta, { dependsOn: full }),
    stored(full),
  ];
  const plan = planPrune({ sealed, unsealed: [] }, config, { ...nothing, reading: new Set([delta]) });
  expect(plan.removals).toEqual([]);
  expect(plan.decisions.map(({ reasons }) => reasons)).toEqual([
    ['newest', 'last'],
    ['kept'],
    ['being read'],
    [`full dump of ${delta}`],
  ]);
});

test('what was never sealed goes when it is certainly dead', () => {
  const [old, dead, foreign, filled, tonight, later] = [
    ...['20261101T031700Z', '20261119T031700Z', '20261120T031700Z', '20261102T031700Z'],
    ...['20261122T031700Z', '20261122T093000Z'],
  ] as [string, string, string, string, string, string];
  const plan = planPrune({ sealed: [], unsealed: [old, dead, foreign, filled, later] }, config, {
    ...nothing,
    ...{ ended: new Set([dead, later]), reading: new Set([filled]), run: tonight },
  });
  expect(
    Object.fromEntries(
      plan.leftovers.map(({ backup, keep, reasons }) => [backup, keep ? reasons[0] : 'goes']),
    ),
  ).toEqual({
    [old]: 'goes', // older than eight days, whosever it was
    [dead]: 'goes', // a run of this machine that has ended
    [foreign]: 'never sealed; maybe being filled by another machine',
    [filled]: 'being filled', // a copy of an old backup, say
    [later]: 'newer than this run',
  });
  expect(plan.removals).toEqual([dead, old]);
});
