import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DatabaseBase } from '../../../src/activities/database-base.js';
import { localHost } from '../../../src/hosts/local.js';
import type { StoredPartRef } from '../../../src/offsite/offsite.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-base-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a walk is remembered for each off-site, and a new full dump does not count as one', async () => {
  const host = localHost({ folder });
  const base = await DatabaseBase.of(host, 'example.social');
  const adopt = async (backup: string) => {
    const signature = join(folder, 'signature');
    writeFileSync(signature, backup);
    const ref: StoredPartRef = { backup, name: 'database', snapshot: backup };
    await base.adopt(
      {
        ...{ backup, bytes: 1, sha256: 'a', blockSize: 512, signatureSha256: 'b' },
        ...{ pgMajor: 15, mastodon: null, schema: null, storedBytes: 1 },
      },
      signature,
      [{ name: 'vault', ref }],
    );
    expect(await base.sealedOn('vault', backup)).toMatchObject(ref);
  };
  await adopt('20261115T031700Z');
  expect(await base.walkedAt('vault')).toBeUndefined();
  const walkedAt = '2026-11-16T03:17:00.000Z';
  await base.noteWalked('vault', walkedAt);
  await adopt('20261122T031700Z');
  expect(await base.sealedOn('vault', '20261115T031700Z')).toBeNull();
  expect([await base.walkedAt('vault'), await base.walkedAt('cellar')]).toEqual([walkedAt, undefined]);
});
