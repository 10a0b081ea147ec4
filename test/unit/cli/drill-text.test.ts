import { expect, test } from 'vitest';
import { stateAfter } from '../../../scripts/drill.js';
import type { DrillReport } from '../../../src/backups/drill-report.js';
import { drillText } from '../../../src/terminal/drill-text.js';
import { plain } from '../../../src/terminal/paint.js';

const report: DrillReport = {
  ...{ drill: '20261201T050000Z', instance: 'example.social', backup: '20261201T031700Z', from: 'vault' },
  ...{ host: 'local', depth: 'database', status: 'passed', passed: true, workflowId: '', runId: '' },
  checks: [
    { name: 'row-counts', passed: true, detail: '43 tables, as at the backup’s moment', durationMs: 140 },
    { name: 'unique-indexes', passed: true, detail: 'all 70 are there', durationMs: 40 },
  ],
  ...{ notProven: ['btree-integrity: no amcheck'], warnings: [] },
  times: { fetchMs: 60_000, fetchedBytes: 1.5e9, mediaMs: 1, mediaBytes: 1, mediaFiles: 1, loadMs: 120_000 },
  ...{
    recoveryTimeMs: 180_000,
    forecast: { totalMs: 12_000_000, detail: 'all but media 3 min, media 3 h 17 min' },
  },
  ...{ durationMs: 240_000, startedAt: '', finishedAt: '' },
};

test('what was proven, what was not, and when the instance would be back', () => {
  expect(drillText(report, plain)).toEqual([
    'Backup 20261201T031700Z of example.social, from vault: it is the instance',
    '',
    'check             what was seen                          took',
    '✓ row-counts      43 tables, as at the backup’s moment  0.1 s',
    '✓ unique-indexes  all 70 are there                      0.0 s',
    '',
    '  not proven      btree-integrity: no amcheck',
    '  depth           database, on local',
    '  recovery time   3 min: fetched 1.5 GB in 1 min, loaded in 2 min',
    '  a full restore  about 3 h 20 min: all but media 3 min, media 3 h 17 min',
    '  took            4 min',
  ]);
});

test('a finding stands out without colour too, says what to do, and promises no time', () => {
  const wrong = {
    ...report.checks[0],
    name: 'row-counts',
    passed: false,
    detail: 'statuses\u001b[2J has 9, not 60',
  };
  const { forecast, ...rest } = report;
  void forecast;
  const bad = {
    ...rest,
    status: 'findings',
    passed: false,
    checks: [{ ...wrong, durationMs: 1 }],
  } as DrillReport;
  const text = drillText(bad, plain, 80, 'restore from cellar').join('\n');
  expect(text).toMatch(/^Backup .+: IT WOULD NOT RESTORE/);
  expect(text).toMatch(/^✗ row-counts {2}statuses.* has 9, not 60/m);
  expect(text).not.toContain('\u001b');
  expect(text).not.toContain('recovery time');
  expect(text).toContain('what to do');
});

test('no line is wider than the terminal', () => {
  const detail = 'a detail that goes on and on, as those of PostgreSQL do at times: '.repeat(6);
  const long = { ...report, checks: report.checks.map((check) => ({ ...check, detail })) };
  for (const width of [40, 80, 200])
    expect(Math.max(...drillText(long, plain, width).map((line) => line.length))).toBeLessThanOrEqual(width);
});

test('what is left on the drill host is told, and nothing is only said where that is so', () => {
  expect(stateAfter(report)).toMatch(/^Nothing of it is left/);
  const left = stateAfter({ ...report, scratchLeft: true, host: 'root@10.0.0.7' });
  expect(left).toMatch(/on root@10\.0\.0\.7 could not be removed: it goes by itself within the hour/);
  expect(left).not.toContain('Nothing');
});
