import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { noteRemovals, removedFrom, takeRemovalsBack } from '../../../src/records/removals.js';

const [one, other, third] = ['20261101T031700Z', '20261102T031700Z', '20261103T031700Z'] as const;
const vault = { instance: 'example.social', offsite: 'vault' };

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'permafrost-removals-'));
});
afterEach(() => rmSync(state, { recursive: true }));

test('what was removed from where is remembered; what could not be removed is not', async () => {
  expect(await removedFrom(state, vault)).toEqual(new Set());
  await noteRemovals(state, vault, [one]);
  await noteRemovals(state, vault, [other, third]);
  await takeRemovalsBack(state, vault, [other, third]);
  expect(await removedFrom(state, vault)).toEqual(new Set([one]));
  expect(await removedFrom(state, { ...vault, offsite: 'cellar' })).toEqual(new Set());
  expect(await removedFrom(state, { ...vault, instance: 'other.example' })).toEqual(new Set());
});
