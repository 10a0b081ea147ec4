import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { applyRetention } from '../../../src/activities/prune.js';
import type { BackupSchedule, Configuration, InstanceConfig } from '../../../src/config/configuration.js';
import type { Offsite, StoredBackup, StoredBackups } from '../../../src/offsite/offsite.js';
import { planPrune } from '../../../src/offsite/prune-plan.js';
import { withReading } from '../../../src/records/readers.js';
import { removedFrom } from '../../../src/records/removals.js';

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
    ...['20261020T031700Z', '20261111T031700Z', '20261112T031700Z', '20261102T031700Z'],
    ...['20261122T031700Z', '20261122T093000Z'],
  ] as [string, string, string, string, string, string];
  const sealed = [stored(tonight, { parts: ['media'] })];
  const plan = planPrune({ sealed, unsealed: [old, dead, foreign, filled, later] }, config, {
    ...nothing,
    ...{ ended: new Set([dead, later]), reading: new Set([filled]), run: tonight },
  });
  expect(
    Object.fromEntries(
      plan.leftovers.map(({ backup, keep, reasons }) => [backup, keep ? reasons[0] : 'goes']),
    ),
  ).toEqual({
    [old]: 'goes', // older than thirty days, whosever it was
    [dead]: 'goes', // a run of this machine that has ended
    [foreign]: 'never sealed; maybe being filled by another machine',
    [filled]: 'being filled', // a copy of an old backup, say
    [later]: 'newer than this run',
  });
  expect(plan.removals).toEqual([dead, old]);
});

test('what a cut first upload has brought waits for the next backup with media, but not for ever', () => {
  const [ancient, old, cut, secrets, whole] = [
    ...['20261001T031700Z', '20261020T031700Z', '20261120T031700Z', '20261121T031700Z', '20261122T031700Z'],
  ] as [string, string, string, string, string];
  const facts = { ...nothing, ended: new Set([ancient, old, cut]) };
  const gone = (...sealed: StoredBackup[]) =>
    planPrune({ sealed, unsealed: [ancient, old, cut] }, config, facts).removals;
  expect(gone()).toEqual([old, ancient]);
  expect(gone(stored(secrets, { parts: ['secrets'] }))).toEqual([old, ancient]);
  expect(gone(stored('20261110T031700Z', { parts: ['media'] }))).toEqual([old, ancient]);
  expect(gone(stored(whole, { parts: ['secrets', 'media'] }))).toEqual([cut, old, ancient]);
});

/** Retention on a place that behaves as `remove` does. @returns what was removed, or the failure. */
async function retention(state: string, list: () => StoredBackups, remove: Offsite['remove']) {
  const place = { name: 'vault', list: () => Promise.resolve(list()), remove } as unknown as Offsite;
  const run = { instance: 'sample.example', backup: '20261122T031700Z' };
  const told = {
    configuration: { state } as Configuration,
    config: config as InstanceConfig,
    follow: () => Promise.reject(new Error('nothing runs here')),
  };
  return applyRetention(place, { ...told, run });
}

test('what is marked or read between the plan and its removal stays, and nothing is said to be removed', async () => {
  const state = await mkdtemp(join(tmpdir(), 'permafrost-prune-'));
  try {
    const [full, delta, newest] = ['20261101T031700Z', '20261102T031700Z', '20261121T031700Z'];
    const before = {
      sealed: [stored(newest), stored(delta, { dependsOn: full }), stored(full)],
      unsealed: [],
    };
    const marked = {
      sealed: [stored(newest), stored(delta, { dependsOn: full, kept: 'forever' }), stored(full)],
      unsealed: [],
    };
    const going = (now: StoredBackups) =>
      retention(
        state,
        () => before,
        async (backups, _follow, stillGoing) => {
          expect(backups).toEqual([delta, full]);
          await stillGoing?.(now);
          return 'removed';
        },
      );
    await expect(going(marked)).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringContaining(`${delta} (kept), ${full} (full dump of ${delta})`) as string,
    });
    expect(await removedFrom(state, { instance: 'sample.example', offsite: 'vault' })).toEqual(new Set());
    await withReading(state, 'vault', newest, async () => {
      expect(await going(before)).toMatchObject({ removed: [delta, full] });
    });
    const reading = retention(
      state,
      () => before,
      async (_backups, _follow, stillGoing) => {
        await withReading(state, 'vault', full, async () => stillGoing?.(before));
        return 'removed';
      },
    );
    await expect(reading).rejects.toMatchObject({ type: 'Refused' });
  } finally {
    await rm(state, { recursive: true });
  }
});

test('of a place that lets nothing more be removed, what is gone all the same was removed by us', async () => {
  const state = await mkdtemp(join(tmpdir(), 'permafrost-prune-'));
  try {
    const [gone, left, newest] = ['20261101T031700Z', '20261102T031700Z', '20261121T031700Z'];
    let sealed = [stored(newest), stored(left), stored(gone)];
    const done = await retention(
      state,
      () => ({ sealed, unsealed: [] }),
      () => {
        sealed = [stored(newest), stored(left)];
        return Promise.resolve('append-only');
      },
    );
    expect(done).toEqual({ removed: [gone], swept: [], kept: 2, appendOnly: true });
    expect(await removedFrom(state, { instance: 'sample.example', offsite: 'vault' })).toEqual(
      new Set([gone]),
    );
  } finally {
    await rm(state, { recursive: true });
  }
});
