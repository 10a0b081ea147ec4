import type { MediaRecord } from '../backups/media-index.js';
import { sizeText } from '../backups/space.js';
import { damageOf } from '../offsite/damage.js';
import { withOwnScratch } from '../offsite/own-scratch.js';
import { refOf } from '../offsite/part-ref.js';
import { readMediaIndexFile } from '../offsite/receive.js';
import { firstOf, NotSeen, Wrong } from './check.js';
import type { FilesAtHand } from './files.js';

/** Files that are read back unless it is said otherwise: whoever has lost one in a hundred is found out nine times of ten. */
const usualSample = 200;

/** Bytes of them at most, but for the first: videos are large, and every night reads a share of the media anyway. */
const mostSampleBytes = 512 << 20;

/** How often the proof asks whether it is still wanted. */
const filesBetweenTells = 10_000;

/** The index is whole, and lists as many files and bytes as the manifest says. */
export async function mediaIndex(at: FilesAtHand): Promise<string> {
  const { host, received, tell } = at;
  const problem = received.findings.find(({ part }) => part === 'media');
  if (problem !== undefined) throw new Wrong(`the index of the media ${problem.problem}`);
  const path = received.files.mediaIndex;
  if (path === undefined) throw new Wrong('the index of the media did not come');
  const part = received.manifest.parts.find(({ name }) => name === 'media');
  const sample = new Sample(at.mediaSample ?? usualSample);
  let [files, bytes] = [0, 0];
  for await (const record of readMediaIndexFile(host, path)) {
    files += 1;
    bytes += record.size;
    sample.offer(record);
    if (files % filesBetweenTells === 0) tell?.({ subject: 'media-index', files });
  }
  at.chosen = sample.chosen();
  if (files !== part?.files || bytes !== part.bytes)
    throw new Wrong(
      `the index lists ${String(files)} files with ${String(bytes)} bytes, and the manifest says ${String(part?.files)} with ${String(part?.bytes)}`,
    );
  return `whole: ${String(files)} files with ${sizeText(bytes)}, as the manifest says`;
}

/** A random sample of the media comes back from the off-site, each file with its SHA-256. */
export async function mediaSample(at: FilesAtHand): Promise<string> {
  const { host, copy, received, scratch, chosen, sample, tell } = at;
  const part = received.manifest.parts.find(({ name }) => name === 'media');
  if (part?.files === 0) return 'the backup has no media files';
  if (part === undefined || chosen.length === 0)
    throw new NotSeen('without the index it is not known what to read');
  const excused = new Set(received.manifest.copy.changedMeanwhile);
  const wanted = chosen.filter(({ path }) => !excused.has(path));
  if (wanted.length === 0) throw new NotSeen('users have deleted all of the sample during the backup');
  const own = await scratch.place('media-sample');
  const came = new Map<string, string>();
  const began = performance.now();
  const read = await damageOf(() =>
    withOwnScratch({ host, scratch: `${own}/read` }, async (folder) => {
      for await (const { key, sha256 } of copy.readMedia(
        refOf(received.manifest.backup, part),
        wanted,
        folder,
      )) {
        came.set(key, sha256);
        tell?.({ subject: 'media-sample', files: came.size });
      }
    }),
  );
  sample.ms = Math.round(performance.now() - began);
  const bad = wanted.flatMap((file) => {
    const sha256 = came.get(copy.mediaKey(file));
    if (sha256 === file.sha256) {
      sample.files += 1;
      sample.bytes += file.size;
      return [];
    }
    return [`${file.path} ${sha256 === undefined ? 'is missing' : 'came back changed'}`];
  });
  if (bad.length > 0)
    throw new Wrong(
      `${String(bad.length)} of ${String(wanted.length)} sampled media files are not on ${copy.name} as they were: ${firstOf(bad)}${typeof read === 'string' ? ` (${read})` : ''}`,
    );
  return `${String(sample.files)} media files taken at random, with ${sizeText(sample.bytes)}, came back as they were`;
}

/** So many of a stream of files, each as likely as the others (Vitter's algorithm R). */
export class Sample {
  readonly #most: number;
  readonly #kept: MediaRecord[] = [];
  #seen = 0;

  constructor(most: number) {
    this.#most = most;
  }

  offer(record: MediaRecord): void {
    this.#seen += 1;
    if (this.#kept.length < this.#most) {
      this.#kept.push(record);
      return;
    }
    const at = Math.floor(Math.random() * this.#seen);
    if (at < this.#most) this.#kept[at] = record;
  }

  /** In the order of their paths; less of them where they are large, and one at least. */
  chosen(): MediaRecord[] {
    let bytes = 0;
    const fitting = this.#kept.filter(({ size }) => {
      const fits = bytes + size <= mostSampleBytes;
      if (fits) bytes += size;
      return fits;
    });
    return (fitting.length > 0 ? fitting : this.#kept.slice(0, 1)).sort((one, other) =>
      Buffer.compare(one.pathBytes, other.pathBytes),
    );
  }
}
