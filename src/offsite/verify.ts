import { createHash } from 'node:crypto';
import type { ManifestEntry } from '../backups/manifest.js';
import type { MediaRecord } from '../backups/media-index.js';
import type { Finding } from '../backups/verify-report.js';
import type { HostStream } from '../hosts/host.js';
import { damageOf } from './damage.js';
import { lastWord } from './last-word.js';
import type { Offsite, StoredPartRef } from './offsite.js';
import { Tally, type Tell } from './tally.js';
import { verifyMedia } from './verify-media.js';

/**
 * Reading a copy of a backup back, and comparing it with what it should be: right after an upload with what was captured
 * on the host, later with the backup's own manifest and index. Whatever differs is a finding; only an off-site that
 * cannot be asked is a failure.
 */

export type { Finding };

export interface Checked {
  files: number;
  bytes: number;
}

/** What a copy should hold. */
export interface Expected {
  /** The files that the manifest names: the small parts, and the index of the media. */
  readonly entries: readonly { readonly ref: StoredPartRef; readonly entry: ManifestEntry }[];
  readonly media?: ExpectedMedia;
}

export interface ExpectedMedia {
  readonly ref: StoredPartRef;
  /** The index, from its beginning, each time that it is asked for; `read`: this file is read back, byte for byte. */
  files(): AsyncIterable<ExpectedFile>;
  /** Files of the index that are known not to be on this off-site, or to be other ones there. */
  readonly excused?: ReadonlySet<string>;
  /** Those that users have deleted or changed at the source since the index was made; asked for 10 000 at most. */
  changedAtSource?(files: readonly MediaRecord[]): Promise<ReadonlySet<string>>;
}

export interface ExpectedFile {
  readonly record: MediaRecord;
  readonly read: boolean;
}

export interface Verified {
  /** What was read back and is what it should be. */
  readonly checked: Checked;
  readonly findings: readonly Finding[];
  /** Media of the index that are not on the off-site because users deleted or changed them meanwhile. */
  readonly changedMeanwhile: readonly string[];
  /** Media that are proven to lie there damaged, as `Offsite.mediaKey` calls them; not each that cannot be read is. */
  readonly damaged: readonly string[];
}

/**
 * @param scratch a private folder on the off-site's host, for this call alone.
 * @throws Failure when the off-site cannot be asked; never for what it holds. What `tell` throws ends it.
 */
export async function verifyCopy(
  copy: Offsite,
  expected: Expected,
  { scratch, tell = () => undefined }: { scratch: string; tell?: Tell },
): Promise<Verified> {
  const { entries, media } = expected;
  const tally = new Tally(media === undefined ? 1 : 2, tell);
  const none = { findings: [], changedMeanwhile: [], damaged: [] };
  const both = [
    verifyEntries(copy, entries, tally),
    media === undefined ? Promise.resolve(none) : verifyMedia(copy, media, scratch, tally),
  ] as const;
  await Promise.allSettled(both); // nothing of it goes on after the failure of the other
  const [small, large] = await Promise.all(both);
  return { ...large, findings: [...small, ...large.findings], checked: tally.total() };
}

async function verifyEntries(copy: Offsite, entries: Expected['entries'], tally: Tally): Promise<Finding[]> {
  const findings: Finding[] = [];
  tally.expect({
    files: entries.length,
    bytes: entries.reduce((sum, { entry }) => sum + entry.bytes, 0),
  });
  for (const { ref, entry } of entries) {
    const problem = await problemOf(copy, ref, entry, tally);
    if (problem !== undefined) findings.push({ part: ref.name, path: entry.path, problem });
  }
  return findings;
}

/** Compares an entry with what it should be: opened, or, where we have no key, as it was stored. */
async function problemOf(
  copy: Offsite,
  ref: StoredPartRef,
  entry: ManifestEntry,
  tally: Tally,
): Promise<string | undefined> {
  const stored = ref.files?.find((file) => file.entry === entry.path);
  if (ref.files !== undefined && stored === undefined) return 'was never sent there';
  const closed = !copy.opens && stored?.path.endsWith('.age') === true;
  const wanted = closed ? stored : entry;
  const readStored = copy.readStored?.bind(copy);
  if (closed && readStored === undefined) return 'cannot be opened here, nor read as it lies there';
  const came = await damageOf(async () =>
    hashOf(
      await (closed && readStored !== undefined
        ? readStored(ref, entry.path)
        : copy.readEntry(ref, entry.path)),
      tally,
    ),
  );
  if (typeof came === 'string') return `cannot be read (${came})`;
  if (came.sha256 === wanted.sha256) return undefined;
  if (came.bytes === wanted.bytes) return 'came back changed';
  return `came back with ${String(came.bytes)} bytes instead of ${String(wanted.bytes)}`;
}

async function hashOf(stream: HostStream, tally: Tally): Promise<{ sha256: string; bytes: number } | string> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of stream.stdout as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
      tally.add({ bytes: chunk.length });
    }
    const ended = await stream.completed;
    tally.add({ files: 1 });
    return ended.exitCode === 0 ? { sha256: hash.digest('hex'), bytes } : lastWord(ended);
  } finally {
    stream.kill();
  }
}
