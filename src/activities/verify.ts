import { createHash } from 'node:crypto';
import { emptyHeader, type MediaRecord, readMediaIndex } from '../backups/media-index.js';
import type { PartName } from '../backups/parts.js';
import { pickForVerify, verifyFolder } from '../backups/verify-sample.js';
import { Failure } from '../errors.js';
import type { Host, HostStream } from '../hosts/host.js';
import type { Instance } from '../mastodon/inspect.js';
import { mediaIndexFiles } from '../mastodon/media-index.js';
import type { Offsite, StoredPartRef } from '../offsite/offsite.js';
import { report } from './activity.js';
import { type MediaFacts, mediaFacts } from './media.js';
import { capturedEntries, storedParts } from './offsites.js';
import { needFacts, sealedOrdinal, type Spool } from './spool.js';

export interface Checked {
  files: number;
  bytes: number;
}

interface Finding {
  part: PartName;
  path: string;
  problem: string;
}

interface Verification {
  copy: Offsite;
  /** A private folder on the machine that reads. */
  scratch: string;
  host: Host;
  spool: Spool;
  instance: Instance;
  parts: readonly PartName[];
  /** Shares of the media to read back, 0 to 1. */
  share: { new: number; old: number };
}

/** Findings that a message names; more are counted. */
const namedFindings = 5;

/** More new files than this are not told from old ones: all are treated as new. */
const tooManyNew = 200_000;

/** Findings up to this many are checked against the source; more are no users deleting files. */
const sourceChecks = 1_000;

/** Folders that are fetched by name; for more, an off-site takes longer to find them than to give everything. */
const mostFolders = 20_000;

/** Bytes of media that lie on the reader's disk at a time while they are hashed. */
const batchBytes = 1 << 30;

/**
 * Reads a copy back and compares it with what was captured on the host.
 *
 * @throws Failure `VerifyFailed` naming parts and paths that are not what was sent.
 */
export async function verifyCopy(verification: Verification): Promise<Checked> {
  const { copy, host, spool, parts } = verification;
  const stored = await storedParts(host, spool, copy.name, parts);
  const media = parts.includes('media') ? stored.get('media')?.ref : undefined;
  const checked = new Tally(copy.name, media === undefined ? 1 : 2);
  const findings: Finding[] = [];
  const small = async () => {
    const entries = await Promise.all(
      [...stored].map(async ([part, { ref }]) =>
        (await capturedEntries(host, spool, part)).map((entry) => ({ part, ref, entry })),
      ),
    ).then((each) => each.flat());
    checked.expect({
      files: entries.length,
      bytes: entries.reduce((sum, { entry }) => sum + entry.bytes, 0),
    });
    for (const { part, ref, entry } of entries) {
      const read = await hashOf(await copy.readEntry(ref, entry.path), checked);
      if (read.sha256 !== entry.sha256) findings.push({ part, path: entry.path, problem: read.problem });
    }
  };
  const both = [
    small(),
    ...(media === undefined ? [] : [verifyMedia(verification, media, checked, findings)]),
  ];
  await Promise.allSettled(both);
  await Promise.all(both);
  if (findings.length > 0) {
    const named = findings
      .slice(0, namedFindings)
      .map(({ part, path, problem }) => `${part}: ${path} ${problem}`);
    const more =
      findings.length > namedFindings ? ` and ${String(findings.length - namedFindings)} more` : '';
    throw new Failure(
      'VerifyFailed',
      `what came back from ${copy.name} is not what was sent: ${named.join('; ')}${more}`,
      {
        next: `nothing was sealed on ${copy.name}; check the off-site (a disk, a provider), then run the backup again`,
      },
    );
  }
  return checked.total();
}

/** What was read back so far, told as it comes; how much it will be, once all lanes have said what they will read. */
class Tally {
  readonly #read: Checked = { files: 0, bytes: 0 };
  readonly #expected: Checked = { files: 0, bytes: 0 };

  constructor(
    private readonly offsite: string,
    private lanes: number,
  ) {}

  expect({ files, bytes }: Checked): void {
    this.lanes -= 1;
    this.#expected.files += files;
    this.#expected.bytes += bytes;
    this.add({});
  }

  add({ files = 0, bytes = 0 }: Partial<Checked>): void {
    this.#read.files += files;
    this.#read.bytes += bytes;
    const { files: totalFiles, bytes: totalBytes } = this.#expected;
    report({ subject: this.offsite, ...this.total(), ...(this.lanes > 0 ? {} : { totalFiles, totalBytes }) });
  }

  total(): Checked {
    return { files: this.#read.files, bytes: Math.round(this.#read.bytes) };
  }
}

async function hashOf(stream: HostStream, checked: Tally): Promise<{ sha256: string; problem: string }> {
  const hash = createHash('sha256');
  for await (const chunk of stream.stdout as AsyncIterable<Buffer>) {
    hash.update(chunk);
    checked.add({ bytes: chunk.length });
  }
  const { exitCode, stderr } = await stream.completed;
  checked.add({ files: 1 });
  if (exitCode === 0) return { sha256: hash.digest('hex'), problem: 'came back changed' };
  return {
    sha256: '',
    problem: `could not be read (${stderr.trim().split('\n').at(-1)?.slice(0, 200) ?? ''})`,
  };
}

/**
 * The media: every file of the index must be there with its size; the new ones and tonight's share of the old ones are
 * read, byte for byte. No list of files is kept, unless there is something to name.
 */
async function verifyMedia(
  verification: Verification,
  ref: StoredPartRef,
  checked: Tally,
  findings: Finding[],
): Promise<void> {
  const { copy, host, spool, scratch } = verification;
  const facts = await needFacts(host, spool, 'media', mediaFacts);
  const pick = await tonight(verification, facts);
  const sizes = new Ledger();
  const contents = new Ledger();
  const indexed = new PathSet(facts.files);
  const picked = { files: 0, bytes: 0 };
  const folders = new Map<string, number>();
  for await (const record of indexOnHost(host, spool)) {
    indexed.add(record.path);
    sizes.add(record.path, String(record.size));
    if (!pick(record.path)) continue;
    contents.add(record.path, record.sha256);
    picked.files += 1;
    picked.bytes += record.size;
    const folder = verifyFolder(record.path) || record.path;
    if (folders.size <= mostFolders) folders.set(folder, (folders.get(folder) ?? 0) + record.size);
  }
  checked.expect(picked);
  const all = folders.size > mostFolders || picked.bytes > facts.bytes / 2;
  const readPicked = async function* () {
    for (const wanted of all ? (['all'] as const) : batches(folders))
      for await (const file of copy.readMedia(ref, wanted, scratch))
        if (pick(file.path) && indexed.has(file.path)) yield file;
  };
  const comparing = [
    (async () => {
      for await (const file of copy.listMedia(ref))
        if (indexed.has(file.path)) sizes.take(file.path, String(file.size));
    })(),
    (async () => {
      const bytesOfEach = picked.bytes / Math.max(1, picked.files); // sizes are not told; the sum comes out right
      for await (const file of readPicked()) {
        contents.take(file.path, file.sha256);
        checked.add({ files: 1, bytes: bytesOfEach });
      }
    })(),
  ];
  await Promise.allSettled(comparing);
  await Promise.all(comparing);
  const suspects = sizes.balanced() ? [] : await nameDifferences(verification, ref);
  if (!contents.balanced()) suspects.push(...(await nameChanges(verification, pick, readPicked())));
  findings.push(...(await withoutChangesAtTheSource(verification, facts.root, suspects)));
}

/** Folders in batches that fit on the reader's disk. */
function* batches(folders: ReadonlyMap<string, number>): Iterable<string[]> {
  let batch: string[] = [];
  let bytes = 0;
  for (const [folder, size] of folders) {
    if (batch.length > 0 && bytes + size > batchBytes) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(folder);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/**
 * Which files this night reads back: of the new ones by file, of the old ones by folder. An off-site that lacks the last
 * backup may get anything for the first time: there, all are new.
 */
async function tonight(
  { host, spool, share, copy, instance }: Verification,
  facts: MediaFacts,
): Promise<(path: string) => boolean> {
  const pickNew = pickForVerify(facts.ordinal, share.new);
  const pickOld = pickForVerify(facts.ordinal, share.old);
  const before = await sealedOrdinal(host, spool, instance.domain, copy.name);
  if (facts.newFiles === facts.files || facts.newFiles > tooManyNew || before !== facts.ordinal - 1)
    return pickNew;
  const paths = new Set<string>();
  const stream = await host.stream(['cat', '--', `${spool.media.folder}/scan/${mediaIndexFiles.new}`], {
    as: spool.media.as,
  });
  for await (const record of readMediaIndex(stream.stdout, emptyHeader())) paths.add(record.path);
  await stream.completed;
  return (path) => (paths.has(path) ? pickNew(path) : pickOld(verifyFolder(path)));
}

/** The index as it was captured. */
async function* indexOnHost(host: Host, spool: Spool): AsyncIterable<MediaRecord> {
  const stream = await host.stream(['cat', '--', `${spool.media.folder}/index/${mediaIndexFiles.index}`], {
    as: spool.media.as,
  });
  yield* readMediaIndex(stream.stdout, emptyHeader());
  await stream.completed;
}

/**
 * The paths of an index, eight bytes for each: what came up after it was made is told from what is in it. Sixty-four bits
 * of a hash are taken for the path; two of a billion files share them once in fifty times.
 */
class PathSet {
  readonly #hashes: BigUint64Array;
  #size = 0;
  #sorted = false;

  constructor(files: number) {
    this.#hashes = new BigUint64Array(files);
  }

  add(path: string): void {
    this.#hashes[this.#size++] = PathSet.#of(path);
  }

  has(path: string): boolean {
    if (!this.#sorted) this.#hashes.sort();
    this.#sorted = true;
    const wanted = PathSet.#of(path);
    let [low, high] = [0, this.#hashes.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#hashes[middle] ?? 0n) < wanted) low = middle + 1;
      else high = middle;
    }
    return this.#hashes[low] === wanted;
  }

  static #of(path: string): bigint {
    return createHash('sha256').update(path).digest().readBigUInt64BE(0);
  }
}

/**
 * Compares two lists in any order without keeping either: the sums of a hash of each line are equal when the lists are.
 */
class Ledger {
  #sum = 0n;

  add(path: string, value: string): void {
    this.#sum += Ledger.#of(path, value);
  }

  take(path: string, value: string): void {
    this.#sum -= Ledger.#of(path, value);
  }

  balanced(): boolean {
    return this.#sum === 0n;
  }

  static #of(path: string, value: string): bigint {
    const digest = createHash('sha256').update(`${value}\0${path}`).digest();
    return digest.readBigUInt64BE(0) * (1n << 64n) + digest.readBigUInt64BE(8);
  }
}

/** The files that one side has and the other has not, or not in this size. Only made when the ledger is out. */
async function nameDifferences({ copy, host, spool }: Verification, ref: StoredPartRef): Promise<Finding[]> {
  const there = new Map<string, number>();
  for await (const file of copy.listMedia(ref)) there.set(file.path, file.size);
  const findings: Finding[] = [];
  for await (const record of indexOnHost(host, spool)) {
    const size = there.get(record.path);
    if (size === undefined) findings.push({ part: 'media', path: record.path, problem: 'is missing' });
    else if (size !== record.size) {
      findings.push({
        part: 'media',
        path: record.path,
        problem: `has ${String(size)} bytes instead of ${String(record.size)}`,
      });
    }
  }
  return findings; // what came up after the index was made is there as well, and no finding
}

/** The picked files that came back changed, or not at all. Only made when the ledger is out. */
async function nameChanges(
  { host, spool }: Verification,
  pick: (path: string) => boolean,
  read: AsyncIterable<{ path: string; sha256: string }>,
): Promise<Finding[]> {
  const hashes = new Map<string, string>();
  for await (const file of read) hashes.set(file.path, file.sha256);
  const findings: Finding[] = [];
  for await (const record of indexOnHost(host, spool)) {
    const sha256 = pick(record.path) ? hashes.get(record.path) : record.sha256;
    if (sha256 === record.sha256) continue;
    const problem = sha256 === undefined ? 'did not come back' : 'came back changed';
    findings.push({ part: 'media', path: record.path, problem });
  }
  return findings;
}

/**
 * A file that a user deleted, or that was transcoded in place, between the index and the copy is no fault of the
 * off-site: its finding is dropped when the source has changed since the index was made.
 */
async function withoutChangesAtTheSource(
  { host, spool }: Verification,
  root: string,
  findings: readonly Finding[],
): Promise<Finding[]> {
  const suspects = new Map(findings.map((finding) => [finding.path, finding]));
  if (suspects.size === 0 || suspects.size > sourceChecks) return [...suspects.values()];
  for await (const record of indexOnHost(host, spool)) {
    if (!suspects.has(record.path)) continue;
    const { exitCode, stdout } = await host.run(
      ['find', `${root}/${record.path}`, '-maxdepth', '0', '-printf', '%s %T@'],
      { as: spool.media.as, okCodes: [0, 1] },
    );
    if (exitCode !== 0 || stdout.trim() !== `${String(record.size)} ${record.mtime}`)
      suspects.delete(record.path);
  }
  return [...suspects.values()];
}
