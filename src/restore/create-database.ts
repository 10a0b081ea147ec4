import type { Manifest } from '../backups/manifest.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { type DatabaseAccess, psql } from '../mastodon/psql.js';
import { sqlName, sqlText } from '../mastodon/sql-words.js';

/** How a database sorts and what its characters are. */
export interface Locale {
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  /** ICU's, where it is the provider. */
  readonly icu?: string;
}

/** The living database, as far as a new one takes after it. */
interface Living {
  readonly locale: Locale;
  readonly tablespace: string;
  readonly connectionLimit: string;
}

/**
 * Makes a database for a dump: of the backup's encoding and locale, and with what administrators have set for the living
 * one. Where the server does not have the locale, the living one's is taken, or a plain one. One that is there stays.
 *
 * @param living name of the database that it is going to replace.
 * @returns what is otherwise than in the backup, a sentence each.
 * @throws Failure `CommandFailed`.
 */
export async function createDatabase(
  host: Host,
  admin: DatabaseAccess,
  wanted: { readonly name: string; readonly owner: string; readonly living: string; readonly major: number },
  manifest: Manifest,
): Promise<string[]> {
  const { database } = manifest;
  if (database === undefined) throw new Failure('Unexpected', 'the manifest has no database');
  const before = await livingOf(host, admin, wanted.living, wanted.major);
  const like = before?.locale;
  const same =
    like?.encoding === database.encoding &&
    like.collate === database.collate &&
    like.ctype === database.ctype;
  const asBefore: Locale = same ? like : { ...pick(database) };
  const choices = [
    asBefore,
    ...(like === undefined || same || like.encoding !== database.encoding ? [] : [like]),
    { encoding: database.encoding, collate: 'C.UTF-8', ctype: 'C.UTF-8' },
    { encoding: database.encoding, collate: 'C', ctype: 'C' },
  ];
  const warnings: string[] = [];
  for (const [at, locale] of choices.entries()) {
    try {
      await psql(host, admin, createSql(wanted, locale, before), { timeoutMs: 600_000 });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (/already exists/.test(error.message)) return warnings;
      if (at < choices.length - 1 && isOfLocale(error.message)) continue;
      throw error;
    }
    if (at > 0) {
      warnings.push(
        `The database was ${database.collate} in the backup, which this server does not have: the new one is ${locale.collate}. Lists may be in another order; nothing is lost.`,
      );
    }
    warnings.push(...(await takeAfter(host, admin, wanted)));
    return warnings;
  }
  return warnings;
}

function pick({ encoding, collate, ctype }: Locale): Locale {
  return { encoding, collate, ctype };
}

/** PostgreSQL's words differ by version: `invalid LC_COLLATE locale name`, `encoding "…" does not match locale "…"`. */
function isOfLocale(message: string): boolean {
  return /invalid (?:\S+ )?locale name|does not match locale|could not create locale|could not open collator/.test(
    message,
  );
}

function createSql(
  { name, owner }: { readonly name: string; readonly owner: string },
  { encoding, collate, ctype, icu }: Locale,
  before: Living | undefined,
): string {
  return [
    `CREATE DATABASE ${sqlName(name)} OWNER ${sqlName(owner)} TEMPLATE template0 ENCODING ${sqlText(encoding)}`,
    `LC_COLLATE ${sqlText(collate)} LC_CTYPE ${sqlText(ctype)}`,
    ...(icu === undefined ? [] : [`LOCALE_PROVIDER icu ICU_LOCALE ${sqlText(icu)}`]),
    ...(before === undefined ? [] : [`CONNECTION LIMIT ${before.connectionLimit}`]),
    // To name the usual one takes a right that not every owner of a database has.
    ...(before === undefined || before.tablespace === 'pg_default'
      ? []
      : [`TABLESPACE ${sqlName(before.tablespace)}`]),
  ].join(' ');
}

async function livingOf(
  host: Host,
  admin: DatabaseAccess,
  name: string,
  major: number,
): Promise<Living | undefined> {
  const icu = major >= 17 ? 'datlocale' : 'daticulocale';
  const provider = major >= 15 ? `CASE datlocprovider WHEN 'i' THEN coalesce(${icu}, '') ELSE '' END` : `''`;
  const [row] = await psql(
    host,
    admin,
    `SELECT pg_encoding_to_char(encoding), datcollate, datctype, spcname, datconnlimit, ${provider}
FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE datname = :'name'`,
    { variables: { name } },
  );
  if (row === undefined) return undefined;
  const [encoding = '', collate = '', ctype = '', tablespace = '', connectionLimit = '-1', found = ''] = row;
  return {
    locale: { encoding, collate, ctype, ...(found === '' ? {} : { icu: found }) },
    ...{ tablespace, connectionLimit },
  };
}

const settingsSql = `SELECT coalesce(r.rolname, ''), c FROM pg_db_role_setting s
  LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) c
WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = :'name')`;
const grantsSql = `SELECT CASE grantee WHEN 0 THEN '' ELSE pg_get_userbyid(grantee) END, privilege_type, is_grantable
FROM pg_database, aclexplode(datacl) WHERE datname = :'name'`;

/** Settings whose value is a list of names, written without quotes around the whole (PostgreSQL's GUC_LIST_QUOTE). */
const lists = new Set([
  ...['search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries'],
]);

/** What ALTER DATABASE … SET and GRANT have said of the living database is no part of a dump. */
async function takeAfter(
  host: Host,
  admin: DatabaseAccess,
  { name, living }: { readonly name: string; readonly living: string },
): Promise<string[]> {
  const variables = { name: living };
  const [settings, grants] = await Promise.all([
    psql(host, admin, settingsSql, { variables }),
    psql(host, admin, grantsSql, { variables }),
  ]);
  const to = sqlName(name);
  const statements = [
    ...settings.map(([role = '', setting = '']) => {
      const at = setting.indexOf('=');
      const [key, value] = [setting.slice(0, at), setting.slice(at + 1)];
      const what = role === '' ? `ALTER DATABASE ${to}` : `ALTER ROLE ${sqlName(role)} IN DATABASE ${to}`;
      return `${what} SET ${sqlName(key)} TO ${lists.has(key) ? value : sqlText(value)}`;
    }),
    ...(grants.length === 0 ? [] : [`REVOKE ALL ON DATABASE ${to} FROM PUBLIC`]),
    ...grants.map(
      ([role = '', privilege = '', grantable]) =>
        `GRANT ${privilege} ON DATABASE ${to} TO ${role === '' ? 'PUBLIC' : sqlName(role)}${grantable === 't' ? ' WITH GRANT OPTION' : ''}`,
    ),
  ];
  const warnings: string[] = [];
  for (const statement of statements) {
    try {
      await psql(host, admin, statement);
    } catch (error) {
      if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
      warnings.push(`Not carried over to the new database: ${statement.replace(to, sqlName(living))}`);
    }
  }
  return warnings;
}
