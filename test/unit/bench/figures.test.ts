import { describe, expect, test } from 'vitest';
import { markdown } from '../../../bench/figures/markdown.js';
import type { Results, Round } from '../../../bench/figures/results.js';
import { ratios, spreadOf } from '../../../bench/figures/spread.js';
import { targets } from '../../../bench/figures/targets.js';
import type { RestoreTrial } from '../../../bench/restores/trial.js';
import type { Night } from '../../../bench/ways/way.js';

describe('a spread', () => {
  test('has the middle value, or the mean of the two in the middle', () => {
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3, count: 3 });
    expect(spreadOf([4, 1, 2, 3]).median).toBe(2.5);
    expect(spreadOf([7])).toEqual({ median: 7, least: 7, most: 7, count: 1 });
  });

  test('is not made of nothing', () => {
    expect(() => spreadOf([])).toThrow('nothing was measured');
  });

  test('of ratios goes round by round: a slow round is slow for both', () => {
    expect(ratios([1, 20], [10, 100])).toEqual({
      median: 0.15000000000000002,
      least: 0.1,
      most: 0.2,
      count: 2,
    });
    expect(() => ratios([1, 2], [10])).toThrow('without a reference');
  });
});

const profile = {
  ...{ runSeconds: 30, workSeconds: 27, orchestrationSeconds: 3, idleSeconds: 1, betweenSeconds: 0.5 },
  steps: [
    {
      ...{ phase: 'capture', name: 'dumpDatabase', from: 1, took: 5, alone: 4 },
      ...{ inJobs: 4.5, inCommands: 0.25, inHandling: 0.125, attempts: 2 },
    },
  ],
  jobs: [{ name: 'dump', from: 1.5, took: 4.5 }],
  commands: [],
};

function night(wallMs: number, outageMs: number, bytesAdded: number): Night {
  return { wallMs, outageMs, bytesAdded };
}

function permafrost(wallMs: number, outageMs: number, bytesAdded: number, workerPeakBytes: number): Night {
  const own = {
    reportedDowntimeMs: outageMs,
    reportedBytes: bytesAdded,
    serverPeakBytes: 1e8,
    historyEvents: 200,
    deliveryMs: wallMs * 0.7,
    mediaMs: wallMs * 0.5,
  };
  return {
    ...night(wallMs, outageMs, bytesAdded),
    permafrost: { ...own, workerRestBytes: 1e8, workerPeakBytes, profile },
  };
}

function bare(wallMs: number): Night {
  return { wallMs, bytesAdded: 1 };
}

function round(nights: Round['nights'], quiet: Round['quiet'] = {}): Round {
  return { ownMs: [900, 1000, 5000], nights, quiet };
}

function results(...rounds: Round[]): Results {
  return {
    ...{ command: 'npm run bench', at: '2026-11-22T10:00:00.000Z', machine: { processor: '2 × X' } },
    data: {
      ...{ databaseBytes: 1.5e9, statuses: 800_000, tables: 45, indexes: 90 },
      mediaFiles: 60_000,
      mediaBytes: 3e9,
    },
    rounds,
  };
}

const trial: RestoreTrial = {
  bare: { fetchMs: 10_000, loadOneMs: 80_000, loadTwoMs: 50_000 },
  drill: {
    ...{ wallMs: 120_000, fetchMs: 12_000, loadMs: 56_000 },
    steps: [{ name: 'receiveBackup', fromMs: 1000, tookMs: 12_345 }],
    checks: [{ name: 'btree-integrity', tookMs: 6_543 }],
  },
  restore: {
    ...{ wallMs: 130_000, loadMs: 72_000, outageMs: 3_000, reportedDowntimeMs: 2_900 },
    steps: [{ name: 'swapRestore', fromMs: 90_000, tookMs: 321 }],
  },
  undo: { wallMs: 5_000, outageMs: 1_500 },
};

const good = round({
  recipe: [night(100_000, 98_000, 3e9)],
  permafrost: [permafrost(30_000, 1_500, 3.1e9, 2e8), permafrost(20_000, 1_400, 2e7, 2.2e8)],
});

describe('the targets', () => {
  test('are judged by what was measured, less what services take for themselves', () => {
    const found = targets(results(good));
    expect(found.map(({ what, value, good: isGood }) => [what, value.median, isGood])).toEqual([
      ['services down beyond their own stop and start', 0.5, true],
      ["… over the recipe's", 500 / 97_000, true],
      ["first night over the recipe's", 0.3, true],
      ["second night over the recipe's", 0.2, true],
      ["second night's bytes over the recipe's, restic", 2 / 300, true],
      ["worker's peak memory", 2.2e8, true],
      ['orchestration', 3, true],
    ]);
  });

  test('are not reached by the best of several rounds, but by the one in the middle', () => {
    const slow = round({
      ...good.nights,
      permafrost: [permafrost(50_000, 9_000, 3.1e9, 3e8), permafrost(1, 1, 1, 1)],
    });
    const found = targets(results(good, slow, slow));
    expect(found.filter((target) => target.good).map(({ what }) => what)).toEqual([
      "second night over the recipe's",
      "second night's bytes over the recipe's, restic",
      'orchestration',
    ]);
  });

  test('compare two off-sites with the slower of the two alone, night by night, and as whole nights', () => {
    const both = round({
      permafrost: [permafrost(30_000, 0, 1, 1), permafrost(10_000, 0, 1, 1)],
      'permafrost-rclone': [permafrost(20_000, 0, 1, 1), permafrost(20_000, 0, 1, 1)],
      'permafrost-two': [permafrost(33_000, 0, 1, 1), permafrost(30_000, 0, 1, 1)],
    });
    const found = targets(results(both)).filter(({ most }) => most === 1.15);
    expect(found.map(({ what, value, good: isGood }) => [what, value.median, isGood])).toEqual([
      ['two off-sites over the slower one alone, first night: sent and read back', 1.1, true],
      ['… the whole night', 1.1, true],
      ['two off-sites over the slower one alone, second night: sent and read back', 1.5, false],
      ['… the whole night', 1.5, false],
    ]);
    const { 'permafrost-rclone': rclone, ...others } = both.nights;
    expect(rclone).toBeDefined();
    expect(targets(results(round(others))).filter(({ most }) => most === 1.15)).toEqual([]);
  });

  test('compare the media of a quiet night with the bare tool, and tell the whole night beside it unjudged', () => {
    const quiet = { 'permafrost-rsync': permafrost(20_000, 0, 0, 1), 'bare-rsync': bare(8_000) };
    const found = targets(results(round({}, quiet)));
    expect(found.map(({ what, value, good: isGood }) => [what, value.median, isGood])).toEqual([
      ['media of a night without new ones over bare rsync -a', 1.25, true],
      ['… the whole night', 2.5, undefined],
    ]);
    expect(targets(results(round({}, { 'bare-rsync': bare(8_000) })))).toEqual([]);
  });

  test('compare a drill and a restore with the bare tools on the same bytes', () => {
    const found = targets(results({ ...round({}), restores: trial }));
    expect(found.map(({ what, value, good: isGood }) => [what, value.median, isGood])).toEqual([
      ['load of the database in a drill, with ANALYZE, over pg_restore -j1', 0.7, true],
      ['load of the database in a restore in place, with ANALYZE, over pg_restore -j1', 0.9, false],
      ['drill of the database over restic restore and pg_restore -j2', 2, false],
      ['services down in a restore in place, beyond their own stop and start', 2, true],
      ['services down in its undo, beyond their own stop and start', 0.5, true],
    ]);
  });

  test('without the recipe are those that are no ratio', () => {
    const { permafrost: own = [] } = good.nights;
    const found = targets(results(round({ permafrost: own })));
    expect(found.map(({ what }) => what)).toEqual([
      'services down beyond their own stop and start',
      "worker's peak memory",
      'orchestration',
    ]);
    expect(targets(results(round({ recipe: good.nights.recipe ?? [] })))).toEqual([]);
  });
});

test('the page shows where the seconds of a drill and a restore went', () => {
  const page = markdown(results({ ...round({}), restores: trial }));
  expect(page).toContain(
    '| load of the database in a drill, with ANALYZE, over pg_restore -j1 | 0.700 | 0.800 | yes |',
  );
  expect(page).toContain('| bare: pg_restore -j1 | 80.0 s |');
  expect(page).toContain('| receiveBackup | 1.00 s | 12.3 s |');
  expect(page).toContain('| btree-integrity | 6.54 s |');
  expect(page).toContain('| swapRestore | 90.0 s | 0.32 s |');
});

test('the page has the command, the machine, each way in a column, and where the seconds went', () => {
  const quiet = { permafrost: permafrost(10_000, 900, 0, 1e8), 'bare-restic': bare(5_000) };
  const page = markdown(results(good, { ...good, quiet }));
  expect(page).toContain('`npm run bench`, 2026-11-22; 2 rounds');
  expect(page).toContain('processor 2 × X');
  expect(page).toContain('### Night 1\n\n|  | classic recipe | Permafrost |');
  expect(page).toContain('### Night 2\n\n|  | Permafrost |');
  expect(page).toContain('| whole night | 100.0 s (100.0 s to 100.0 s) | 30.0 s (30.0 s to 30.0 s)');
  expect(page).toContain('nothing has changed\n\n|  | Permafrost | bare restic backup |');
  expect(page).toContain('| … media looked at and sent | 5.00 s |  |');
  // The bare tool stops nothing: that is no downtime of 0.
  expect(page).toContain('| services down | 0.90 s |  |');
  expect(page).toContain('| … the whole night | 2.000 |  |  |');
  expect(page).toContain(
    '| capture | dumpDatabase (2 attempts) | 1.00 | 5.00 | 4.00 | 4.50 | 0.25 | 0.13 | 0.13 |',
  );
  expect(page).toContain('| dump | 1.50 | 4.50 |');
});
