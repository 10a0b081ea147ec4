import { lastingIndexes } from '../mastodon/code-schema.js';
import { sqlText } from '../mastodon/sql-words.js';
import type { AtDatabase } from './asked.js';
import { shortName } from './database-indexes.js';
import { firstOf, NotSeen, Wrong } from './check.js';

/**
 * Sequences that a column takes its values from, with the highest value of the column and what the sequence has given
 * last. Where a column's default is `timestamp_id`, the sequence gives but the last bits of an id: not compared.
 */
const sequencesSql = `SELECT format(
  'SELECT %L, coalesce((SELECT max(%I) FROM %s)::text, ''''), (SELECT CASE WHEN is_called THEN last_value ELSE last_value - %s END FROM %s)',
  c.oid::regclass::text || '.' || a.attname, a.attname, c.oid::regclass, s.seqincrement, s.seqrelid::regclass)
FROM pg_sequence s JOIN LATERAL (
  SELECT f.adrelid, f.adnum::int FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid
  WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = s.seqrelid
    AND pg_get_expr(f.adbin, f.adrelid) LIKE 'nextval(%'
  UNION
  SELECT d.refobjid, d.refobjsubid FROM pg_depend d
  WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.refclassid = 'pg_class'::regclass
    AND d.deptype = 'i'
) AS used(tableid, columnid) ON true
JOIN pg_class c ON c.oid = used.tableid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = used.columnid
WHERE s.seqincrement > 0 ORDER BY 1 \\gexec`;

/** The tables whose ids are made by `timestamp_id`, as their defaults name them. */
const snowflakesSql = `SELECT DISTINCT (regexp_match(pg_get_expr(f.adbin, f.adrelid), 'timestamp_id\\(''([^'']+)'''))[1]
FROM pg_attrdef f JOIN pg_class c ON c.oid = f.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND pg_get_expr(f.adbin, f.adrelid) LIKE '%timestamp_id(%' ORDER BY 1`;

/** No sequence is behind its table: the next row would get an id that is taken. */
export async function sequences({ asked }: AtDatabase): Promise<string> {
  const rows = await asked.rows(sequencesSql);
  const behind = rows.filter(
    ([, highest = '', last = '0']) => highest !== '' && BigInt(last) < BigInt(highest),
  );
  if (behind.length > 0) {
    const named = behind.map(
      ([column = '', highest = '', last = '']) =>
        `${shortName(column)} is at ${highest}, its sequence at ${last}`,
    );
    throw new Wrong(`sequences are behind their tables: ${firstOf(named)}`);
  }
  // Not of any column: a dump of single tables has them not (reference: `timestamp_id`, Mastodon::Snowflake).
  const wanted = (await asked.column(snowflakesSql)).map((table) => `${table}_id_seq`);
  const there = new Set(await asked.column("SELECT relname FROM pg_class WHERE relkind = 'S'"));
  const missing = wanted.filter((name) => !there.has(name));
  if (missing.length > 0) throw new Wrong(`sequences that ids are made of are missing: ${firstOf(missing)}`);
  return `${String(rows.length)} sequences are not behind their tables${wanted.length === 0 ? '' : `, and the ${String(wanted.length)} of timestamp_id are there`}`;
}

/** Tables whose ids have been made by `timestamp_id` in every version since 2.0 or 3.1 (reference: Mastodon::Snowflake). */
const snowflakeTables = ['accounts', 'media_attachments', 'statuses'];

const withoutDefaultSql = `SELECT c.relname FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'id' AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND NOT a.atthasdef AND a.attidentity = '' ORDER BY 1`;

/** The functions that defaults call are there and work, and no id has lost its default. */
export async function functions({ asked, schema, manifest }: AtDatabase): Promise<string> {
  const keyed = new Set(
    (manifest.database?.uniqueIndexes ?? lastingIndexes).flatMap(({ table, name, columns }) =>
      name === null && columns.join() === 'id' ? [table] : [],
    ),
  );
  const without = (await asked.column(withoutDefaultSql)).filter((table) => keyed.has(table));
  if (without.length > 0)
    throw new Wrong(`no new row can be written: the ids of ${firstOf(without)} have lost their defaults`);
  const made = await asked.column(snowflakesSql);
  const [exists] = await asked.column(
    "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE proname = 'timestamp_id' AND n.nspname = 'public'",
  );
  const expected = snowflakeTables.filter((table) => schema.has(table));
  if (exists === '0' && (made.length > 0 || expected.length > 0))
    throw new Wrong('the function timestamp_id, which makes the ids of posts and accounts, is missing');
  const lost = expected.filter((table) => !made.includes(table));
  if (lost.length > 0) throw new Wrong(`the ids of ${firstOf(lost)} are not made by timestamp_id any more`);
  const [first] = made;
  const called = first === undefined || (await callTimestampId(asked, first));
  return `timestamp_id is there and makes the ids of ${String(made.length)} tables${called ? '' : ' (not called: only a superuser could be had here)'}`;
}

/** @returns false where that would run it as a superuser: it is the dump's. */
async function callTimestampId(asked: AtDatabase['asked'], table: string): Promise<boolean> {
  const [superuser] = await asked.column('SELECT rolsuper FROM pg_roles WHERE rolname = session_user');
  if (superuser !== 'f') return false;
  try {
    // It names its sequences without their schema.
    await asked.rows(`SET search_path = public; SELECT public.timestamp_id(${sqlText(table)})`);
    return true;
  } catch (error) {
    if (error instanceof NotSeen || error instanceof Wrong)
      throw new Wrong(`timestamp_id makes no id: ${error.message}`);
    throw error;
  }
}

/** Foreign keys hold, and every user has a local account. */
export async function foreignKeys({ asked, schema }: AtDatabase): Promise<string> {
  const [row] = await asked.rows(`SELECT count(*), count(*) FILTER (WHERE NOT convalidated),
  coalesce(string_agg(conname, ', ' ORDER BY conname) FILTER (WHERE NOT convalidated), '')
FROM pg_constraint WHERE contype = 'f'`);
  const [all = '0', open = '0', names = ''] = row ?? [];
  if (all === '0' && schema.has('users') && schema.has('accounts'))
    throw new Wrong('there is no foreign key at all: nothing keeps the tables together');
  if (schema.get('users')?.has('account_id') === true && schema.get('accounts')?.has('domain') === true) {
    const stray = await asked.column(`SELECT u.id FROM public.users u
LEFT JOIN public.accounts a ON a.id = u.account_id WHERE a.id IS NULL OR a.domain IS NOT NULL ORDER BY 1 LIMIT 11`);
    if (stray.length > 0)
      throw new Wrong(
        `users without a local account: those with the ids ${stray.slice(0, 10).join(', ')}${stray.length > 10 ? ' and more' : ''}`,
      );
  }
  const notValidated =
    open === '0' ? '' : ` (${open} of them NOT VALID, as at the source: ${names.slice(0, 200)})`;
  return `${all} foreign keys hold${notValidated}, and every user has a local account`;
}
