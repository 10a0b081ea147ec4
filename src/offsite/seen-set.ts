import { createHash } from 'node:crypto';

/**
 * Pairs of text that are expected in any order, and which of them have been seen: eight bytes and a bit for each, so that
 * a million files take eight megabytes. Pairs that come twice are one.
 *
 * Sixty-four bits of a hash stand for a pair; that any two of a million share them happens once in thirty million times.
 */
export class SeenSet {
  #hashes = new BigUint64Array(1024);
  #size = 0;
  #seen: Uint8Array | undefined;
  #missing = 0;

  /** Expects a pair. All are added before the first one is seen. */
  add(key: string, value: string | number): void {
    if (this.#seen !== undefined) throw new RangeError('what is expected was said already');
    if (this.#size === this.#hashes.length) {
      const more = new BigUint64Array(this.#size * 2);
      more.set(this.#hashes);
      this.#hashes = more;
    }
    this.#hashes[this.#size++] = hashOf(key, value);
  }

  /** Takes note of a pair. @returns whether it is expected and came for the first time. */
  see(key: string, value: string | number): boolean {
    const [bits, at] = [this.#ready(), this.#find(key, value)];
    if (at === undefined || isSet(bits, at)) return false;
    bits[at >>> 3] = (bits[at >>> 3] ?? 0) | (1 << (at & 7));
    this.#missing -= 1;
    return true;
  }

  /** Whether an expected pair was seen; true of what was not expected. */
  seen(key: string, value: string | number): boolean {
    const [bits, at] = [this.#ready(), this.#find(key, value)];
    return at === undefined || isSet(bits, at);
  }

  /** Whether a pair is expected. */
  has(key: string, value: string | number): boolean {
    this.#ready();
    return this.#find(key, value) !== undefined;
  }

  /** How many were not seen yet. */
  get missing(): number {
    this.#ready();
    return this.#missing;
  }

  /** Sorts, and takes out what is there twice, at the first question. */
  #ready(): Uint8Array {
    if (this.#seen !== undefined) return this.#seen;
    const sorted = this.#hashes.subarray(0, this.#size).sort();
    let distinct = 0;
    for (let at = 0; at < sorted.length; at += 1) {
      const hash = sorted[at] ?? 0n;
      if (at === 0 || hash !== sorted[distinct - 1]) sorted[distinct++] = hash;
    }
    this.#size = distinct;
    this.#missing = distinct;
    this.#seen = new Uint8Array((distinct + 7) >>> 3);
    return this.#seen;
  }

  #find(key: string, value: string | number): number | undefined {
    const wanted = hashOf(key, value);
    let [low, high] = [0, this.#size];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#hashes[middle] ?? 0n) < wanted) low = middle + 1;
      else high = middle;
    }
    return low < this.#size && this.#hashes[low] === wanted ? low : undefined;
  }
}

function isSet(bits: Uint8Array, at: number): boolean {
  return ((bits[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0;
}

function hashOf(key: string, value: string | number): bigint {
  return createHash('sha256')
    .update(`${String(value)}\0${key}`)
    .digest()
    .readBigUInt64BE(0);
}
