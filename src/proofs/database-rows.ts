import { countRowsSql, newestStatusSql } from '../mastodon/dumped-tables.js';
import type { AtDatabase } from './asked.js';
import { firstOf, NotSeen, Wrong } from './check.js';

/** Tables without which it is no Mastodon's database. */
const essential = ['accounts', 'schema_migrations', 'settings', 'statuses', 'users'];

/** Posts whose addresses are looked at. */
const newestPosts = 50;

/** Whose database it is: Mastodon's, of the backup's schema, and this instance's. */
export async function identity({ asked, schema, manifest, env }: AtDatabase): Promise<string> {
  if (schema.size === 0) throw new Wrong('there is no table in it: it is the dump of an empty database');
  const lacking = essential.filter((table) => !schema.has(table));
  if (lacking.length === essential.length || !schema.has('accounts'))
    throw new Wrong(
      `it holds ${String(schema.size)} tables and no Mastodon (no table ${firstOf(lacking)}): it is the dump of another database`,
    );
  if (lacking.length > 0) throw new Wrong(`the tables ${firstOf(lacking)} are missing`);
  const { rowCounts = {}, name = '' } = manifest.database ?? {};
  const [version = ''] = await asked.column('SELECT max(version) FROM public.schema_migrations');
  const expected = manifest.versions.schema;
  if (expected !== null && version !== expected)
    throw new Wrong(
      `its schema is ${version === '' ? 'that of no version' : version}, and that of ${name} was ${expected}: it is the dump of another database`,
    );
  const [local = '0'] = await asked.column(
    'SELECT count(*) FROM public.accounts WHERE domain IS NULL AND id > 0',
  );
  if (local === '0' && (rowCounts['users'] ?? 0) > 0)
    throw new Wrong(
      'it has no local account, and the backup had users: it is the dump of an empty instance, or of another one',
    );
  const addresses = await asked.column(newestAddressesSql);
  const servers = [...new Set(addresses.flatMap((address) => hostOf(address) ?? []))];
  const own = ownDomains(manifest.instance, env);
  if (servers.length > 0 && !servers.some((server) => own.has(server))) {
    const foreign = `its newest local posts are of ${firstOf(servers)}`;
    // Mastodon may be reached under another name than its accounts have: only the env file tells it.
    if (env === null)
      throw new NotSeen(`${foreign}, and without the secrets it is not known whether that is ours`);
    throw new Wrong(`${foreign}, and not of ${manifest.instance}: it is another instance's database`);
  }
  return `Mastodon's database of schema ${version}, ${local} local accounts${servers.length === 0 ? '' : `, newest local posts of ${firstOf(servers)}`}`;
}

/** By the condition of an index that every version has: `index_statuses_local_20190824`. */
const newestAddressesSql = `SELECT uri FROM public.statuses
WHERE (local OR uri IS NULL) AND deleted_at IS NULL AND visibility = 0 AND reblog_of_id IS NULL
  AND (NOT reply OR in_reply_to_account_id = account_id) AND uri IS NOT NULL
ORDER BY id DESC LIMIT ${String(newestPosts)}`;

function hostOf(address: string): string | undefined {
  return URL.canParse(address) ? new URL(address).hostname : undefined;
}

function ownDomains(instance: string, env: AtDatabase['env']): ReadonlySet<string> {
  const named = ['LOCAL_DOMAIN', 'WEB_DOMAIN', 'ALTERNATE_DOMAINS'].flatMap(
    (variable) => env?.get(variable)?.split(',') ?? [],
  );
  const hosts = [instance, ...named].map((domain) => hostOf(`https://${domain.trim()}`));
  return new Set(hosts.flatMap((host) => host ?? []));
}

/** Every table has as many rows as at the backup's moment, counted then in the dump's own snapshot. */
export async function rowCounts({ asked, manifest }: AtDatabase): Promise<string> {
  const expected = new Map(Object.entries(manifest.database?.rowCounts ?? {}));
  if (expected.size === 0) throw new NotSeen('the manifest has no row counts');
  const rows = await asked.rows(countRowsSql);
  const found = new Map(rows.map(([table = '', count = '0']) => [table, Number(count)]));
  const excused = await tablesOfLackingExtensions({ asked, manifest });
  const differing = [...expected].flatMap(([table, count]) => {
    const has = found.get(table);
    if (has === count || (has === undefined && excused(table))) return [];
    return [
      has === undefined ? `${table} is missing` : `${table} has ${String(has)} instead of ${String(count)}`,
    ];
  });
  const more = [...found.keys()].filter((table) => !expected.has(table));
  const problems = [...differing, ...more.map((table) => `${table} was not in the backup's database`)];
  if (problems.length > 0) throw new Wrong(`rows differ from the backup's moment: ${firstOf(problems)}`);
  const sum = [...found.values()].reduce((total, count) => total + count, 0);
  return `${String(found.size)} tables with ${String(sum)} rows, each with as many as at the backup's moment`;
}

/**
 * Tables that an extension keeps for its user (PostGIS's `spatial_ref_sys`, pg_cron's) are not there where the server lacks
 * the extension. Mastodon's own all lie in `public`, and are those that the code has keys for, where the backup says which.
 */
async function tablesOfLackingExtensions({
  asked,
  manifest,
}: Pick<AtDatabase, 'asked' | 'manifest'>): Promise<(table: string) => boolean> {
  const has = new Set(await asked.column('SELECT extname FROM pg_extension'));
  const lacking = (manifest.database?.extensions ?? []).some(({ name }) => !has.has(name));
  const ofCode = manifest.database?.uniqueIndexes;
  const tables = new Set([...essential, ...(ofCode ?? []).map(({ table }) => table)]);
  return (table) => lacking && (table.includes('.') || (ofCode !== undefined && !tables.has(table)));
}

/** The newest status is that of the backup's moment: neither an older dump nor a newer one. */
export async function newestStatus({ asked, manifest, schema }: AtDatabase): Promise<string> {
  if (!schema.has('statuses')) throw new Wrong('there is no table of statuses');
  const expected = manifest.database?.newestStatusAt ?? null;
  const [row] = await asked.rows(newestStatusSql);
  const found = row?.[1] === undefined || row[1] === '' ? null : row[1];
  if (found === expected)
    return found === null ? 'there is no status, as in the backup' : `the newest status is of ${found}`;
  const word = found === null || (expected !== null && found < expected) ? 'older' : 'newer';
  throw new Wrong(
    `the newest status is of ${found ?? 'never'}, and the backup's was of ${expected ?? 'never'}: the dump is ${word} than its manifest`,
  );
}
