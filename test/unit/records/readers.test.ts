import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { beingRead, endReading, readingOn, withReading } from '../../../src/records/readers.js';

const backup = '20261121T031700Z';

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'permafrost-readers-'));
});
afterEach(() => rmSync(state, { recursive: true }));

const marks = () => readdirSync(join(state, 'reading'));

test('a backup is being read while somebody reads it, there and nowhere else', async () => {
  expect(await beingRead(state, 'vault')).toEqual(new Set());
  await withReading(state, 'vault', backup, () =>
    withReading(state, 'vault', backup, async () => {
      expect(await beingRead(state, 'vault')).toEqual(new Set([backup]));
      expect(await beingRead(state, 'cellar')).toEqual(new Set());
    }),
  );
  expect(await beingRead(state, 'vault')).toEqual(new Set());
});

test('also when reading fails, the mark is taken off', async () => {
  const failing = withReading(state, 'vault', backup, () => Promise.reject(new Error('unreadable')));
  await expect(failing).rejects.toThrow('unreadable');
  expect(marks()).toEqual([]);
});

test('readers that are gone, or hang, hold nothing after a while; their marks are removed', async () => {
  await withReading(state, 'vault', backup, async () => {
    const hanging = join(state, 'reading', `vault_20261102T031700Z_${String(process.pid)}_x`);
    writeFileSync(hanging, '');
    const eleven = new Date(Date.now() - 11 * 60_000);
    utimesSync(hanging, eleven, eleven);
    expect(await beingRead(state, 'vault')).toEqual(new Set([backup]));
    expect(marks()).toHaveLength(1);
  });
});

test('a reader in a container, whose process is not to be seen from here, is one all the same', async () => {
  await withReading(state, 'vault', backup, async () => {
    writeFileSync(join(state, 'reading', 'vault_20261101T031700Z_99999999_x'), '');
    expect(await beingRead(state, 'vault')).toEqual(new Set([backup, '20261101T031700Z']));
  });
});

test('one who reads in several steps is not forgotten between them, until he has ended', async () => {
  const drill = { offsite: 'vault', backup, reader: 'drill-20261122T050000Z-1' };
  const another = { ...drill, reader: 'drill-20261122T050000Z-2' };
  await readingOn(state, drill, () => Promise.resolve());
  await readingOn(state, another, () => Promise.resolve());
  await endReading(state, another.reader);
  expect(await beingRead(state, 'vault')).toEqual(new Set([backup]));
  const [mark = ''] = marks();
  const eleven = new Date(Date.now() - 11 * 60_000);
  utimesSync(join(state, 'reading', mark), eleven, eleven);
  await readingOn(state, drill, async () => {
    expect(await beingRead(state, 'vault')).toEqual(new Set([backup]));
  });
  await endReading(state, drill.reader);
  expect(marks()).toEqual([]);
});
