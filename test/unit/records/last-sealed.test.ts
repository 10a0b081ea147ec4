import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { PartName } from '../../../src/backups/parts.js';
import type { BackupReport, BackupStatus, MediaPlace } from '../../../src/backups/report.js';
import { lastSealed } from '../../../src/records/last-sealed.js';
import { recordRun } from '../../../src/records/record-run.js';

const instance = 'example.social';
const onDisk: MediaPlace = { path: '/srv/media', mountPoint: '/srv', fstype: 'ext4' };

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'permafrost-records-'));
});
afterEach(() => rmSync(state, { recursive: true }));

/** The report of a run on this day of November: of each part so many bytes, and of the database three times as many. */
function report(day: number, status: BackupStatus, bytes: Partial<Record<PartName, number>>): BackupReport {
  const names = Object.keys(bytes) as PartName[];
  const backup = `202611${String(day).padStart(2, '0')}T031700Z`;
  return {
    ...{ backup, instance, status, workflowId: `backup/${instance}/${backup}`, runId: 'r' },
    ...{
      startedAt: `2026-11-${String(day)}T03:17:00.000Z`,
      finishedAt: `2026-11-${String(day)}T03:20:00.000Z`,
    },
    ...{ quiesce: 'brief', downtimeMs: 900, services: 'up', offsites: [], phases: [], warnings: [] },
    parts: names.map((name) => ({ name, bytes: bytes[name] ?? 0, files: 2 })),
    plan: {
      ...{ instance, host: 'local', quiesce: 'brief', offsites: [], services: [], leaseMs: 1, budgetMs: 1 },
      ...{ spoolFreeBytes: 1, spoolNeedBytes: 1, warnings: [] },
      parts: names.map((name) =>
        name === 'database' ? { name, sourceBytes: 3 * (bytes[name] ?? 0) } : { name },
      ),
      ...(names.includes('media') ? { mediaPlace: onDisk } : {}),
    },
  };
}

async function remembered() {
  const warnings: string[] = [];
  return { last: await lastSealed(state, instance, (text) => warnings.push(text)), warnings };
}

test('a new machine remembers nothing, and says nothing', async () => {
  expect(await remembered()).toEqual({ last: null, warnings: [] });
});

test('each part is that of the newest run that sealed it, wherever', async () => {
  await recordRun(state, report(10, 'sealed', { database: 10, secrets: 10, media: 10, redis: 10 }));
  await recordRun(state, report(12, 'partial', { database: 12, secrets: 12 }));
  await recordRun(state, report(13, 'failed', { database: 13, media: 13 }));
  await recordRun(state, report(14, 'cancelled', { database: 14 }));
  expect(await remembered()).toEqual({
    warnings: [],
    last: {
      backup: '20261112T031700Z',
      finishedAt: '2026-11-12T03:20:00.000Z',
      databaseBytes: 36,
      mediaPlace: onDisk,
      parts: {
        database: { bytes: 12, files: 2 },
        secrets: { bytes: 12, files: 2 },
        media: { bytes: 10, files: 2 },
        redis: { bytes: 10, files: 2 },
      },
    },
  });
});

test('runs that failed are no memory', async () => {
  await recordRun(state, report(13, 'failed', { database: 13 }));
  expect((await remembered()).last).toBeNull();
});

test('a broken record is passed over with a word; a half-written one is no record', async () => {
  await recordRun(state, report(10, 'sealed', { database: 10 }));
  const folder = join(state, 'runs', instance);
  writeFileSync(join(folder, '20261113T031700Z.json'), '{ "backup":');
  writeFileSync(join(folder, '20261114T031700Z.json'), '{ "status": "sealed" }');
  writeFileSync(join(folder, '20261115T031700Z.json.new'), '{');
  const { last, warnings } = await remembered();
  expect(last).toMatchObject({ backup: '20261110T031700Z', databaseBytes: 30 });
  expect(warnings).toEqual([
    `The record ${folder}/20261114T031700Z.json cannot be read (not the report of a run) and was passed over.`,
    `The record ${folder}/20261113T031700Z.json cannot be read (not JSON) and was passed over.`,
  ]);
});

test('a report of a version that remembered less, or more, is read', async () => {
  const { plan, ...old } = report(10, 'sealed', { database: 10 });
  expect(plan).toBeDefined();
  await recordRun(state, old);
  expect((await remembered()).last).toEqual({
    ...{ backup: '20261110T031700Z', finishedAt: '2026-11-10T03:20:00.000Z' },
    parts: { database: { bytes: 10, files: 2 } },
  });
  const newer = { ...report(11, 'sealed', { database: 11 }), invented: { later: true } };
  await recordRun(state, newer);
  expect((await remembered()).last).toMatchObject({ databaseBytes: 33 });
});
