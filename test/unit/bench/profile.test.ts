import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defaultPayloadConverter } from '@temporalio/common';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { expect, test } from 'vitest';
import { readHistory, type RunHistory } from '../../../bench/figures/history.js';
import { deliveryMs, mediaMs, profileOf } from '../../../bench/figures/profile.js';
import { shortly } from '../../../bench/watch/processes.js';
import { lengthOf, united, within } from '../../../bench/stretches.js';
import type { BackupReport, Phase } from '../../../src/backups/report.js';

const file = fileURLToPath(new URL('../../histories/2026-11-22/backup-sealed-brief.json', import.meta.url));
const recorded = historyFromJSON(JSON.parse(readFileSync(file, 'utf8')));
const result = recorded.events?.at(-1)?.workflowExecutionCompletedEventAttributes?.result?.payloads?.[0];
const report: BackupReport = defaultPayloadConverter.fromPayload(result ?? {});

test('stretches that touch are one; what is counted twice is not', () => {
  const stretches = [
    { from: 5, to: 9 },
    { from: 1, to: 3 },
    { from: 2, to: 5 },
    { from: 20, to: 20 },
    { from: 12, to: 14 },
  ];
  expect(united(stretches)).toEqual([
    { from: 1, to: 9 },
    { from: 12, to: 14 },
  ]);
  expect(lengthOf(stretches)).toBe(10);
  expect(within({ from: 4, to: 13 }, stretches)).toEqual([
    { from: 4, to: 9 },
    { from: 12, to: 13 },
  ]);
});

test('a recorded night is read: its steps, in the order in which they began', () => {
  const history = readHistory(recorded);
  const names = history.steps.map(({ name }) => name);
  expect(names[0]).toBe('preflight');
  expect(names.indexOf('stopServices')).toBeLessThan(names.indexOf('dumpDatabase'));
  expect(history.steps.every((step) => step.askedAt <= step.from && step.from <= step.to)).toBe(true);
  expect(Math.floor(history.from)).toBe(Date.parse(report.startedAt));
  expect(history.to).toBeGreaterThan(Date.parse(report.finishedAt));
});

test('a step whose summary says what it is about has that in its name', () => {
  const events = recorded.events?.map((event) => {
    const isUpload = event.activityTaskScheduledEventAttributes?.activityType?.name === 'uploadPart';
    const summary = defaultPayloadConverter.toPayload('media to vault');
    return isUpload ? { ...event, userMetadata: { summary } } : event;
  });
  const names = readHistory({ events: events ?? [] }).steps.map(({ name }) => name);
  expect(names).toContain('uploadPart: media to vault');
});

test('each step of it is in the phase in which it was asked for', () => {
  const { steps } = profileOf(readHistory(recorded), report.phases, { jobs: [], commands: [], handling: [] });
  const phaseOf = (name: string) => steps.find((step) => step.name.startsWith(name))?.phase;
  expect(
    ['preflight', 'prepareRun', 'stopServices', 'dumpDatabase', 'uploadPart', 'verifyCopy', 'sealCopy'].map(
      phaseOf,
    ),
  ).toEqual(['preflight', 'quiesce', 'quiesce', 'capture', 'upload', 'verify', 'seal']);
  // It tidies up when all phases are over.
  expect(phaseOf('sweepRun')).toBe('');
});

test('the delivery of a recorded night is from its first upload to its last seal', () => {
  const [upload, seal] = ['upload', 'seal'].map((wanted) =>
    report.phases.find(({ name }) => name === wanted),
  );
  const length = Date.parse(seal?.finishedAt ?? '') - Date.parse(upload?.startedAt ?? '');
  expect(length).toBeGreaterThan(0);
  expect(deliveryMs(report.phases)).toBe(length);
  expect(deliveryMs([])).toBe(0);
});

test("the media's own time is that of their index and of their uploads, whatever else is sent", () => {
  const step = (name: string, from: number, to: number) => ({ name, askedAt: from, attempts: 1, from, to });
  const steps = [
    step('dumpDatabase', 0, 9_000),
    step('indexMedia', 1_000, 3_000),
    step('uploadParts: database, secrets, redis to box', 4_000, 20_000),
    step('uploadParts: media to box', 4_000, 6_000),
    step('uploadParts: media to vault', 5_000, 7_000),
  ];
  expect(mediaMs({ steps })).toBe(5_000);
});

test('a command goes by what somebody would call it', () => {
  const wrapped = ['timeout', '-k', '5', '602.000', 'env', '-C', '/', 'LC_ALL=C', '--'];
  const restic = ['/srv/bin/restic-0.18.0', '--json', '--repo', '/srv/vault', 'ls', '2f5b', ''];
  expect(shortly([...wrapped, ...restic])).toBe('restic-0.18.0 ls 2f5b');
  expect(shortly(['sh', '-c', 'cd "$1" &&\n  find .', 'sh', '/srv'])).toBe('sh cd "$1" && find . sh');
});

/** A run of ten seconds with two steps that overlap; times in milliseconds, from its beginning. */
const run: RunHistory = {
  ...{ from: 0, to: 10_000 },
  steps: [
    { name: 'dump', askedAt: 1_000, from: 1_000, to: 6_000, attempts: 1 },
    { name: 'index', askedAt: 4_000, from: 4_000, to: 8_000, attempts: 1 },
  ],
};
const phases: Phase[] = [
  {
    name: 'capture',
    state: 'done',
    startedAt: '1970-01-01T00:00:00.999Z',
    finishedAt: '1970-01-01T00:00:08.000Z',
  },
  {
    name: 'upload',
    state: 'done',
    startedAt: '1970-01-01T00:00:03.500Z',
    finishedAt: '1970-01-01T00:00:09.000Z',
  },
];

test('orchestration is what neither a job nor a command of the backup was at work in', () => {
  const profile = profileOf(run, phases, {
    jobs: [
      { name: 'dump', from: 2_000, to: 5_000 },
      // Holds the database's moment while others work.
      { name: 'moment', from: 500, to: 9_000 },
    ],
    commands: [{ name: 'find', from: 4_500, to: 7_000 }],
    handling: [{ name: 'status', from: 1_500, to: 2_500 }],
  });
  expect(profile).toMatchObject({
    ...{ runSeconds: 10, workSeconds: 5, orchestrationSeconds: 5, idleSeconds: 4.5, betweenSeconds: 3 },
    jobs: [{ name: 'dump', from: 2, took: 3 }],
  });
  expect(profile.steps).toEqual([
    {
      ...{ phase: 'capture', name: 'dump', from: 1, took: 5, alone: 3 },
      ...{ inJobs: 3, inCommands: 1, inHandling: 0.5, attempts: 1 },
    },
    // Of two phases that are on, the one that began last.
    {
      ...{ phase: 'upload', name: 'index', from: 4, took: 4, alone: 2 },
      ...{ inJobs: 1, inCommands: 2, inHandling: 0, attempts: 1 },
    },
  ]);
});
