/**
 * Keys that are there twice although an index says that they are unique. An index whose order of text has changed under
 * it (glibc 2.28, a move between distributions) misses rows and so lets them in; nobody notices until a restore makes the
 * index anew (mastodon/mastodon issues 14443, 28426; docs, "Index corruption"). Pure: makes the SQL, asks nobody.
 */

export interface UniqueIndex {
  readonly name: string;
  /** Qualified and quoted. */
  readonly table: string;
  /** Of the table, without its indexes: what has to be read. */
  readonly bytes: number;
  /** Columns and expressions, as SQL. */
  readonly keys: readonly string[];
  /** As SQL; `true` for an index of the whole table. */
  readonly predicate: string;
  /** NULLS NOT DISTINCT (PostgreSQL 15). */
  readonly nullsAreEqual: boolean;
  /** It sorts text: the kind that breaks. */
  readonly text: boolean;
}

export interface Limits {
  /** A table larger than this is not read through. Bytes. */
  readonly tableBytes: number;
  /** Nor are more than this in all. Bytes. */
  readonly allBytes: number;
  /** For one table. Milliseconds. */
  readonly statementMs: number;
  /** For all of them. Milliseconds. */
  readonly sessionMs: number;
}

/** A modest disk reads 200 MB in a second: quick is done within seconds, and a night's reading is more than thorough. */
export const limits = {
  quick: { tableBytes: 256e6, allBytes: 1e9, statementMs: 5_000, sessionMs: 40_000 },
  thorough: { tableBytes: Infinity, allBytes: Infinity, statementMs: 3_600_000, sessionMs: 6 * 3_600_000 },
} as const satisfies Record<string, Limits>;

/** The tables that issue after issue tells of, in the order of what their duplicates break. */
const first = [
  'accounts',
  'users',
  'tags',
  'statuses',
  'conversations',
  'custom_emojis',
  'media_attachments',
];

/** Which indexes are looked at within the limits: those of text before others, the notorious tables first, then the small. */
export function worthLooking(
  all: readonly UniqueIndex[],
  { tableBytes, allBytes }: Limits,
): { chosen: UniqueIndex[]; left: UniqueIndex[] } {
  const rank = ({ table, text }: UniqueIndex) => {
    const at = first.indexOf(table.replace(/^public\./, ''));
    return (text ? 0 : 100) + (at < 0 ? first.length : at);
  };
  const ordered = [...all].sort((one, other) => rank(one) - rank(other) || one.bytes - other.bytes);
  const chosen: UniqueIndex[] = [];
  let sum = 0;
  for (const index of ordered) {
    if (index.bytes > tableBytes || sum + index.bytes > allBytes) continue;
    sum += index.bytes;
    chosen.push(index);
  }
  return { chosen, left: ordered.filter((index) => !chosen.includes(index)) };
}

/**
 * Counts, for each index, the keys that are there more than once: a row `name, count` for each that was counted in time.
 * The tables themselves are read, since a broken index would not tell.
 */
export function duplicatesSql(indexes: readonly UniqueIndex[], { statementMs }: Limits): string {
  const counts = indexes.map(({ name, table, keys, predicate, nullsAreEqual }) => {
    const present = nullsAreEqual ? [] : keys.map((key) => `(${key}) IS NOT NULL`);
    const where = [`(${predicate})`, ...present].join(' AND ');
    return `SELECT '${name.replaceAll("'", "''")}', count(*) FROM (SELECT FROM ${table} WHERE ${where} GROUP BY ${keys.map((key) => `(${key})`).join(', ')} HAVING count(*) > 1) AS twice;`;
  });
  return [
    // One that takes too long, or fails, does not keep the others from being counted.
    '\\set ON_ERROR_STOP 0',
    `SET statement_timeout = ${String(statementMs)};`,
    "SET lock_timeout = '2s';",
    'SET default_transaction_read_only = on;',
    'SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off;',
    ...counts,
  ].join('\n');
}
