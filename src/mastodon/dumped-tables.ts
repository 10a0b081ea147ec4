/**
 * The relations that pg_dump reads, as the rest of a query of `pg_class c` and `pg_namespace n`: those of every schema,
 * less what belongs to an extension, which a restore makes again by CREATE EXTENSION (and which Mastodon's role often
 * may not read), unless the extension says that its content is the user's (PostgreSQL's manual, "Extension
 * Configuration Tables").
 *
 * @param kinds of pg_class.relkind; default: ordinary and partitioned tables.
 */
export function fromDumped(kinds: readonly ('r' | 'p' | 'S')[] = ['r', 'p']): string {
  return `FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN (${kinds.map((kind) => `'${kind}'`).join(', ')})
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (
    SELECT 1 FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass
      AND d.deptype = 'e' AND NOT c.oid = ANY (coalesce(e.extconfig, '{}')))`;
}

/** For psql: the rows of every table, `table, count`. Tables outside of `public` are named with their schema. */
export const countRowsSql = `SELECT format('SELECT %L, count(*) FROM %I.%I', CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END, n.nspname, c.relname)
${fromDumped()}
ORDER BY 1 \\gexec`;

/** For psql: `newest`, and when the newest status was written, ISO 8601; NULL when there is none. */
export const newestStatusSql = `SELECT 'newest', to_char(max(created_at), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') FROM public.statuses;`;
