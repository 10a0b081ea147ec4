import { copyFile, open, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { special } from './capture.js';
import type { Ground } from './ground.js';

/** What bad disks, bad providers and bad people do to a place, by plain file tools on the folder behind it. */
export class Vandal {
  constructor(private readonly ground: Ground) {}

  /** @param where bytes from the beginning; the middle, when it is left out. */
  async flipBit(file: string, where?: number): Promise<void> {
    const handle = await open(this.#path(file), 'r+');
    try {
      const { size } = await handle.stat();
      const at = where ?? Math.floor(size / 2);
      const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at);
      await handle.write(Buffer.of(buffer.readUInt8(0) ^ 1), 0, 1, at);
    } finally {
      await handle.close();
    }
  }

  /** @param to bytes that are left; half, when it is left out. */
  async cut(file: string, to?: number): Promise<void> {
    const { bytes = 0 } = (await this.ground.behind()).get(file) ?? {};
    await truncate(this.#path(file), to ?? Math.floor(bytes / 2));
  }

  remove(file: string): Promise<void> {
    return rm(this.#path(file));
  }

  /** Puts what is in one file in place of what is in another. */
  replace(file: string, by: string): Promise<void> {
    return copyFile(this.#path(by), this.#path(file));
  }

  /** The files that may hold a content of this size, where a file is a file there: as it is, or as crypt keeps it. */
  async ofSize(size: number): Promise<string[]> {
    const sizes = [size, cryptSize(size)];
    const files = [...(await this.ground.behind())].filter(([, { bytes }]) => sizes.includes(bytes));
    return files.map(([path]) => path);
  }

  async largest(files: readonly string[]): Promise<string> {
    const behind = await this.ground.behind();
    const sizeOf = (file: string) => behind.get(file)?.bytes ?? -1;
    const [first = '', ...others] = files;
    return others.reduce((best, file) => (sizeOf(file) > sizeOf(best) ? file : best), first);
  }

  /** Does something, and then lets the place be as it was. */
  async spoiled(spoil: () => Promise<void>, look: () => Promise<void>): Promise<void> {
    const { behind } = this.ground.place;
    const saved = join(this.ground.folder, 'saved');
    await execa('cp', ['-a', behind, saved]);
    try {
      await spoil();
      await look();
    } finally {
      await execa('sh', ['-c', 'rm -rf "$1"/* && cp -a "$2"/. "$1" && rm -rf "$2"', 'sh', behind, saved]);
    }
  }

  #path(file: string): string {
    return join(this.ground.place.behind, file);
  }
}

/** crypt's file format: a header of 32 bytes, and 16 bytes for each 64 KiB (rclone's documentation of crypt). */
function cryptSize(size: number): number {
  return 32 + size + 16 * Math.ceil(size / 65_536);
}

/** Files of the second night that are spoiled where all media are files of their own, and how. */
export async function spoilMedia(
  vandal: Vandal,
  sizeOf: (path: string) => number,
): Promise<(string | string[])[]> {
  const [large = ''] = await vandal.ofSize(sizeOf(special.large));
  await vandal.flipBit(large, 3); // where crypt has its header
  const [one = '', other = ''] = await vandal.ofSize(sizeOf(special.one));
  await vandal.replace(one, other);
  const [twin = ''] = await vandal.ofSize(sizeOf(special.twin));
  await vandal.remove(twin);
  const [fresh = ''] = await vandal.ofSize(sizeOf(special.fresh));
  await vandal.cut(fresh, 10); // less than crypt's header
  return [special.large, [special.one, special.other], special.twin, special.otherTwin, special.fresh];
}
