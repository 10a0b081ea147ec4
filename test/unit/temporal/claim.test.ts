import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { claimFolder } from '../../../src/temporal/claim.js';
import { markOf } from '../../../src/temporal/processes.js';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-claim-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const refusal = expect.objectContaining({ type: 'Refused' });

test('a folder has one holder at a time, and is left as it was', () => {
  const claim = claimFolder(folder);
  expect(() => claimFolder(folder)).toThrow(refusal);
  claim.release();
  expect(readdirSync(folder)).toEqual([]);
  claimFolder(folder).release();
});

test('the claim of a living process is kept, that of a dead one is not', async () => {
  const other = spawn('sleep', ['60']);
  writeFileSync(join(folder, 'up.json'), JSON.stringify(markOf(other.pid ?? 0)));
  expect(() => claimFolder(folder)).toThrow(`Process ${other.pid} already runs`);

  other.kill('SIGKILL');
  await once(other, 'exit');
  claimFolder(folder).release();
});

test('a later process of the same number holds nothing', () => {
  writeFileSync(join(folder, 'up.json'), JSON.stringify({ pid: process.pid, started: 'another boot:1' }));
  claimFolder(folder).release();
});

test('a claim that cannot be read holds nothing', () => {
  writeFileSync(join(folder, 'up.json'), '');
  claimFolder(folder).release();
});
