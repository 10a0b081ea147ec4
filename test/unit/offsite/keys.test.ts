import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { localHost } from '../../../src/hosts/local.js';
import { handOverKeys, keysFolder, takeOthersKeysBack } from '../../../src/offsite/keys.js';

test('a run takes the keys of dead runs, not those of a look at an off-site that goes on beside it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-keys-'));
  const host = localHost({ folder });
  const { user } = await host.facts();
  const keysOf = (instance: string, run: string) => keysFolder(user, { folder, instance, run });
  const unique = randomBytes(6).toString('hex');
  const all = {
    own: keysOf('keys.example', '20261122T031700Z'),
    dead: keysOf('keys.example', '20261121T031700Z'),
    looking: keysOf('keys.example', `read-${unique}`),
    looked: keysOf('keys.example', `read-${unique}0`),
    other: keysOf('keys.example.org', '20261121T031700Z'),
  };
  try {
    for (const keys of Object.values(all))
      await handOverKeys(host, 'login', keys, new Map([['vault.password', 'x']]));
    const threeDaysAgo = Date.now() / 1000 - 3 * 86_400;
    utimesSync(all.looked, threeDaysAgo, threeDaysAgo);
    await takeOthersKeysBack(host, 'login', all.own);
    const left = Object.entries(all).filter(([, keys]) => existsSync(keys));
    expect(left.map(([name]) => name)).toEqual(['own', 'looking', 'other']);
  } finally {
    for (const keys of Object.values(all)) rmSync(keys, { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true });
  }
});
