import { checkPrimeSync, type Cipher, createCipheriv, createHash } from 'node:crypto';

/** Numbers and bytes that look random and are the same for the same seed. */
export class Random {
  readonly #stream: Cipher;

  constructor(seed: string) {
    this.#stream = createCipheriv(
      'aes-256-ctr',
      createHash('sha256').update(seed).digest(),
      Buffer.alloc(16),
    );
  }

  bytes(length: number): Buffer {
    return this.#stream.update(Buffer.alloc(length));
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return this.bytes(6).readUIntBE(0, 6) % limit;
  }

  pick<T>(choices: readonly T[]): T {
    const chosen = choices[this.below(choices.length)];
    if (chosen === undefined) throw new RangeError('nothing to pick from');
    return chosen;
  }

  hex(bytes: number): string {
    return this.bytes(bytes).toString('hex');
  }

  /** `length` characters of RFC 4648's base32 alphabet, as Mastodon's one-time-password secrets. */
  base32(length: number): string {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
    return Array.from(this.bytes(length), (byte) => alphabet[byte % 32]).join('');
  }

  /** A prime of exactly `bits` bits whose predecessor has no factor in common with `exponent`. */
  prime(bits: number, exponent: bigint): bigint {
    for (;;) {
      const candidate = this.bytes(bits / 8);
      candidate[0] = (candidate[0] ?? 0) | 0xc0;
      candidate[candidate.length - 1] = (candidate[candidate.length - 1] ?? 0) | 1;
      const value = BigInt(`0x${candidate.toString('hex')}`);
      if ((value - 1n) % exponent !== 0n && checkPrimeSync(candidate)) return value;
    }
  }
}
