import { expect, test } from 'vitest';
import type { MediaRecord } from '../../../src/backups/media-index.js';
import { MediaBatch } from '../../../src/offsite/media-batch.js';

function record(number: number, size = 1000): MediaRecord {
  const path = `media_attachments/files/${String(number).padStart(9, '0')}`;
  const rest = { sha256: '', mtime: '0.000000000', mode: 0o644, uid: 1, gid: 1 };
  return { path, pathBytes: Buffer.from(path), size, ...rest };
}

/** The sizes of the batches that so many files come to, one after each `between` that are there already. */
function batchesOf(files: number, { between = 0, size = 1000 } = {}): number[] {
  const batch = new MediaBatch();
  const taken = Array.from({ length: files }, (_, number) => {
    if (between > 0) batch.passOver(between);
    return batch.add(record(number, size)).records.length;
  });
  return [...taken, batch.take().records.length].filter((length) => length > 0);
}

test('where all are missing many go together, since their folders are fetched', () => {
  expect(batchesOf(45_000)).toEqual([20_000, 20_000, 5_000]);
  expect(batchesOf(0)).toEqual([]);
});

test('few among many that are there go by their names', () => {
  expect(batchesOf(2_500, { between: 3 })).toEqual([1_000, 1_000, 500]);
});

test('no more than a GiB waits, but for a file that is larger', () => {
  expect(batchesOf(5, { size: 400 << 20 })).toEqual([2, 2, 1]);
  expect(batchesOf(2, { size: 3 * 2 ** 30 })).toEqual([1, 1]);
});

test('none is lost or comes twice', () => {
  const batch = new MediaBatch();
  const all = Array.from({ length: 41_234 }, (_, number) => record(number));
  const taken = all.flatMap((one, number) => {
    if (number % 7 === 0) batch.passOver(number % 11);
    return batch.add(one).records;
  });
  expect([...taken, ...batch.take().records]).toEqual(all);
});
