import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Host } from '../../../src/hosts/host.js';
import { fetchEntry } from '../../../src/offsite/dump-files.js';
import type { Offsite } from '../../../src/offsite/offsite.js';

test('what is told of a fetch on another machine ends with it, and who wants it no more is heard', async () => {
  const sha256 = createHash('sha256').digest('hex');
  let looks = 0;
  const host = {
    name: 'another',
    async run(argv: readonly string[]) {
      if (!argv.some((word) => word.includes('stat -c'))) return { exitCode: 0, stdout: sha256, stderr: '' };
      looks += 1;
      await sleep(300);
      return { exitCode: 0, stdout: '40', stderr: '' };
    },
  } as unknown as Host;
  const copy = { saveEntry: () => sleep(2_150, true) } as unknown as Offsite;
  const dump = {
    ref: { backup: '20261122T031700Z', name: 'database', files: [] },
    entry: { path: 'database.dump', bytes: 100, sha256 },
  } as unknown as Parameters<typeof fetchEntry>[1];
  const told: number[] = [];
  let after = 0;
  const [came, unwanted] = await Promise.all([
    fetchEntry(copy, dump, host, '/x', (bytes) => told.push(bytes)).finally(() => (after = told.length)),
    fetchEntry(copy, dump, host, '/x', () => {
      throw new Error('cancelled');
    }).catch(String),
  ]);
  await sleep(400);
  expect({ came, looks, told, after }).toEqual({ came: undefined, looks: 2, told: [40, 60], after: 2 });
  expect(unwanted).toBe('Error: cancelled');
});
