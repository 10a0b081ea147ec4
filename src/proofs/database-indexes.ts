import { randomBytes } from 'node:crypto';
import { lastingIndexes, type UniqueIndex } from '../mastodon/code-schema.js';
import type { AtDatabase } from './asked.js';
import { firstOf, NotSeen, Wrong } from './check.js';

/** Indexes of everything but PostgreSQL's own tables. @param also another schema. */
function fromIndexes(also = ''): string {
  return `FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
  AND (n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' OR n.nspname = '${also}')`;
}

/** No index is left half-built: such a one is not used, and a unique one does not keep duplicates out. */
export async function indexesValid({ asked }: AtDatabase): Promise<string> {
  const rows = await asked.rows(
    `SELECT x.oid::regclass, i.indisvalid AND i.indisready AND i.indislive ${fromIndexes()}`,
  );
  const invalid = rows.flatMap(([name = '', valid]) => (valid === 't' ? [] : [shortName(name)]));
  if (invalid.length > 0) throw new Wrong(`invalid indexes: ${firstOf(invalid)}`);
  if (rows.length === 0) throw new Wrong('there is no index at all');
  return `${String(rows.length)} indexes, all valid`;
}

/** Table, name (of a constraint's index too), whether it is a primary key, and the columns as schema.rb has them. */
const uniqueSql = `SELECT t.relname, x.relname, i.indisprimary, i.indnkeyatts::text,
  array_to_string(ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, true) FROM generate_series(1, i.indnkeyatts) AS k), ',')
${fromIndexes()}
WHERE n.nspname = 'public' AND i.indisunique AND i.indisvalid ORDER BY 1, 2`;

/** The unique indexes that the code counts on are there: without one, duplicates come in and break what relies on it. */
export async function uniqueIndexes({ asked, schema, manifest }: AtDatabase): Promise<string> {
  const ofCode = manifest.database?.uniqueIndexes;
  const wanted = ofCode ?? lastingIndexes.filter(({ table }) => schema.has(table));
  const rows = await asked.rows(uniqueSql);
  const names = new Set(rows.map(([table = '', name = '']) => `${table} ${name}`));
  const keys = new Set(rows.map(([table = '', , , , columns = '']) => `${table} (${columns})`));
  const has = ({ table, name, columns }: UniqueIndex): boolean =>
    (name !== null && names.has(`${table} ${name}`)) || keys.has(`${table} (${columns.join(',')})`);
  const missing = wanted.filter((index) => !has(index));
  if (missing.length > 0) {
    const named = missing.map(({ table, name, columns }) =>
      name === null ? `the primary key of ${table} (${columns.join(', ')})` : `${name} on ${table}`,
    );
    throw new Wrong(`unique indexes that Mastodon's code counts on are missing: ${firstOf(named)}`);
  }
  const by = ofCode === undefined ? 'that every version of Mastodon has' : "of the code's db/schema.rb";
  return `the ${String(wanted.length)} unique indexes ${by} are there`;
}

/** Nothing outside of PostgreSQL's own schema has a short name while a proof asks. */
export function shortName(name: string): string {
  return name.replace(/^public\./, '');
}

/** Ours, so that a proof that was cut off is told from an extension that the database has. */
const ownSchema = /^permafrost_amcheck_[0-9a-f]{8}$/;

/** Indexes up to this size are also compared with their tables' rows, one by one. */
const comparedBytes = 8 << 20;

/** Sessions that go through the indexes at a time. */
const sessions = 2;

/**
 * Goes through every B-tree (PostgreSQL's amcheck): its order is that of the server's collation, and small ones have an
 * entry for every row. What an index of the restored database is made of has been sorted here and now, so that this finds
 * what the server, its collation or its disk do wrong; what the source's indexes hid shows when the dump is loaded.
 */
export async function btreeIntegrity({ asked, superuser }: AtDatabase): Promise<string> {
  const schema = await amcheckSchema(asked, superuser);
  try {
    const found = await Promise.all(
      Array.from({ length: sessions }, (_, session) => asked.rowsAsAdmin(checkSql(schema.name, session))),
    );
    const rows = found.flat();
    const broken = rows
      .filter(([kind]) => kind === 'broken')
      .map(([, index = '', said = '']) => `${shortName(index)}: ${said}`);
    if (broken.length > 0) throw new Wrong(`broken B-trees: ${firstOf(broken)}`);
    const sum = (at: number) =>
      rows.reduce((total, row) => total + (row[0] === 'checked' ? Number(row[at]) : 0), 0);
    return `${String(sum(1))} B-trees are in order, ${String(sum(2))} of them with an entry for every row (amcheck)`;
  } finally {
    if (schema.own) await asked.rowsAsAdmin(`DROP SCHEMA IF EXISTS ${schema.name} CASCADE`);
  }
}

/** The schema that amcheck's functions are in; made for this proof where the database has none. */
async function amcheckSchema(
  asked: AtDatabase['asked'],
  superuser: boolean,
): Promise<{ name: string; own: boolean }> {
  const [there] = await asked.column(
    "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'amcheck'",
  );
  if (there !== undefined && !ownSchema.test(there)) return { name: there, own: false };
  if (!superuser) throw new NotSeen('only a superuser of PostgreSQL may go through the B-trees (amcheck)');
  const [known] = await asked.column("SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'");
  if (known === undefined)
    throw new NotSeen(
      'the server has no amcheck, which goes through the B-trees (on Debian it comes with postgresql-NN)',
    );
  if (there !== undefined) return { name: there, own: true };
  // Nobody can have put functions there beforehand.
  const name = `permafrost_amcheck_${randomBytes(4).toString('hex')}`;
  await asked.rowsAsAdmin(`CREATE SCHEMA ${name}; CREATE EXTENSION amcheck SCHEMA ${name};`);
  return { name, own: true };
}

/**
 * A row for each index that is broken, and one with how many were checked and how many of them compared with their rows.
 * Each index in a block of its own: one that is broken does not end the others. Without a temporary table, whose schema
 * would stay. An index whose expression calls functions that came with the dump is not compared with its rows: before
 * CVE-2022-1552 was mended, they ran as the superuser.
 */
function checkSql(schema: string, session: number): string {
  return `DO $do$
DECLARE
  index record; checked int := 0; compared int := 0; seen jsonb := '[]';
BEGIN
  FOR index IN
    SELECT o.oid, o.oid::regclass AS name, o.small FROM (
      SELECT x.oid, pg_relation_size(x.oid) <= ${String(comparedBytes)} AND NOT EXISTS (
          SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.oid
            AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass)
        ) AS small,
        row_number() OVER (ORDER BY pg_relation_size(x.oid) DESC, x.oid) % ${String(sessions)} AS session
      ${fromIndexes('pg_toast')}
      JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
      WHERE x.relkind = 'i' AND i.indisvalid AND i.indisready AND x.relpersistence <> 't'
    ) AS o WHERE o.session = ${String(session)}
  LOOP
    BEGIN
      PERFORM ${schema}.bt_index_check(index.oid::regclass, index.small);
      checked := checked + 1;
      compared := compared + index.small::int;
    EXCEPTION WHEN internal_error OR data_corrupted OR index_corrupted OR data_exception THEN
      seen := seen || jsonb_build_array(jsonb_build_array('broken', index.name::text, left(SQLERRM, 300)));
    END;
  END LOOP;
  seen := seen || jsonb_build_array(jsonb_build_array('checked', checked, compared));
  PERFORM set_config('permafrost.seen', seen::text, false);
END $do$;
SELECT row->>0, row->>1, row->>2 FROM jsonb_array_elements(current_setting('permafrost.seen')::jsonb) AS row;`;
}
