import { Random } from '../../sample/random.js';

const poolBytes = 1 << 20;

/** Many random numbers, the same for the same seed: drawn from a pool, since one AES call for each would be slow. */
export class Dice {
  readonly #random: Random;
  #pool: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(seed: string) {
    this.#random = new Random(seed);
  }

  /** A whole number from 0 to 2³² - 1. */
  next(): number {
    if (this.#at + 4 > this.#pool.length) {
      this.#pool = this.#random.bytes(poolBytes);
      this.#at = 0;
    }
    this.#at += 4;
    return this.#pool.readUInt32LE(this.#at - 4);
  }

  /** From 0 up to, but not, 1. */
  share(): number {
    return this.next() / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.share() * limit);
  }

  bytes(length: number): Buffer {
    return this.#random.bytes(length);
  }

  hex(bytes: number): string {
    return this.#random.hex(bytes);
  }
}
