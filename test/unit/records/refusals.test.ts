import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { noteRefusal, recentRefusals } from '../../../src/records/refusals.js';

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'permafrost-refusals-'));
});
afterEach(() => rmSync(state, { recursive: true }));

const refusal = (at: Date, more = {}) => ({
  ...{ at: at.toISOString(), what: 'restore', workflowId: 'restore/example.social', runId: randomUUID() },
  ...{ startedBy: 'somebody', why: 'there is no such permit', ...more },
});
const days = (count: number) => new Date(Date.now() + count * 86_400_000);

test('is told for a week, once for each run, of its own instance', async () => {
  const [old, today] = [refusal(days(-8)), refusal(days(0))];
  await noteRefusal(state, 'example.social', old, days(-8));
  await noteRefusal(state, 'example.social', today);
  await noteRefusal(state, 'example.social', today); // another attempt of the same step
  expect(await recentRefusals(state, 'example.social')).toEqual([today]);
  expect(await recentRefusals(state, 'other.example')).toEqual([]);
  expect(await recentRefusals(state, 'example.social', days(8))).toEqual([]);
});

test('thousands fill no disk, and what somebody calls himself is no line of its own', async () => {
  for (let count = 0; count < 60; count++)
    await noteRefusal(state, 'example.social', refusal(days(0), { startedBy: 'a\n{"at":"x"}' }));
  expect(await recentRefusals(state, 'example.social')).toHaveLength(50);
  expect(readFileSync(join(state, 'refusals/example.social'), 'utf8').trim().split('\n')).toHaveLength(50);
});
