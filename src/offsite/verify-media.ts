import { createHash } from 'node:crypto';
import type { MediaRecord } from '../backups/media-index.js';
import { damageOf } from './damage.js';
import type { MediaFile, Offsite, ReadFile } from './offsite.js';
import { SeenSet } from './seen-set.js';
import type { Tally } from './tally.js';
import type { ExpectedFile, ExpectedMedia, Finding, Verified } from './verify.js';

/** Bytes and files of media that lie on the reader's disk at a time while they are hashed. */
const batchBytes = 1 << 30;
const batchFiles = 5_000;

/** Files that are looked at one by one when something is wrong, and that the source is asked for at a time. */
const mostSuspects = 10_000;

/** Of more than these, some are named and all are counted. */
const namedOfTooMany = 100;

type MediaVerified = Omit<Verified, 'checked'>;

/**
 * The media of a copy: every file of the index must be there with its size; those that are to be read must come back as
 * they were. A million files are compared in some megabytes of memory; lists are made only of what is wrong.
 */
export async function verifyMedia(
  copy: Offsite,
  media: ExpectedMedia,
  scratch: string,
  tally: Tally,
): Promise<MediaVerified> {
  const looked = new LookedAt(copy, media);
  const { read } = await looked.plan();
  tally.expect(read);
  const complaints = new Set<string>();
  const both = [looked.list(complaints, tally), looked.readBack(scratch, tally, complaints)];
  await Promise.allSettled(both);
  await Promise.all(both);
  const { suspects, count, changed } = await looked.suspects();
  if (count > mostSuspects) return { ...tooMany(suspects, count, complaints), ...unknown };
  const named = await nameProblems(copy, media, suspects, { scratch, opened: looked.opened });
  const whole = named.findings.length === 0 && !looked.unlisted;
  return {
    findings: [...(whole ? [] : complaintsOf(complaints)), ...named.findings],
    changedMeanwhile: [...changed],
    damaged: named.damaged,
  };
}

/** The hash of nothing; an empty file opens with every password. */
const emptySha256 = createHash('sha256').digest('hex');

const unknown = { changedMeanwhile: [], damaged: [] };

function tooMany(suspects: readonly MediaRecord[], count: number, complaints: ReadonlySet<string>) {
  const findings: Finding[] = [
    {
      part: 'media',
      problem: `${String(count)} files are missing or not what they should be; the first ${String(namedOfTooMany)} are named, and none was looked at alone`,
    },
    ...complaintsOf(complaints),
    ...suspects
      .slice(0, namedOfTooMany)
      .map(({ path }): Finding => ({ part: 'media', path, problem: 'is missing, or not what it should be' })),
  ];
  return { findings };
}

function complaintsOf(complaints: ReadonlySet<string>): Finding[] {
  return [...complaints].slice(0, 3).map((problem) => ({ part: 'media', problem }));
}

/** What is expected of the media, and what has been seen of it. */
class LookedAt {
  readonly #listed = new SeenSet();
  readonly #contents = new SeenSet();
  readonly #read = { files: 0, bytes: 0 };
  #bytes = 0;
  /** The off-site's list of its media is broken: what is missing shows only in what is read. */
  unlisted = false;
  /** A file with something in it came as it should: the off-site opens with the keys that we have. */
  opened = false;

  constructor(
    private readonly copy: Offsite,
    private readonly media: ExpectedMedia,
  ) {}

  async plan(): Promise<{ read: { files: number; bytes: number } }> {
    for await (const { record, read } of this.#files()) {
      const key = this.copy.mediaKey(record);
      this.#listed.add(key, record.size);
      this.#bytes += record.size;
      if (!read) continue;
      this.#contents.add(key, record.sha256);
      this.#read.files += 1;
      this.#read.bytes += record.size;
    }
    return { read: this.#read };
  }

  async list(complaints: Set<string>, tally: Tally): Promise<void> {
    const damage = await damageOf(async () => {
      for await (const { key, size } of this.copy.listMedia(this.media.ref)) {
        this.#listed.see(key, size);
        tally.add({}); // heard by who may have been cancelled
      }
    });
    if (typeof damage !== 'string') return;
    this.unlisted = true;
    complaints.add(`cannot be listed: ${damage}`);
  }

  async readBack(scratch: string, tally: Tally, complaints: Set<string>): Promise<void> {
    const { ref } = this.media;
    const distinct = Math.max(1, this.#contents.missing);
    // The sizes are not told, and one content may serve several files: the sums come out right.
    const each = { files: this.#read.files / distinct, bytes: this.#read.bytes / distinct };
    const see = ({ key, sha256 }: ReadFile) => {
      if (!this.#contents.see(key, sha256)) return;
      tally.add(each);
      if (sha256 !== emptySha256) this.opened = true;
    };
    const seeAll = async (files: AsyncIterable<ReadFile>) => {
      for await (const file of files) see(file);
    };
    const readAll = this.copy.readAllMedia?.bind(this.copy);
    if (readAll !== undefined && this.#read.bytes > this.#bytes / 2) {
      if (typeof (await damageOf(() => seeAll(readAll(ref)))) !== 'string') return;
      // The rest by batches, which leave out what is damaged and go on.
    }
    for await (const batch of batches(this.copy, this.#unread())) {
      const damage = await damageOf(() => seeAll(this.copy.readMedia(ref, batch, scratch)));
      if (typeof damage === 'string') complaints.add(damage);
    }
  }

  /**
   * What is not there, or did not come back as it should: the first ones, and how many there are; without what users
   * have changed at the source, however much that is. The source is not asked further when too much is left without it.
   */
  async suspects(): Promise<{ suspects: MediaRecord[]; count: number; changed: Set<string> }> {
    const suspects: MediaRecord[] = [];
    const changed = new Set<string>();
    let count = 0;
    if ((this.unlisted || this.#listed.missing === 0) && this.#contents.missing === 0)
      return { suspects, count, changed };
    let asked: MediaRecord[] = [];
    const ask = async () => {
      const meanwhile = (await this.media.changedAtSource?.(asked)) ?? new Set();
      for (const record of asked) {
        if (meanwhile.has(record.path)) changed.add(record.path);
        else if ((count += 1) <= mostSuspects) suspects.push(record);
      }
      asked = [];
    };
    for await (const { record, read } of this.#files()) {
      const key = this.copy.mediaKey(record);
      const there = this.unlisted || this.#listed.seen(key, record.size);
      if (there && (!read || this.#contents.seen(key, record.sha256))) continue;
      if (count > mostSuspects) count += 1;
      else if (asked.push(record) === mostSuspects) await ask();
    }
    if (asked.length > 0) await ask();
    return { suspects, count, changed };
  }

  async *#unread(): AsyncIterable<MediaRecord> {
    for await (const { record, read } of this.#files())
      if (read && !this.#contents.seen(this.copy.mediaKey(record), record.sha256)) yield record;
  }

  async *#files(): AsyncIterable<ExpectedFile> {
    const { excused } = this.media;
    for await (const file of this.media.files()) if (excused?.has(file.record.path) !== true) yield file;
  }
}

/** Files in batches that fit on the reader's disk, what is one file on the off-site once. */
async function* batches(copy: Offsite, files: AsyncIterable<MediaRecord>): AsyncIterable<MediaFile[]> {
  let batch = new Map<string, MediaFile>();
  let bytes = 0;
  for await (const record of files) {
    const key = copy.mediaKey(record);
    if (batch.has(key)) continue;
    if (batch.size >= batchFiles || (batch.size > 0 && bytes + record.size > batchBytes)) {
      yield [...batch.values()];
      [batch, bytes] = [new Map(), 0];
    }
    const { path, pathBytes, sha256, size } = record;
    batch.set(key, { path, pathBytes, sha256, size });
    bytes += record.size;
  }
  if (batch.size > 0) yield [...batch.values()];
}

/**
 * Looks at suspects one by one. One that comes back as it should is none: a list may lag behind what is there (object
 * storage).
 */
async function nameProblems(
  copy: Offsite,
  { ref }: ExpectedMedia,
  suspects: readonly MediaRecord[],
  { scratch, opened }: { scratch: string; opened: boolean },
): Promise<{ findings: Finding[]; damaged: string[] }> {
  if (suspects.length === 0) return { findings: [], damaged: [] };
  const keys = new Set(suspects.map((record) => copy.mediaKey(record)));
  const sizes = new Map<string, number>();
  const listed = await damageOf(async () => {
    for await (const { key, size } of copy.listMedia(ref)) if (keys.has(key)) sizes.set(key, size);
  });
  const hashes = new Map<string, string>();
  const asked = new Set<string>();
  const each = (async function* () {
    yield* suspects;
  })();
  for await (const batch of batches(copy, each)) {
    const damage = await damageOf(async () => {
      for await (const { key, sha256 } of copy.readMedia(ref, batch, scratch))
        if (keys.has(key)) hashes.set(key, sha256);
    });
    if (typeof damage !== 'string') for (const file of batch) asked.add(copy.mediaKey(file));
  }
  const findings: Finding[] = [];
  const damaged = new Set<string>();
  for (const record of suspects) {
    const key = copy.mediaKey(record);
    const [sha256, size] = [hashes.get(key), sizes.get(key)];
    if (sha256 === record.sha256) continue;
    const gone = size === undefined && sha256 === undefined && typeof listed !== 'string';
    // What is there and does not come is left out for its damage, unless nothing opens at all: with another password
    // every file looks so.
    const proven =
      sha256 !== undefined || (size !== undefined && (size !== record.size || (opened && asked.has(key))));
    if (proven) damaged.add(key);
    findings.push({ part: 'media', path: record.path, problem: problemOf(record, sha256, size, gone) });
  }
  return { findings, damaged: [...damaged] };
}

function problemOf(
  record: MediaRecord,
  sha256: string | undefined,
  size: number | undefined,
  gone: boolean,
): string {
  if (gone) return 'is missing';
  if (size !== undefined && size !== record.size)
    return `has ${String(size)} bytes instead of ${String(record.size)}`;
  return sha256 === undefined ? 'cannot be read' : 'came back changed';
}
