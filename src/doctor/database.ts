import { bad, type Check, good, type Subject, warning } from '../backups/checks.js';
import { sizeText } from '../backups/space.js';
import type { Host } from '../hosts/host.js';
import type { DatabaseAccess } from '../mastodon/psql.js';
import { psql } from '../mastodon/psql.js';
import type { FoundDatabase } from '../mastodon/inspect.js';
import { duplicatesSql, limits, type UniqueIndex, worthLooking } from './duplicates.js';
import { judgeClock } from './host.js';
import type { About, Look } from './instance.js';
import { looking } from './looking.js';

/** What `lookAtDatabase` needs to know of the database. */
type Place = { readonly database: FoundDatabase; readonly appUser: string };

/**
 * The database as the ground of a restore: what a dump carries over without a word, and a restore then fails on. Two
 * sessions, each statement with a time limit.
 */
export async function lookAtDatabase(look: Look, about: About, place: Place): Promise<Check[]> {
  const access = { ...place, binDir: place.database.binDir };
  const answered = about('database', 'database');
  const indexes = about('database-indexes', 'indexes');
  const found = await looking(
    answered,
    async () => {
      const asked = Date.now();
      const rows = await psql(look.host, access, catalogSql(place.database.major), { timeoutMs: 40_000 });
      const now = (asked + Date.now()) / 2;
      return [
        version(answered, place.database),
        ...clock(about('database-clock', 'database'), rows, now, place.database),
        invalidIndexes(indexes, rows),
        collations(about('database-collation', 'collation'), rows, place.database),
        ...(await looking(
          about('database-duplicates', 'duplicates'),
          () => duplicates(look, about('database-duplicates', 'duplicates'), access, rows),
          look.thorough ? limits.thorough.sessionMs : limits.quick.sessionMs,
        )),
      ];
    },
    look.thorough ? limits.thorough.sessionMs : limits.quick.sessionMs,
  );
  return found;
}

/** What the catalog tells at once. Every row begins with what it is of. */
function catalogSql(major: number): string {
  const notDistinct = major >= 15 ? 'i.indnullsnotdistinct' : 'false';
  return `SET statement_timeout = '10s';
SELECT 'clock', floor(extract(epoch FROM clock_timestamp()) * 1000);
SELECT 'invalid', format('%I.%I', n.nspname, c.relname), format('%I.%I', n.nspname, t.relname), i.indisunique
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) AND n.nspname NOT LIKE 'pg\\_temp%' AND c.relkind = 'i'
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
ORDER BY 2;
${
  major >= 15
    ? `SELECT 'default-collation', datcollate, coalesce(datcollversion, ''), coalesce(pg_database_collation_actual_version(oid), 'none')
FROM pg_database WHERE datname = current_database();`
    : ''
}
SELECT 'collation', format('%I', c.collname), c.collversion, coalesce(pg_collation_actual_version(c.oid), 'none')
FROM pg_collation c
WHERE c.collversion IS NOT NULL AND c.collversion IS DISTINCT FROM pg_collation_actual_version(c.oid)
  AND (EXISTS (SELECT FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid
               WHERE a.attcollation = c.oid AND t.relkind IN ('r', 'p', 'm', 'i') AND t.oid >= 16384));
SELECT 'unique', c.relname, format('%I.%I', n.nspname, t.relname), pg_relation_size(t.oid),
  (SELECT string_agg(pg_get_indexdef(i.indexrelid, k, true), chr(31) ORDER BY k) FROM generate_series(1, i.indnkeyatts) k),
  coalesce(pg_get_expr(i.indpred, i.indrelid), 'true'), ${notDistinct},
  EXISTS (SELECT FROM unnest(i.indcollation::oid[]) o WHERE o <> 0)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indisunique AND NOT i.indisprimary AND n.nspname = 'public' AND t.relkind IN ('r', 'm')
  AND has_table_privilege(t.oid, 'SELECT')
ORDER BY 2;`;
}

type Rows = readonly (readonly string[])[];

function version(about: Subject, { serverVersion, sizeBytes, host, local, binDir }: FoundDatabase): Check {
  const place = local ? '' : ` at ${host}`;
  return good(
    about,
    `PostgreSQL ${serverVersion.split(' ')[0] ?? ''}${place}, ${sizeText(sizeBytes)}; dumped by ${binDir}`,
  );
}

/** Told only where it is wrong: on the host itself the clock is the host's. */
function clock(about: Subject, rows: Rows, now: number, { host, local }: FoundDatabase): Check[] {
  const [, told] = rows.find(([kind]) => kind === 'clock') ?? [];
  if (local || told === undefined) return [];
  const judged = judgeClock(about, `The clock of the database server ${host}`, Number(told) - now);
  return judged.ok ? [] : [judged];
}

function invalidIndexes(about: Subject, rows: Rows): Check {
  const invalid = rows.filter(([kind]) => kind === 'invalid');
  if (invalid.length === 0) return good(about, 'all valid');
  const names = invalid.map(([, name = '']) => name);
  const unique = invalid.filter(([, , , isUnique]) => isUnique === 't');
  const what = `${names.length === 1 ? 'is' : 'are'} not valid: a dump leaves ${names.length === 1 ? 'it' : 'them'} out, and a restored database lacks ${names.length === 1 ? 'it' : 'them'}`;
  const more = unique.length > 0 ? '; nothing keeps duplicates out meanwhile' : '';
  const leftOver = names.filter((name) => /_ccnew\d*"?$|_ccold\d*"?$/.test(name));
  const mend = names.map((name) =>
    leftOver.includes(name) ? `DROP INDEX CONCURRENTLY ${name};` : `REINDEX INDEX CONCURRENTLY ${name};`,
  );
  return warning(about, `${names.join(', ')} ${what}${more}.`, `In the database: ${mend.join(' ')}`);
}

function collations(about: Subject, rows: Rows, { name, major }: FoundDatabase): Check {
  const [, locale = '', recorded = '', actual = ''] =
    rows.find(([kind]) => kind === 'default-collation') ?? [];
  const whole = recorded !== '' && recorded !== actual;
  const others = rows.filter(([kind]) => kind === 'collation');
  if (!whole && others.length === 0) {
    const unknown = major < 15 ? `PostgreSQL ${String(major)} does not record its default's version` : '';
    return good(
      about,
      unknown === '' ? `${locale === '' ? 'the default' : locale}, as when the indexes were made` : unknown,
    );
  }
  const said = whole
    ? [`the database was made with version ${recorded} of ${locale}, and the system has ${actual}`]
    : [];
  const saidOthers = others.map(([, other = '', was = '', is = '']) => `${other} was ${was} and is ${is}`);
  const refresh = whole
    ? [`ALTER DATABASE "${name}" REFRESH COLLATION VERSION;`]
    : others.map(([, other = '']) => `ALTER COLLATION ${other} REFRESH VERSION;`);
  return warning(
    about,
    `The order of text has changed under the indexes: ${[...said, ...saidOthers].join('; ')}. Such indexes miss rows and let duplicates in.`,
    `See that there are no duplicates (permafrost doctor --thorough), then in the database: REINDEX DATABASE CONCURRENTLY "${name}"; ${refresh.join(' ')}`,
  );
}

async function duplicates(
  { host, thorough }: { host: Host; thorough: boolean },
  about: Subject,
  access: DatabaseAccess,
  rows: Rows,
): Promise<Check[]> {
  const all = rows.filter(([kind]) => kind === 'unique').flatMap(readIndex);
  const { chosen, left } = worthLooking(all, thorough ? limits.thorough : limits.quick);
  if (all.length === 0) return [good(about, 'there are no unique indexes')];
  const { sessionMs } = thorough ? limits.thorough : limits.quick;
  const counted = await psql(host, access, duplicatesSql(chosen, thorough ? limits.thorough : limits.quick), {
    timeoutMs: sessionMs,
  });
  const counts = new Map(counted.map(([index = '', count = '']) => [index, Number(count)]));
  const findings = chosen
    .filter(({ name }) => (counts.get(name) ?? 0) > 0)
    .map((index) => twice(about, index, counts.get(index.name) ?? 0));
  if (findings.length > 0) return findings;
  const late = chosen.filter(({ name }) => !counts.has(name));
  return [good(about, summary(all.length, [...left, ...late]))];
}

function summary(all: number, left: readonly UniqueIndex[]): string {
  const looked = all - left.length;
  const said = `none under ${String(looked)} unique ${looked === 1 ? 'index' : 'indexes'}`;
  if (left.length === 0) return said;
  const tables = [...new Set(left.map(({ table }) => table.replace(/^public\./, '')))];
  return `${said}; too large to look through in seconds: ${tables.join(', ')} (--thorough does)`;
}

function readIndex(row: readonly string[]): UniqueIndex[] {
  // psql separates fields by the character that the key expressions are joined with.
  const [, name, table, bytes, ...rest] = row;
  const text = rest.at(-1) === 't';
  const nullsAreEqual = rest.at(-2) === 't';
  const predicate = rest.at(-3);
  const keys = rest.slice(0, -3);
  if (name === undefined || table === undefined || predicate === undefined || keys.length === 0) return [];
  return [{ name, table, bytes: Number(bytes), keys, predicate, nullsAreEqual, text }];
}

function twice(about: Subject, index: UniqueIndex, count: number): Check {
  const { name, table, keys, predicate } = index;
  const where = predicate === 'true' ? '' : ` WHERE ${predicate}`;
  return bad(
    about,
    `${table} holds ${String(count)} ${count === 1 ? 'key' : 'keys'} more than once although ${name} is unique: that index is broken, and a restore fails on it.`,
    `See them: SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT ${keys.join(', ')}, count(*) FROM ${table}${where} GROUP BY ${keys.map((_, at) => String(at + 1)).join(', ')} HAVING count(*) > 1; Keep one of each, then: REINDEX INDEX CONCURRENTLY ${name};`,
  );
}
