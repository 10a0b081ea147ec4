import type { MediaRecord } from '../backups/media-index.js';

/** How much waits at a time: of whatever is cut off, no more has to be fetched again. */
const mostBytes = 1 << 30;

/**
 * Most files of a batch: restic takes a second or two for each, whatever is in it. Of so many it fetches whole folders
 * (`restic-media.ts`), so they must be most of what is there; else less, by their names.
 */
const mostFiles = 20_000;
const mostScattered = 1_000;

/** Media that are fetched together, in the order of their paths. */
export class MediaBatch {
  #records: MediaRecord[] = [];
  #bytes = 0;
  /** Files between the first of them and the next that are not wanted. */
  #between = 0;

  /** @returns a batch that is full without this one; empty while there is room. */
  add(record: MediaRecord): { records: MediaRecord[]; bytes: number } {
    const most = this.#between > this.#records.length ? mostScattered : mostFiles;
    const isFull = this.#records.length >= most || this.#bytes + record.size > mostBytes;
    const full = isFull ? this.take() : { records: [], bytes: 0 };
    this.#records.push(record);
    this.#bytes += record.size;
    return full;
  }

  /** So many files are there already. */
  passOver(files: number): void {
    if (this.#records.length > 0) this.#between += files;
  }

  /** All that waits. */
  take(): { records: MediaRecord[]; bytes: number } {
    const taken = { records: this.#records, bytes: this.#bytes };
    [this.#records, this.#bytes, this.#between] = [[], 0, 0];
    return taken;
  }
}
