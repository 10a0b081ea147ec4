import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { stagingOf } from '../../../src/activities/restore-ground.js';
import { rememberInPlace } from '../../../src/activities/restore-remembered.js';
import { sweepRestoreOn } from '../../../src/activities/restore-sweep.js';
import type { Host } from '../../../src/hosts/host.js';
import { localHost } from '../../../src/hosts/local.js';
import { rememberedRestores } from '../../../src/records/restores.js';
import { Journal } from '../../../src/restore/journal.js';

/** What is left of a restore that nobody looks after any more, as far as its swap had come. */

const instance = 'example.social';
const restore = '20261122T000001Z';

let folder: string;
let host: Host;
let media: string;
let secrets: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-sweep-'));
  host = localHost({ folder: join(folder, 'host') });
  const staging = await stagingOf(host, instance, restore);
  media = join(folder, 'media.png');
  secrets = join(staging.parts, 'secrets.tar');
  await mkdir(staging.parts, { recursive: true });
  await writeFile(secrets, 'secret');
  await writeFile(media, 'restored');
  await writeFile(staging.added, `as login\0${String((await stat(media)).ino)} ${media}\0`);
});
afterEach(async () => {
  await host.close();
  await rm(folder, { recursive: true, force: true });
});

async function swapThatCameTo(...lines: string[]): Promise<void> {
  const journal = await Journal.of({ host, domain: instance, restore });
  await journal.make();
  await journal.write('journal', lines.map((line) => `${line}\n`).join(''));
  const plan = {
    ...{ restore, domain: instance, backup: '20261121T031700Z', parts: ['media', 'secrets'] },
    ...{ madeAt: '2026-11-22T00:00:02.000Z', undoUntil: '2026-11-29T00:00:02.000Z', inPlace: true },
    ...{ attempt: 1, lines: [], warnings: [], steps: [], admin: null, appUser: 'root' },
    ...{ redis: null, cache: null },
  };
  await journal.write('plan.json', JSON.stringify(plan));
}

const remembered = async () => {
  await rememberInPlace(folder, host, { instance, restore, from: 'vault' });
  return rememberedRestores(folder, instance);
};

test('of one that is in place its media stay, and it can be taken back', async () => {
  await swapThatCameTo('forward', 'whole');
  await sweepRestoreOn(host, { instance, backup: restore });
  expect(existsSync(media)).toBe(true);
  expect(existsSync(secrets)).toBe(false);
  const whole = [{ restore, from: 'vault', parts: ['media', 'secrets'], undo: 'possible', gone: false }];
  expect(await remembered()).toMatchObject(whole);
});

test('of one that is not, nothing stays', async () => {
  await sweepRestoreOn(host, { instance, backup: restore });
  expect(existsSync(media)).toBe(false);
  expect(existsSync(join(folder, 'host/restore'))).toBe(true);
  expect(existsSync(join(folder, 'host/restore', instance))).toBe(false);
  expect(await remembered()).toEqual([]);
});

test('of one that is half in place the secrets that it had fetched go nevertheless', async () => {
  await swapThatCameTo('forward', '0 begun');
  await expect(sweepRestoreOn(host, { instance, backup: restore })).rejects.toMatchObject({ type: 'Busy' });
  expect(existsSync(secrets)).toBe(false);
  expect(await remembered()).toEqual([]);
});
