import { type BackupId, timeOfBackup } from './id.js';
import { sizeText } from './space.js';

/**
 * Whether tonight's database is a full dump or a delta against the last full one, and why. Pure.
 *
 * A delta needs nothing of its full dump but the signature, which stays on the host, and is always made against a full
 * dump, never against another delta: a restore needs two files, whatever the night.
 */

/** The last full dump, as the host remembers it: what deltas are made against. */
export interface FullDump {
  readonly backup: BackupId;
  readonly bytes: number;
  readonly sha256: string;
  readonly blockSize: number;
  readonly signatureSha256: string;
  readonly pgMajor: number;
  readonly mastodon: string | null;
  /** The newest version in schema_migrations. */
  readonly schema: string | null;
  /** Bytes that it took on an off-site. */
  readonly storedBytes: number;
}

export interface Tonight {
  readonly backup: BackupId;
  /** How old a full dump may become; null: deltas are off. */
  readonly fullEveryMs: number | null;
  /** What deltas need and is not there, in words: `rdiff is not on vps`. With what to do about it. */
  readonly lacking?: { readonly what: string; readonly next: string };
  readonly pgMajor: number;
  readonly mastodon: string | null;
  readonly schema: string | null;
  readonly full: FullDump | null;
  /** Whether the signature on the host is that of the full dump. */
  readonly signature: boolean;
  /** Bytes of the newest delta against this full dump. */
  readonly lastDeltaBytes?: number;
  /** The off-sites of tonight's run; `lacks`: why the full dump does not count as being there. */
  readonly offsites: readonly { readonly name: string; readonly lacks?: string }[];
}

export interface DatabasePlan {
  readonly kind: 'full' | 'delta';
  /** In the operator's words, to be read after "because". */
  readonly why: string;
  /** Of a delta: the backup that holds its full dump. */
  readonly full?: BackupId;
  readonly warnings: readonly string[];
}

const dayMs = 24 * 3_600_000;

/** A nightly run begins at another minute each night: its full dump must not slip to the night after. */
const halfANightMs = dayMs / 2;

/** A delta above this share of the full dump's stored size saves too little for what it asks of a restore. */
const largestDelta = 1 / 3;

export function planTonight(tonight: Tonight): DatabasePlan {
  const { full, lacking } = tonight;
  const because = (why: string, warnings: readonly string[] = []): DatabasePlan => ({
    ...{ kind: 'full', why, warnings },
  });
  if (tonight.fullEveryMs === null) return because('deltas are off (database.delta)');
  if (lacking !== undefined) {
    return because(lacking.what, [`The database is dumped whole: ${lacking.what}. ${lacking.next}`]);
  }
  if (full === null) return because('this host remembers no full dump yet');
  const ageMs = timeOfBackup(tonight.backup).getTime() - timeOfBackup(full.backup).getTime();
  const whole = reasonForFull(tonight, full, ageMs, tonight.fullEveryMs);
  if (whole !== undefined) return because(whole);
  return { kind: 'delta', why: `its full dump is ${ageText(ageMs)} old`, full: full.backup, warnings: [] };
}

function reasonForFull(tonight: Tonight, full: FullDump, ageMs: number, everyMs: number): string | undefined {
  if (ageMs <= 0) return `the clock was set back: the last full dump is of ${full.backup}`;
  if (ageMs >= everyMs - halfANightMs) return `the last full dump is ${ageText(ageMs)} old`;
  if (!tonight.signature) return `the signature of the full dump of ${full.backup} is lost or damaged`;
  if (tonight.pgMajor !== full.pgMajor) {
    return `PostgreSQL is ${String(tonight.pgMajor)} now, and was ${String(full.pgMajor)}`;
  }
  if (tonight.mastodon !== full.mastodon) {
    return `Mastodon is ${tonight.mastodon ?? 'of an unknown version'} now, and was ${full.mastodon ?? 'of an unknown one'}`;
  }
  if (tonight.schema !== full.schema) return "the database's schema has changed since the last full dump";
  if (tonight.lastDeltaBytes !== undefined && tonight.lastDeltaBytes > full.storedBytes * largestDelta) {
    return `the last delta (${sizeText(tonight.lastDeltaBytes)}) was more than a third of the full dump (${sizeText(full.storedBytes)})`;
  }
  const [first] = tonight.offsites.filter(({ lacks }) => lacks !== undefined);
  if (first?.lacks !== undefined)
    return `${first.name} lacks the full dump of ${full.backup}: ${first.lacks}`;
  return undefined;
}

/** `5 hours`, `3 days` */
function ageText(ms: number): string {
  const hours = Math.round(ms / 3_600_000);
  if (hours >= 36) return `${String(Math.round(ms / dayMs))} days`;
  if (hours < 2) return `${String(Math.round(ms / 60_000))} minutes`;
  return `${String(hours)} hours`;
}

/**
 * rdiff holds the whole signature while it makes a delta. A block takes 20 bytes of sums and at most 34 of librsync's hash
 * table, which is filled to 70 % and of a size that is a power of two; 47 were measured.
 */
const bytesOfBlock = 64;

/** What rdiff may take of the host's memory. */
const mostMemory = 256 << 20;

/** Changes are scattered over a dump: the smaller the blocks, the smaller the delta; below this the signature outgrows it. */
const leastBlock = 512;

/** The block size for the signature of a dump, so that rdiff's memory is bounded: 512 up to 2 GiB, doubled above. */
export function blockSizeFor(dumpBytes: number): number {
  let size = leastBlock;
  while (dumpBytes / size > mostMemory / bytesOfBlock) size *= 2;
  return size;
}

/** How old the last walk from full dump and delta to the dump may be; nights begin at other minutes, and some fail. */
const walkEveryMs = 5.5 * dayMs;

/**
 * Whether a night that sends a delta walks the whole path on an off-site: full dump and delta, read back and put together.
 *
 * Its age alone decides, and a new full dump is no walk: it was read back whole when it was sealed, but that no delta was
 * put together with it stays so. Nor is the first delta against a new full dump due for that: with a full dump every other
 * day each delta would be walked, for what the full dump's own reading has told already.
 *
 * @param walkedAt ISO time of the last walk on this off-site that found nothing; undefined: never, or nobody knows.
 */
export function isWalkDue(walkedAt: string | undefined, now: Date): boolean {
  if (walkedAt === undefined) return true;
  const ageMs = now.getTime() - Date.parse(walkedAt);
  return !(ageMs >= 0 && ageMs < walkEveryMs);
}
