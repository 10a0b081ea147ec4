import type { SampleFile } from './files.js';
import type { KeyPair, SampleSecrets } from './keys.js';
import type { Random } from './random.js';
import type { Rows } from './rows.js';

export interface SampleSize {
  /** Accounts, local and remote together; a twentieth of them is local, but never fewer than ten. */
  readonly accounts: number;
  /** Statuses of all accounts; a fifth of them is local. */
  readonly statuses: number;
  /** Local media attachments with files of their own; a quarter as many remote ones come on top. */
  readonly media: number;
  /** The middling size of an original, in bytes. */
  readonly mediaBytes: number;
}

export const smallSize: SampleSize = { accounts: 60, statuses: 400, media: 40, mediaBytes: 20_000 };

export interface LocalAccount {
  readonly id: bigint;
  readonly username: string;
  /** Undefined for the instance's own actor and for an account whose user was deleted. */
  readonly userId: bigint | undefined;
  readonly keys: KeyPair;
  /** Where the private key is: `keypairs` is where 4.7 moves it to, encrypted. */
  readonly keysIn: 'accounts' | 'keypairs';
  readonly suspended: boolean;
  /** An OAuth access token that works, if it has one. */
  readonly token: string | undefined;
}

/** What is odd on purpose. Paths are below `public/system`. */
export interface Oddities {
  /** Named by a row, and not there. */
  readonly missing: string[];
  /** Named by rows that are still being processed; the original on disk still has its old extension. */
  readonly processing: string[];
  /** Files of no bytes. */
  readonly empty: string[];
  /** Of a suspended account: 0600. */
  readonly private: string[];
  /** Names with spaces, quotes or more than ASCII. */
  readonly named: string[];
  /** Remote files outside `cache/`, from before 3.1.4. */
  readonly remoteOutsideCache: string[];
  /** Files that no row names. */
  readonly orphans: string[];
}

/** Everything that is in a sample instance. */
export interface SampleData {
  readonly domain: string;
  readonly seed: string;
  readonly size: SampleSize;
  readonly secrets: SampleSecrets;
  readonly rows: Rows;
  readonly files: SampleFile[];
  /** Commands for Redis. */
  readonly redis: string[][];
  readonly accounts: LocalAccount[];
  readonly remoteAccountIds: bigint[];
  /** One-time-password secrets, in plain text, by user id. */
  readonly otpSecrets: Map<bigint, string>;
  readonly oddities: Oddities;
}

/** A sample while it is being made. */
export interface Draft extends SampleData {
  readonly random: Random;
  readonly encrypt: (plaintext: string) => string;
}

/** The last moment of the seeded data; everything in it is older. */
export const lastSeededMoment = Date.UTC(2026, 5, 30, 12);

/** The time of entry `index` of `count`: one a minute, up to the last moment. */
export function momentOf(index: number, count: number): Date {
  return new Date(lastSeededMoment - (count - index) * 60_000);
}

/** A snowflake id of that time: 48 bits of milliseconds, 16 bits of sequence (mastodon/mastodon lib/mastodon/snowflake.rb). */
export function snowflake(moment: Date, sequence: number): bigint {
  return (BigInt(moment.getTime()) << 16n) | BigInt(sequence & 0xffff);
}

export const stamps = (moment: Date): { created_at: Date; updated_at: Date } => ({
  created_at: moment,
  updated_at: moment,
});
