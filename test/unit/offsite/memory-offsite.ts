import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { MediaRecord } from '../../../src/backups/media-index.js';
import type { Failure } from '../../../src/errors.js';
import type { HostStream } from '../../../src/hosts/host.js';
import type { MediaFile, Offsite, ReadFile, StoredFile } from '../../../src/offsite/offsite.js';

export const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** What an off-site holds, and how it misbehaves. */
export interface Held {
  entries: Map<string, string>;
  /** By `Offsite.mediaKey`. */
  media: Map<string, string>;
  /** Its list does not have these yet. */
  unlisted?: Set<string>;
  /** A pool: a file's key is its content's hash; else its path. */
  pool?: boolean;
  /** There, listed, and not given. */
  unreadable?: Set<string>;
  /** What `readAllMedia` fails with at its end. */
  breaksAtEnd?: Failure;
  listBreaks?: Failure;
}

/** An off-site in memory, for what only bookkeeping can get wrong; what was asked of it is noted. */
export function memoryOffsite(held: Held) {
  const asked = { batches: [] as MediaFile[][], all: 0 };
  const hashes = (keys: Iterable<string>) =>
    [...keys].flatMap((key): ReadFile[] => {
      const content = held.media.get(key);
      return content === undefined || held.unreadable?.has(key) === true
        ? []
        : [{ key, sha256: sha256(content) }];
    });
  const mediaKey: Offsite['mediaKey'] = (file) => (held.pool === true ? file.sha256 : file.path);
  const part = {
    name: 'memory',
    kind: 'memory',
    opens: true,
    mediaKey,
    readEntry: (_part: unknown, path: string) => Promise.resolve(streamOf(held.entries.get(path))),
    async *listMedia(): AsyncIterable<StoredFile> {
      for (const [key, content] of held.media)
        if (held.unlisted?.has(key) !== true) yield { key, size: Buffer.byteLength(content) };
      if (held.listBreaks !== undefined) throw held.listBreaks;
    },
    async *readMedia(_part: unknown, wanted: readonly MediaFile[]): AsyncIterable<ReadFile> {
      asked.batches.push([...wanted]);
      yield* hashes(wanted.map(mediaKey));
    },
    async *readAllMedia(): AsyncIterable<ReadFile> {
      asked.all += 1;
      yield* hashes(held.media.keys());
      if (held.breaksAtEnd !== undefined) throw held.breaksAtEnd;
    },
  };
  return { copy: part as unknown as Offsite, asked };
}

function streamOf(content: string | undefined): HostStream {
  return {
    stdout: Readable.from(content === undefined ? [] : [Buffer.from(content)]),
    completed: Promise.resolve(
      content === undefined ? { exitCode: 1, stderr: 'no such file' } : { exitCode: 0, stderr: '' },
    ),
    kill: () => undefined,
  };
}

export function record(path: string, content: string, mtime = '1795309000.000000000'): MediaRecord {
  return {
    ...{ path, pathBytes: Buffer.from(path), sha256: sha256(content), size: Buffer.byteLength(content) },
    ...{ mtime, mode: 0o644, uid: 1, gid: 1 },
  };
}
