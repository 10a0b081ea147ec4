import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  emptyHeader,
  type MediaRecord,
  readMediaIndex,
  writeMediaIndex,
} from '../../../src/backups/media-index.js';

const record: MediaRecord = {
  ...{ path: 'a', pathBytes: Buffer.from('a'), sha256: '0'.repeat(64) },
  ...{ size: 3, mtime: '1700000000.123456789', mode: 0o600, uid: 991, gid: 991 },
};

async function read(bytes: Buffer, header = emptyHeader(), step = 7): Promise<MediaRecord[]> {
  const chunks = Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) =>
    bytes.subarray(i * step, (i + 1) * step),
  );
  const records = [];
  for await (const each of readMediaIndex(Readable.from(chunks), header)) records.push(each);
  return records;
}

function written(records: Iterable<MediaRecord>, header = emptyHeader()): Buffer {
  return Buffer.concat([...writeMediaIndex(records, header)]);
}

const name = fc
  .uint8Array({ minLength: 1, maxLength: 40 })
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 ? 92 : byte))));
const nasty = fc
  .constantFrom('\n', '\r', '\\', '\\n', '#', '# end 0 0', ' ', '  x', '\'"', '-')
  .map((s) => Buffer.from(s));

describe('the media index', () => {
  it('survives every name, cut into any pieces, with and without gzip', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.oneof(name, nasty), { maxLength: 12, selector: (b) => b.toString('latin1') }),
        fc.integer({ min: 1, max: 200 }),
        fc.boolean(),
        async (names, step, gzip) => {
          const records = names
            .sort(Buffer.compare)
            .map((pathBytes) => ({ ...record, pathBytes, path: pathBytes.toString('utf8') }));
          const bytes = written(records);
          expect(await read(gzip ? gzipSync(bytes) : bytes, emptyHeader(), step)).toEqual(records);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('carries its ordinal, its time and the names of the owners', async () => {
    const header = {
      ...{ startedAt: new Date('2026-11-21T03:17:00Z'), ordinal: 41 },
      ...{ users: new Map([[991, 'mastodon']]), groups: new Map([[991, 'www data']]) },
    };
    const found = emptyHeader();
    await read(written([record], header), found);
    expect(found).toEqual(header);
  });

  it.each([
    ['cut off', (text: string) => text.slice(0, -14)],
    ['cut inside a gzip', (text: string) => gzipSync(text).subarray(0, -20)],
    ['of a file less', (text: string) => text.replace(/# 3 .*\n.*\n/, '')],
    ['of another version', (text: string) => text.replace('index 1', 'index 2')],
    ['of a damaged hash', (text: string) => text.replace('000', 'xyz')],
    ['empty', () => ''],
  ])('is refused when it is %s', async (_, damage) => {
    const damaged = Buffer.from(damage(written([record]).toString()));
    await expect(read(damaged)).rejects.toMatchObject({ type: 'PartInvalid' });
  });

  it('is not written out of order', () => {
    expect(() => written([record, record])).toThrow(RangeError);
  });
});
