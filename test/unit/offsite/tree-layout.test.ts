import { describe, expect, it } from 'vitest';
import type { Manifest } from '../../../src/backups/manifest.js';
import {
  findBackups,
  hashOfPoolName,
  keepName,
  keyOfManifest,
  poolName,
  readListLine,
  readSeal,
  sealName,
  storedBackups,
  storedIndex,
} from '../../../src/offsite/tree-layout.js';

const key = 'a1b2c3d4'.repeat(4);
const one = '20261120T031700Z';
const two = '20261121T031700Z';
const sha256 = 'ab'.repeat(32);

const listing = (...paths: readonly string[]) =>
  storedBackups(findBackups(paths.map((path) => ({ path, bytes: 1 }))));

describe('the names in a tree', () => {
  it('say of a sealed backup what is in it, what it needs, and which manifest seals it', () => {
    const parts = [{ name: 'database' }, { name: 'media' }] as Manifest['parts'];
    const whole = { parts } as Manifest;
    const delta = { parts, database: { delta: { full: one } } } as Manifest;
    expect(sealName(whole, 'text')).toBe(`sealed.database-media.whole.${keyOfManifest('text')}`);
    expect(readSeal(sealName(whole, 'text'))).toEqual({
      parts: ['database', 'media'],
      key: keyOfManifest('text'),
    });
    expect(readSeal(sealName(delta, 'other'))).toMatchObject({ dependsOn: one });
    expect(keyOfManifest('text')).not.toBe(keyOfManifest('text '));
  });

  it.each([
    'sealed.database.whole',
    `sealed.database.whole.${key.slice(1)}`,
    `sealed.database.whole.${key}.partial`,
    `sealed.database-photos.whole.${key}`,
    `sealed..whole.${key}`,
    `sealed.database.on-20261120.${key}`,
    `Sealed.database.whole.${key}`,
    `xsealed.database.whole.${key}`,
  ])('do not take %s for a seal', (name) => {
    expect(readSeal(name)).toBeUndefined();
  });

  it('tell media of the pool from what is not ours', () => {
    expect(poolName(sha256)).toBe(`ab/${sha256}`);
    expect(hashOfPoolName(poolName(sha256))).toBe(sha256);
    for (const name of [sha256, `ac/${sha256}`, `ab/${sha256}.partial`, `ab/${sha256.slice(2)}`, 'ab/README'])
      expect(hashOfPoolName(name), name).toBeUndefined();
  });

  it('are read of lines, whatever else a tool prints', () => {
    expect(readListLine(`12\tab/${sha256}`)).toEqual({ path: `ab/${sha256}`, bytes: 12 });
    for (const line of ['', '12', '-1\tx', '12 x', '12\t/x', '12\tx//y', '12\ta b'])
      expect(readListLine(line), line).toBeUndefined();
  });
});

describe('a listing', () => {
  it('shows what is sealed, newest first, and what a dead run has left', () => {
    const seal = `sealed.database-media.on-${one}.${key}`;
    const found = listing(
      `${one}/sealed.database.whole.${key}`,
      `${one}/database/database.dump.zst`,
      `${one}/manifest.json`,
      `${two}/${seal}`,
      '20261122T031700Z/media/media.index.zst',
      'somebody/else.txt',
      'notes.txt',
    );
    expect(found.sealed).toEqual([
      { backup: two, parts: ['database', 'media'], dependsOn: one, key },
      { backup: one, parts: ['database'], key },
    ]);
    expect(found.unsealed).toEqual(['20261122T031700Z']);
  });

  it('does not need a manifest for a backup to be listed: reading it says what is wrong', () => {
    expect(listing(`${one}/sealed.redis.whole.${key}`).sealed).toHaveLength(1);
  });

  it('gives one of several seals, and the latest of several marks', () => {
    const other = 'f'.repeat(32);
    const seals = [`${one}/sealed.redis.whole.${key}`, `${one}/sealed.redis.whole.${other}`];
    expect(listing(...seals)).toEqual(listing(...seals.toReversed()));
    expect(listing(...seals).sealed).toHaveLength(1);
    const kept = (...untils: readonly (string | null)[]) =>
      listing(seals[0] ?? '', ...untils.map((until) => `${one}/${keepName(until)}`)).sealed[0]?.kept;
    expect(kept()).toBeUndefined();
    expect(kept('2027-02-01', '2027-01-31')).toBe('2027-02-01');
    expect(kept('2027-02-01', null, '2999-01-01')).toBe('forever');
  });

  it('finds the media index of a backup, however it is stored', () => {
    const index = (path: string) => findBackups([{ path: `${one}/${path}`, bytes: 1 }]).map(storedIndex)[0];
    expect(index('media/media.index.zst')).toBe('media/media.index.zst');
    expect(index('media/media.index')).toBe('media/media.index');
    expect(index('media.index')).toBeUndefined();
    expect(index('database/media.index')).toBeUndefined();
  });
});
