import { createHash } from 'node:crypto';
import { lstat, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Host } from '../../../src/hosts/host.js';
import { localHost } from '../../../src/hosts/local.js';
import { toolPath } from '../../../src/hosts/tools.js';
import { fetchEntry } from '../../../src/offsite/dump-files.js';
import type { Offsite, StoredPartRef } from '../../../src/offsite/offsite.js';
import { resticOffsite } from '../../../src/offsite/restic.js';

/** Files that come out of a repository into which somebody else may have written, too. */

const restic = toolPath('restic').path;
const large = 20 << 20;
let folder: string;
let host: Host;
let offsite: Offsite;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-restic-save-'));
  host = localHost({ folder: join(folder, 'host') });
  const keys = join(folder, 'keys');
  await mkdir(keys);
  const repository = join(folder, 'repository');
  await writeFile(join(keys, 'vault.password'), 'long\n');
  await writeFile(join(keys, 'vault.repository'), `${repository}\n`);
  const place = {
    ...{ host, as: 'login' as const, keys, tool: () => Promise.resolve(restic) },
    ...{ cache: join(folder, 'cache'), work: join(folder, 'work') },
  };
  const passwordFile = join(keys, 'vault.password');
  offsite = resticOffsite(
    { kind: 'restic', name: 'vault', repository, passwordFile },
    place,
    'sample.example',
  );
  await offsite.create();
});
afterAll(async () => {
  await host.close();
  await rm(folder, { recursive: true, force: true });
});

/** A snapshot of a folder, as whoever has the password makes one. */
async function snapshotOf(root: string): Promise<StoredPartRef> {
  const words = ['-r', join(folder, 'repository'), '-p', join(folder, 'keys/vault.password'), '--json'];
  const { stdout } = await execa(restic, [...words, 'backup', root]);
  const [, snapshot = ''] = /"snapshot_id":"([0-9a-f]+)"/.exec(stdout) ?? [];
  return { backup: '20261122T031700Z', name: 'database', snapshot, root };
}

test('a large one is whole, private, and its reader’s own, whoever it belonged to', async () => {
  const root = join(folder, 'whole');
  await mkdir(root);
  const content = Buffer.alloc(large, 'posts and accounts ');
  await writeFile(join(root, 'database.dump'), content, { mode: 0o666 });
  if (process.getuid?.() === 0) await execa('chown', ['nobody', join(root, 'database.dump')]);
  const ref = await snapshotOf(root);
  const file = join(folder, 'came');
  const entry = {
    ...{ path: 'database.dump', bytes: large },
    sha256: createHash('sha256').update(content).digest('hex'),
  };
  const told: number[] = [];
  expect(await fetchEntry(offsite, { ref, entry }, host, file, (bytes) => told.push(bytes))).toBeUndefined();
  expect((await readFile(file)).equals(content)).toBe(true);
  const { mode, uid } = await stat(file);
  expect([mode & 0o7777, uid]).toEqual([0o600, process.getuid?.()]);
  expect(told.reduce((sum, bytes) => sum + bytes, 0)).toBe(large);
});

test('a link in its place leads nowhere: what it points at stays as it was', async () => {
  const victim = join(folder, 'victim');
  await writeFile(victim, 'of somebody else', { mode: 0o644 });
  const root = join(folder, 'linked');
  await mkdir(root);
  await symlink(victim, join(root, 'database.dump'));
  const ref = await snapshotOf(root);
  const file = join(folder, 'linked-came');
  expect(await offsite.saveEntry?.(ref, 'database.dump', file)).toBe(false);
  await expect(lstat(file)).rejects.toThrow('ENOENT');
  const entry = { path: 'database.dump', bytes: large, sha256: '0'.repeat(64) };
  expect(await fetchEntry(offsite, { ref, entry }, host, file, () => undefined)).toMatch(/cannot be read/);
  expect(await readFile(victim, 'utf8')).toBe('of somebody else');
  expect((await stat(victim)).mode & 0o7777).toBe(0o644);
});
