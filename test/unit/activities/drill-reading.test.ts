import { expect, test } from 'vitest';
import { needListed, readerOf } from '../../../src/activities/drill-reading.js';
import type { StoredBackups } from '../../../src/offsite/offsite.js';

const backup = '20261121T031700Z';
const proof = (passed: boolean) => ({
  checks: [
    { name: 'media-index', passed: true, detail: '', durationMs: 1 },
    { name: 'media-sample', passed, detail: '', durationMs: 1 },
  ],
  notProven: [],
});
const vault = (...backups: string[]) => ({
  name: 'vault',
  list: (): Promise<StoredBackups> =>
    Promise.resolve({
      sealed: backups.map((backup) => ({ backup, parts: ['media'], key: backup })),
      unsealed: [],
    }),
});

test('what is missing of a backup that somebody has removed meanwhile is no finding', async () => {
  await expect(needListed(vault('20261122T031700Z'), backup, proof(false))).rejects.toMatchObject({
    ...{ type: 'NotFound', message: `${backup} was removed from vault while it was drilled` },
  });
  await needListed(vault(backup), backup, proof(false));
  await needListed(vault(), backup, proof(true));
});

test('a drill marks what it reads by a short name of its own', () => {
  const one = { instance: `${'a'.repeat(60)}.${'b'.repeat(180)}.example`, drill: backup };
  expect(readerOf(one)).toMatch(/^drill-20261121T031700Z-[0-9a-f]{12}$/);
  expect(readerOf({ ...one, instance: 'other.example' })).not.toBe(readerOf(one));
});
