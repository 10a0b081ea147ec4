import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { capturedMedia, changedAtSource } from '../../../src/activities/captured-media.js';
import { rememberSealed } from '../../../src/activities/seal.js';
import {
  keepSealedIndex,
  lastIndexPath,
  sealedIndex,
  type Spool,
  spoolOf,
} from '../../../src/activities/spool.js';
import { emptyHeader, type MediaRecord, writeMediaIndex } from '../../../src/backups/media-index.js';
import type { Host } from '../../../src/hosts/host.js';
import { localHost } from '../../../src/hosts/local.js';
import type { Offsite } from '../../../src/offsite/offsite.js';

const run = { instance: 'captured.example', backup: '20261122T031700Z', token: 'token' };
const before = { ...run, backup: '20261121T031700Z' };

let folder: string;
let host: Host;
let spool: Spool;
let root: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-captured-'));
  host = localHost({ folder: join(folder, 'host') });
  spool = await spoolOf(host, { appUser: (await host.facts()).user }, run);
  root = join(folder, 'system');
  mkdirSync(root);
});
afterEach(async () => {
  await host.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A file at the source, as the index has it. */
function file(path: string, content: string): MediaRecord {
  const pathBytes = Buffer.from(path);
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
  utimesSync(join(root, path), 1_795_309_000, 1_795_309_000.25);
  return {
    ...{
      path,
      pathBytes,
      sha256: createHash('sha256').update(content).digest('hex'),
      size: Buffer.byteLength(content),
    },
    ...{ mtime: '1795309000.250000000', mode: 0o644, uid: 1, gid: 1 },
  };
}

function writeIndex(records: readonly MediaRecord[]): string {
  const path = join(spool.media.folder, 'index/media.index');
  mkdirSync(dirname(path), { recursive: true });
  const sorted = [...records].sort((one, other) => Buffer.compare(one.pathBytes, other.pathBytes));
  rmSync(path, { force: true }); // made anew every night: what was kept of the last one stays as it was
  writeFileSync(path, Buffer.concat([...writeMediaIndex(sorted, emptyHeader())]));
  return path;
}

async function readTonight(
  sealed: readonly string[],
  share = { new: 1, old: 0 },
  backup = run.backup,
): Promise<string[]> {
  const copy = {
    name: 'vault',
    list: () => Promise.resolve({ sealed: sealed.map((one) => ({ backup: one })), unsealed: [] }),
  } as unknown as Offsite;
  const files = await capturedMedia({ copy, domain: run.instance, backup, host, spool, share });
  const read: string[] = [];
  for await (const one of files()) if (one.read) read.push(one.record.path);
  return read;
}

test('new is what the off-site was not sealed with; all, when it has lost that backup or the index is broken', async () => {
  const old = [file('a/1', 'one'), file('b\n2', 'two'), file('c/3', 'three'), file('d', 'four')];
  const kept = writeIndex(old);
  await keepSealedIndex(host, spool, before, 'vault', kept);
  const changed = file('c/3', 'THREE');
  writeIndex([
    ...old.filter(({ path }) => path !== 'c/3' && path !== 'd'),
    changed,
    file('aa', 'new'),
    file('z', 'new'),
  ]);
  expect(await readTonight([before.backup])).toEqual(['aa', 'c/3', 'z']);
  const all = ['a/1', 'aa', 'b\n2', 'c/3', 'z'];
  expect(await readTonight([])).toEqual(all); // emptied meanwhile
  const { path = '' } = (await sealedIndex(host, spool, run.instance, 'vault')) ?? {};
  writeFileSync(path, 'rubbish');
  expect(await readTonight([before.backup])).toEqual(all);
  expect(await sealedIndex(host, spool, run.instance, 'cellar')).toBeUndefined();
});

test('an off-site that gets every second backup is read through in as many nights of its own', async () => {
  const records = Array.from({ length: 40 }, (_, at) => file(`class/media/${String(at)}/1/a`, String(at)));
  const index = writeIndex(records);
  const sealed: string[] = [];
  const seal = async (night: number) => {
    const backup = `202611${String(night + 10)}T031700Z`;
    const picked = await readTonight(sealed, { new: 1, old: 0.5 }, backup);
    await keepSealedIndex(host, spool, { ...run, backup }, 'vault', index);
    sealed.push(backup);
    return picked;
  };
  await seal(0);
  const read: string[] = [];
  for (const night of [2, 4]) read.push(...(await seal(night)));
  expect(read.sort()).toEqual(records.map(({ path }) => path).sort());
  expect(read).toHaveLength(40); // and none twice
});

test('the index that an off-site was sealed with takes no room of its own, and only the last one stays', async () => {
  const index = writeIndex([file('a', 'one')]);
  for (const offsite of ['vault', 'vault-2'])
    for (const one of [before, run]) await keepSealedIndex(host, spool, one, offsite, index);
  await keepSealedIndex(host, spool, run, 'vault', index); // a second attempt
  const kept = dirname(await lastIndexPath(host, spool, run.instance));
  expect(readdirSync(kept).sort()).toEqual([
    `${run.instance}.index.on-vault-2.${run.backup}.1`,
    `${run.instance}.index.on-vault.${run.backup}.1`,
  ]);
  expect(statSync(index).nlink).toBe(3);
});

test('an index that cannot be kept takes nothing from a backup that is sealed, and the one before stays', async () => {
  const index = writeIndex([file('a', 'one')]);
  await keepSealedIndex(host, spool, before, 'vault', index);
  rmSync(index);
  await expect(keepSealedIndex(host, spool, run, 'vault', index)).rejects.toThrow();
  await new MockActivityEnvironment().run(() => rememberSealed(host, spool, run, 'vault'));
  expect(await sealedIndex(host, spool, run.instance, 'vault')).toMatchObject({ backup: before.backup });
});

test('what users deleted or changed since the index is told apart from what is there as it was', async () => {
  const names = ['plain', 'with space ', 'new\nline', '-dash', 'quo"te', 'ünï'];
  const there = names.map((name) => file(`some/${name}`, name));
  const gone = file('gone', 'x');
  rmSync(join(root, 'gone'));
  const touched = file('touched', 'x');
  utimesSync(join(root, 'touched'), 1_795_309_000, 1_795_309_000.5);
  const longer = file('longer', 'x');
  writeFileSync(join(root, 'longer'), 'xx');
  utimesSync(join(root, 'longer'), 1_795_309_000, 1_795_309_000.25);
  const look = changedAtSource(host, spool, root);
  expect([...(await look([...there, gone, touched, longer]))].sort()).toEqual(['gone', 'longer', 'touched']);
  expect([...(await look([]))]).toEqual([]);
});

test('media that are away as a whole, as when a disk is not mounted, are no users deleting files', async () => {
  const files = [file('a', 'x'), file('b', 'x')];
  renameSync(root, `${root}.away`);
  mkdirSync(root); // an empty mount point
  expect([...(await changedAtSource(host, spool, root)(files))]).toEqual([]);
  rmSync(root, { recursive: true });
  expect([...(await changedAtSource(host, spool, root)(files))]).toEqual([]);
});
