import { lastSeededMoment } from '../../sample/data.js';

/** Bytes on disk, indexes included, that one status takes with everything that hangs on it. Measured on PostgreSQL 15. */
const bytesPerStatus = 1_320;

/** How many of everything there are, in the proportions of a server of some years. */
export interface Size {
  readonly statuses: number;
  readonly accounts: number;
  /** Local attachments, of two files each. */
  readonly attachments: number;
  /** Bytes of all media together. */
  readonly mediaBytes: number;
}

export function sizeOf(wanted: { databaseBytes: number; mediaFiles: number; mediaBytes: number }): Size {
  const statuses = Math.ceil(wanted.databaseBytes / bytesPerStatus);
  return {
    statuses,
    accounts: Math.ceil(statuses / 6),
    attachments: Math.ceil(wanted.mediaFiles / 2),
    mediaBytes: wanted.mediaBytes,
  };
}

/** Entries of the instance's life: from `first` on, `count` of them. */
export interface Entries {
  readonly first: number;
  readonly count: number;
}

const years = 3.5;
const beganAt = lastSeededMoment - years * 365 * 86_400_000;

/** When things happened and which ids they have, for the first `size` and for all that come after. Pure. */
export class Population {
  readonly size: Size;
  readonly #statusStep: number;
  readonly #accountStep: number;

  constructor(size: Size) {
    this.size = size;
    const life = lastSeededMoment - beganAt;
    this.#statusStep = life / size.statuses;
    this.#accountStep = life / size.accounts;
  }

  statusAt(index: number): number {
    return Math.floor(beganAt + index * this.#statusStep);
  }

  statusId(index: number): bigint {
    return snowflakeAt(this.statusAt(index), index);
  }

  accountAt(index: number): number {
    return Math.floor(beganAt + index * this.#accountStep);
  }

  accountId(index: number): bigint {
    return snowflakeAt(this.accountAt(index), index);
  }

  /** Every fifth status is by somebody of this server. */
  isLocal(index: number): boolean {
    return index % 5 === 0;
  }

  /** The local status that an attachment is on. */
  statusOfAttachment(index: number): number {
    const locals = this.size.statuses / 5;
    return 5 * Math.floor((index * locals) / this.size.attachments);
  }

  attachmentId(index: number): bigint {
    return snowflakeAt(this.statusAt(this.statusOfAttachment(index)), index + 30_000);
  }
}

/** 48 bits of milliseconds, 16 that look random and are the entry's own (mastodon/mastodon lib/mastodon/snowflake.rb). */
function snowflakeAt(ms: number, index: number): bigint {
  return (BigInt(ms) << 16n) | BigInt((index * 40_503) & 0xffff);
}
