import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BackupsSeen, drillsOf } from '../../../scripts/cli/drill-status.js';
import type { DrillReport } from '../../../src/backups/drill-report.js';
import type { InstanceConfig } from '../../../src/config/configuration.js';
import { lastDrillOf, lastMeasuredDrill } from '../../../src/records/drills.js';
import { writeReport } from '../../../src/records/reports.js';

const domain = 'example.social';
let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'permafrost-drills-'));
});
afterEach(() => rmSync(state, { recursive: true }));

/** A drill of a day of November, and the report that it left. */
async function drilled(day: number, status: DrillReport['status'], more: Partial<DrillReport> = {}) {
  const at = `202611${String(day).padStart(2, '0')}`;
  const report = {
    ...{
      drill: `${at}T050000Z`,
      instance: domain,
      backup: `${at}T031700Z`,
      from: 'vault',
      depth: 'database',
    },
    ...{
      status,
      finishedAt: `2026-11-${String(day).padStart(2, '0')}T05:10:00.000Z`,
      recoveryTimeMs: 60_000,
    },
    ...{
      forecast: { totalMs: 90_000, detail: '' },
      checks: [{ name: 'row-counts', passed: status === 'passed' }],
    },
    ...more,
  };
  await writeReport(state, domain, `drill-${report.drill}`, { html: '', json: JSON.stringify(report) });
}

describe('what this machine remembers of drills', () => {
  test('the newest that looked at a backup, and the newest that tells how long a restore takes', async () => {
    expect(await lastDrillOf(state, domain)).toBeNull();
    await drilled(1, 'passed');
    await drilled(2, 'passed', { depth: 'files' });
    await drilled(3, 'findings');
    await drilled(4, 'failed');
    await writeReport(state, domain, 'drill-20261105T050000Z', { html: '', json: '{"half' });
    await writeReport(state, domain, 'restore-20261106T050000Z', { html: '', json: '{}' });
    expect(await lastDrillOf(state, domain)).toMatchObject({
      ...{ drill: '20261103T050000Z', passed: false, findings: ['row-counts'], recoveryTimeMs: 60_000 },
    });
    expect(await lastMeasuredDrill(state, domain)).toMatchObject({
      ...{ drill: '20261101T050000Z', passed: true, forecastMs: 90_000 },
    });
  });
});

describe('what status says of drills', () => {
  const config = (more: object = {}) =>
    ({
      ...{ domain, offsites: ['vault'], schedule: { drill: {} } },
      drill: { depth: 'database', rotateOffsites: true },
      ...more,
    }) as unknown as InstanceConfig;
  const two = { offsites: ['vault', 'cloud'] };
  /** All that is said, at the midnight that a day begins with. */
  const problems = async (instance: InstanceConfig, day: string, ...backups: BackupsSeen['backups']) => {
    const seen = { backups, offsites: instance.offsites.map((name) => ({ name })) };
    return (await drillsOf({ state }, instance, seen, new Date(`${day}T00:00:00Z`))).problems;
  };
  const first = { backup: '20261101T031700Z', offsites: ['vault', 'cloud'] };

  test('none yet is a problem once the backups are old enough to have been drilled', async () => {
    expect(await problems(config(), '2026-11-20')).toEqual([]);
    expect(await problems(config(), '2026-11-20', first)).toEqual([]);
    expect(await problems(config(two), '2026-12-20', first)).toEqual([
      `no backup was ever drilled, and one is due every month: permafrost drill ${domain}`,
    ]);
    expect(await problems(config({ schedule: {} }), '2026-12-20', first)).toEqual([]);
  });

  test('so are one that is long ago, one that found something, and one that could not be made', async () => {
    await drilled(1, 'passed');
    expect(await problems(config(), '2026-12-10')).toEqual([]);
    expect(await problems(config(), '2026-12-12')).toEqual([
      expect.stringContaining('the last drill was 40 d 19 h ago'),
    ]);
    await drilled(2, 'findings');
    await drilled(3, 'failed', {
      error: { code: 1, type: 'ToolMissing', message: 'no PostgreSQL', next: '' },
    });
    expect(await problems(config(), '2026-11-04')).toEqual([
      expect.stringContaining('could not be made: no PostgreSQL'),
      expect.stringContaining('20261102T031700Z on vault would not restore: row-counts'),
    ]);
    await drilled(4, 'passed');
    expect(await problems(config(), '2026-11-05')).toEqual([]);
  });

  test('what was found on one off-site is told until that one passes: there, as deep, and no older backup', async () => {
    const vault = [expect.stringContaining('20261102T031700Z on vault would not restore')];
    await drilled(2, 'findings');
    await drilled(3, 'passed', { from: 'cloud' });
    await drilled(4, 'passed', { depth: 'files' });
    await drilled(5, 'passed', { backup: '20261101T031700Z' });
    expect(await problems(config(two), '2026-11-06')).toEqual(vault);
    await drilled(6, 'findings', { from: 'cloud' });
    expect(await problems(config(two), '2026-11-07')).toEqual([
      ...vault,
      expect.stringContaining('20261106T031700Z on cloud would not restore'),
    ]);
    expect(await problems(config({ offsites: ['cloud'] }), '2026-11-07')).toHaveLength(1);
    await drilled(7, 'passed', { depth: 'application' });
    await drilled(8, 'passed', { from: 'cloud' });
    expect(await problems(config(two), '2026-11-09')).toEqual([]);
  });

  test('a finding deeper than what is drilled here goes with its backup, when a newer one has passed', async () => {
    await drilled(2, 'findings', { depth: 'application' });
    await drilled(3, 'passed');
    const there = { backup: '20261102T031700Z', offsites: ['vault'] };
    expect(await problems(config(), '2026-11-04', there)).toHaveLength(1);
    expect(await problems(config(), '2026-11-04', { ...there, offsites: ['cloud'] })).toEqual([]);
    // An off-site that could not be read tells of nothing that it is gone.
    const unread = { backups: [], offsites: [{ name: 'vault', error: 'it is down' }] };
    expect((await drillsOf({ state }, config(), unread, new Date())).problems[0]).toContain('on vault');
  });

  test('drills that are shallower than what is due are none', async () => {
    await drilled(1, 'passed');
    await drilled(30, 'passed', { depth: 'files' });
    expect(await problems(config(), '2026-12-12')).toEqual([
      expect.stringContaining('the last drill at depth database was 40 d 19 h ago'),
    ]);
    expect(
      await problems(config({ drill: { depth: 'files', rotateOffsites: false } }), '2026-12-12'),
    ).toEqual([]);
  });

  test('an off-site whose turn never comes is told of, where turns are taken', async () => {
    await drilled(1, 'passed', { from: 'cloud' });
    await drilled(30, 'passed', { drill: '20261230T050000Z', finishedAt: '2026-12-30T05:10:00.000Z' });
    const late = `and its turn should have come: permafrost drill ${domain} --from cloud`;
    expect(await problems(config(two), '2027-01-20', first)).toEqual([]);
    expect(await problems(config(two), '2027-01-21', first)).toEqual([
      `no drill from cloud has passed for 80 d 19 h, ${late}`,
    ]);
    const inOrder = { ...two, drill: { depth: 'database', rotateOffsites: false } };
    expect(await problems(config(inOrder), '2027-01-21', first)).toEqual([]);
    const added = { offsites: ['vault', 'cellar'] };
    const backups = [{ backup: '20261115T031700Z', offsites: ['vault', 'cellar'] }, first];
    expect(await problems(config(added), '2027-01-21', ...backups)).toEqual([]);
    expect((await problems(config(added), '2027-02-06', ...backups)).join()).toMatch(
      /from cellar has passed yet/,
    );
  });
});
