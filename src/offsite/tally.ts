import type { Checked } from './verify.js';

/** Is told how much was read back; of how much, once that is known. */
export type Tell = (progress: {
  files: number;
  bytes: number;
  totalFiles?: number;
  totalBytes?: number;
}) => void;

/** What was read back so far, told as it comes; how much it will be, once all lanes have said what they will read. */
export class Tally {
  readonly #read: Checked = { files: 0, bytes: 0 };
  readonly #expected: Checked = { files: 0, bytes: 0 };

  constructor(
    private lanes: number,
    private readonly tell: Tell,
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
    this.tell({ ...this.total(), ...(this.lanes > 0 ? {} : { totalFiles, totalBytes }) });
  }

  total(): Checked {
    return { files: Math.round(this.#read.files), bytes: Math.round(this.#read.bytes) };
  }
}
