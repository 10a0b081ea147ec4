import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { Dice } from '../../../bench/data/dice.js';
import { Population, sizeOf } from '../../../bench/data/population.js';
import { type Cast, statusRows } from '../../../bench/data/rows.js';
import { Words } from '../../../bench/data/words.js';
import { readOptions } from '../../../bench/options.js';
import { attachmentFolder } from '../../../sample/files.js';

const population = new Population(sizeOf({ databaseBytes: 60e6, mediaFiles: 2000, mediaBytes: 100e6 }));

test('ids are snowflakes, each of them once, and newer ones are higher', () => {
  const ids = Array.from({ length: 2_000 }, (_, index) => population.statusId(index));
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).toEqual([...ids].sort((a, b) => (a < b ? -1 : 1)));
  expect(String(ids[0])).toMatch(/^1\d{17}$/);
});

test('there are about three folders for each media file', () => {
  const full = new Population(sizeOf({ databaseBytes: 1.5e9, mediaFiles: 60_000, mediaBytes: 3e9 }));
  const folders = new Set<string>();
  const count = full.size.attachments;
  for (let index = 0; index < count; index++) {
    let path = attachmentFolder('media_attachments/files', full.attachmentId(index), false);
    for (const style of ['original', 'small']) folders.add(`${path}/${style}`);
    for (; path.includes('/') && !folders.has(path); path = path.slice(0, path.lastIndexOf('/')))
      folders.add(path);
  }
  expect(folders.size / (2 * count)).toBeGreaterThan(2.8);
  expect(folders.size / (2 * count)).toBeLessThan(3.4);
});

test('rows compress as those of a real server do: about three to one', () => {
  const dice = new Dice('test');
  const cast: Cast = {
    ...{ population, locals: [1n, 2n], domain: 'bench.example', dice, words: new Words(dice) },
    accounts: { first: 0, count: 500 },
  };
  const text = [...statusRows(cast, { first: 0, count: 4_000 })].join('');
  expect(text.length / gzipSync(text).length).toBeGreaterThan(2.5);
  expect(text.length / gzipSync(text).length).toBeLessThan(4.5);
  expect(text).not.toContain('undefined');
});

test('the data set is the one of the figures unless something else is asked for', () => {
  expect(readOptions([])).toMatchObject({
    databaseBytes: 1.5e9,
    mediaFiles: 60_000,
    mediaBytes: 3e9,
    rounds: 3,
  });
  expect(readOptions(['--small', '--media-size', '1.2GB', '--only', 'recipe,permafrost'])).toMatchObject({
    ...{ databaseBytes: 60e6, mediaBytes: 1.2e9, only: ['recipe', 'permafrost'] },
  });
});
