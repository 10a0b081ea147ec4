import type { Manifest } from '../backups/manifest.js';
import type { MediaRecord } from '../backups/media-index.js';
import { copyToStdout, mediaFilesSql } from '../mastodon/media-files.js';
import type { AtDatabase } from './asked.js';
import { NotSeen, Wrong } from './check.js';
import { copyFields } from './copy-text.js';

/** Paths that a finding names. */
const named = 10;

/** A count, and the first of what was counted. */
class Several {
  readonly #first: string[] = [];
  count = 0;

  add(path: string): void {
    this.count += 1;
    if (this.#first.length < named) this.#first.push(path);
  }

  toString(): string {
    const more = this.count - this.#first.length;
    return `${this.#first.join(', ')}${more > 0 ? ` and ${String(more)} more` : ''}`;
  }
}

/** A local file that the database names. */
interface Named {
  readonly path: string;
  readonly pathBytes: Buffer;
  readonly bytes: number | null;
  readonly tolerated: boolean;
}

/**
 * Every local media file that the database names is in the backup's index with its size. Both lists are sorted alike and
 * gone through side by side, so that a million files take no memory.
 *
 * Excused: what was missing at the source already, what users deleted during the backup, and what Mastodon can do without
 * (`ExpectedFile.tolerated`).
 */
export async function mediaComplete({ asked, schema, manifest, index }: AtDatabase): Promise<string> {
  const inBackup = manifest.parts.some(({ name }) => name === 'media');
  if (!inBackup) throw new NotSeen('the media are not in this backup');
  if (index === null) throw new NotSeen('the index of the media could not be read');
  const select = mediaFilesSql(schema);
  if (select === null) throw new NotSeen('this database names no media');
  const { missing, unlisted, differs, excused, files } = await compare(
    namedBy(asked.lines(copyToStdout(select))),
    index,
    new Set(excusedPaths(manifest)),
  );
  // The manifest lists the first thousand, in this very order, and counts the others.
  const pardoned = Math.min(missing.count, unlisted);
  if (missing.count > pardoned)
    throw new Wrong(
      `${String(missing.count - pardoned)} of ${String(files)} local media files that the database names are not in the backup: ${missing.toString()}`,
    );
  const known = manifest.media?.sizeDiffers;
  if (known !== undefined && differs.count > known)
    throw new Wrong(
      `${String(differs.count - known)} local media files have another size in the backup than the database says: ${differs.toString()}`,
    );
  const without = excused + pardoned;
  return [
    `${String(files - without)} local media files that the database names are in the backup`,
    ...(without === 0
      ? []
      : [`${String(without)} were missing at the source already, or were deleted meanwhile`]),
    ...(differs.count === 0
      ? []
      : [`${String(differs.count)} have another size than the database says, as at the source`]),
  ].join('; ');

  async function compare(
    rows: AsyncIterable<Named>,
    records: AsyncIterable<MediaRecord>,
    known: ReadonlySet<string>,
  ) {
    const found = { missing: new Several(), differs: new Several(), excused: 0, files: 0 };
    const listed = manifest.media?.alreadyMissing.length ?? 0;
    const deleted = manifest.media?.deletedDuringRun.length ?? 0;
    const counted = (manifest.media?.alreadyMissingCount ?? 0) + (manifest.media?.deletedDuringRunCount ?? 0);
    const iterator = records[Symbol.asyncIterator]();
    try {
      let record = await next(iterator);
      for await (const { path, pathBytes, bytes, tolerated } of rows) {
        found.files += 1;
        while (record !== undefined && Buffer.compare(record.pathBytes, pathBytes) < 0)
          record = await next(iterator);
        const there = record?.pathBytes.equals(pathBytes) === true ? record : undefined;
        if (there === undefined && (tolerated || known.has(path))) found.excused += 1;
        else if (there === undefined) found.missing.add(path);
        else if (bytes !== null && bytes !== there.size) found.differs.add(path);
      }
    } finally {
      await iterator.return?.();
    }
    return { ...found, unlisted: Math.max(0, counted - listed - deleted) };
  }
}

async function next(records: AsyncIterator<MediaRecord>): Promise<MediaRecord | undefined> {
  const result = await records.next();
  return result.done === true ? undefined : result.value;
}

async function* namedBy(lines: AsyncIterable<string>): AsyncGenerator<Named> {
  for await (const line of lines) {
    const [path, bytes, tolerated] = copyFields(line);
    if (path === null || path === undefined) continue;
    yield {
      ...{ path, pathBytes: Buffer.from(path) },
      bytes: bytes === null || bytes === undefined ? null : Number(bytes),
      tolerated: tolerated !== null && tolerated !== undefined,
    };
  }
}

function excusedPaths({ media }: Manifest): string[] {
  return [...(media?.alreadyMissing ?? []), ...(media?.deletedDuringRun ?? [])].map(({ path }) => path);
}
