import { Failure } from '../errors.js';
import { psql } from '../mastodon/psql.js';
import { sqlName } from '../mastodon/sql-words.js';
import { firstOf } from './check.js';
import { listFailure } from './load-failures.js';
import type { ToLoad } from './load.js';

/** What is in a dump, as far as a load of it has to know. */
export interface Contents {
  /** Lines of pg_restore's list. */
  readonly entries: readonly Entry[];
  /** `CREATE SCHEMA …;`, as the dump says it: of plain names alone. Any other is left to pg_restore. */
  readonly schemas: readonly { readonly name: string; readonly sql: string }[];
  /** `CREATE EXTENSION …;`, as the dump says it. */
  readonly extensions: readonly { readonly name: string; readonly sql: string }[];
}

export interface Entry {
  readonly line: string;
  /** `TABLE DATA` */
  readonly kind: string;
  /** `public accounts mastodon`: schema, name, and owner, which may hold blanks. */
  readonly rest: string;
}

/** Kinds of entries whose names have a blank in them, or would be taken for the beginning of another's. */
const kinds = [
  ...[
    'ACCESS METHOD',
    'AGGREGATE',
    'BLOB METADATA',
    'BLOB',
    'BLOBS',
    'CAST',
    'CHECK CONSTRAINT',
    'COLLATION',
  ],
  ...['COMMENT', 'CONSTRAINT', 'CONVERSION', 'DATABASE PROPERTIES', 'DATABASE', 'DEFAULT ACL', 'DEFAULT'],
  ...['DOMAIN', 'EVENT TRIGGER', 'EXTENSION', 'FK CONSTRAINT', 'FOREIGN DATA WRAPPER', 'FOREIGN SERVER'],
  ...['FOREIGN TABLE', 'FUNCTION', 'INDEX ATTACH', 'INDEX', 'LARGE OBJECT', 'MATERIALIZED VIEW DATA'],
  ...['MATERIALIZED VIEW', 'OPERATOR CLASS', 'OPERATOR FAMILY', 'OPERATOR', 'POLICY', 'PROCEDURAL LANGUAGE'],
  ...[
    'PROCEDURE',
    'PUBLICATION TABLES IN SCHEMA',
    'PUBLICATION TABLE',
    'PUBLICATION',
    'ROW SECURITY',
    'RULE',
  ],
  ...['SCHEMA', 'SECURITY LABEL', 'SEQUENCE OWNED BY', 'SEQUENCE SET', 'SEQUENCE', 'SERVER', 'SHELL TYPE'],
  ...['STATISTICS DATA', 'STATISTICS', 'SUBSCRIPTION TABLE', 'SUBSCRIPTION', 'TABLE ATTACH', 'TABLE DATA'],
  ...['TABLE', 'TEXT SEARCH CONFIGURATION', 'TEXT SEARCH DICTIONARY', 'TEXT SEARCH PARSER'],
  ...['TEXT SEARCH TEMPLATE', 'TRANSFORM', 'TRIGGER', 'TYPE', 'USER MAPPING', 'VIEW', 'ACL'],
].sort((one, other) => other.length - one.length);

/** What a restored database of Mastodon's does without: only a superuser may make it, and it acts on the server. */
const leftOut = new Map([
  ['ACCESS METHOD', 'access methods'],
  ['EVENT TRIGGER', 'event triggers'],
  ['FOREIGN DATA WRAPPER', 'foreign data wrappers'],
  ['FOREIGN SERVER', 'foreign servers'],
  ['PROCEDURAL LANGUAGE', 'procedural languages'],
  ['PUBLICATION', 'publications'],
  ['PUBLICATION TABLE', 'publications'],
  ['PUBLICATION TABLES IN SCHEMA', 'publications'],
  ['SECURITY LABEL', 'security labels'],
  ['SERVER', 'foreign servers'],
  ['SUBSCRIPTION', 'subscriptions'],
  ['SUBSCRIPTION TABLE', 'subscriptions'],
  ['TRANSFORM', 'transforms'],
  ['USER MAPPING', 'user mappings'],
]);

/** Reads an entry of `pg_restore --list`: `3512; 1259 16407 TABLE public accounts mastodon`; undefined for a comment. */
export function readEntry(line: string): Entry | undefined {
  const [, text] = /^\d+; \d+ \d+ (.*)$/.exec(line) ?? [];
  if (text === undefined) return undefined;
  const kind = kinds.find((one) => text.startsWith(`${one} `)) ?? text.replace(/ .*/, '');
  return { line, kind, rest: text.slice(kind.length).trim() };
}

/** Whether an entry gives rights to roles. */
export function isGrant({ kind }: Entry): boolean {
  return kind === 'ACL' || kind === 'DEFAULT ACL';
}

/**
 * Reads a dump's list, and what it says of schemas and extensions.
 *
 * @throws Failure `PartInvalid` for what is no dump, is cut off, or is of a newer PostgreSQL.
 */
export async function contentsOf(given: ToLoad): Promise<Contents> {
  const list = await restoreSays(given, '"$2" --list -- "$3"');
  const all = list.split('\n').flatMap((line) => readEntry(line) ?? []);
  const early = all.filter(({ kind }) => kind === 'SCHEMA' || kind === 'EXTENSION');
  const sql =
    early.length === 0
      ? ''
      : await restoreSays(
          given,
          'cat > "$1/first" && "$2" --file=- --no-owner --no-acl --use-list="$1/first" -- "$3"',
          early.map(({ line }) => `${line}\n`).join(''),
        );
  return {
    entries: all,
    ...earlyStatements(sql),
  };
}

/** A name as pg_dump writes it. One that has a newline in it could end what it is part of, and begin something else. */
const written = String.raw`([a-z_][\w$]*|"(?:[^"\n]|"")+")`;
const schemaPattern = new RegExp(`^CREATE SCHEMA ${written};$`, 'gm');
const extensionPattern = new RegExp(
  `^CREATE EXTENSION IF NOT EXISTS ${written} WITH SCHEMA ${written};$`,
  'gm',
);

/** What a script of pg_restore says of schemas and extensions, each in a line that holds nothing else. */
export function earlyStatements(script: string): Pick<Contents, 'schemas' | 'extensions'> {
  const of = (pattern: RegExp) =>
    [...script.matchAll(pattern)].map(([sql, name = '']) => ({ name: plainName(name), sql }));
  return { schemas: of(schemaPattern), extensions: of(extensionPattern) };
}

function plainName(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}

/** $1 the work folder, $2 pg_restore, $3 the dump. */
async function restoreSays(given: ToLoad, script: string, stdin = ''): Promise<string> {
  const { target, work, dump, manifest } = given;
  const { binDir } = target.access;
  const words = [work, binDir === '' ? 'pg_restore' : `${binDir}/pg_restore`, dump];
  const said = await target.host.run(['sh', '-c', `umask 077; ${script}`, 'sh', ...words], {
    ...{ as: target.as, cwd: '/', stdin, env: { LC_ALL: 'C' }, timeoutMs: 600_000 },
    ...{ okCodes: [0, 1, 126, 127], maxOutputBytes: 64 << 20 },
  });
  if (said.exitCode === 0) return said.stdout;
  throw listFailure(given, manifest, said);
}

/**
 * Makes schemas and extensions, which a role that is no superuser cannot always make, and says what is left to pg_restore.
 *
 * @returns the entries for pg_restore, and notes of what is left out.
 */
export async function makeBeforehand(
  given: ToLoad,
  contents: Contents,
): Promise<{ kept: Entry[]; notes: string[] }> {
  const { entries, schemas, extensions } = contents;
  for (const { sql } of schemas)
    await ask(given, sql.replace(/^CREATE SCHEMA /, 'CREATE SCHEMA IF NOT EXISTS '));
  const made = new Set(['public', ...schemas.map(({ name }) => name)]);
  const known = new Set(extensions.map(({ name }) => name));
  const lacking = entries
    .flatMap(({ kind, rest }) => (kind === 'EXTENSION' ? [rest.replace(/^- /, '')] : []))
    .filter((name) => !known.has(name));
  for (const { name, sql } of extensions) {
    if (!(await makeExtension(given, sql))) lacking.push(name);
  }
  const isOfExtension = ({ kind, rest }: Entry): boolean =>
    kind === 'EXTENSION' || (kind === 'COMMENT' && rest.startsWith('- EXTENSION '));
  const isSchema = ({ kind, rest }: Entry): boolean =>
    (kind === 'SCHEMA' && [...made].some((name) => rest.startsWith(`- ${name} `))) ||
    (kind === 'COMMENT' && rest.startsWith('- SCHEMA '));
  const tables = new Set(entries.flatMap(({ kind, rest }) => (kind === 'TABLE' ? [nameOf(rest)] : [])));
  const orphaned = ({ kind, rest }: Entry): boolean =>
    lacking.length > 0 && kind === 'TABLE DATA' && !tables.has(nameOf(rest));
  const orphans = entries.filter(orphaned).map(({ rest }) => nameOf(rest));
  const kept = entries.filter(
    (entry) => !isOfExtension(entry) && !isSchema(entry) && !leftOut.has(entry.kind) && !orphaned(entry),
  );
  const dropped = new Set(entries.flatMap(({ kind }) => leftOut.get(kind) ?? []));
  const where = given.target.host.name;
  return {
    kept,
    notes: [
      ...(lacking.length === 0
        ? []
        : [`the server on ${where} has not, or does not let us make, the extensions ${firstOf(lacking)}: left out`]), // prettier-ignore
      ...(orphans.length === 0 ? [] : [`content of these extensions was left out: ${firstOf(orphans)}`]),
      ...(dropped.size === 0
        ? []
        : [`left out, since they act on the server and not on the data: ${[...dropped].join(', ')}`]),
    ],
  };
}

/** `public accounts`, of `public accounts mastodon`: the owner is the last word, or more of it. */
function nameOf(rest: string): string {
  return rest.split(' ').slice(0, 2).join(' ');
}

async function ask({ target }: ToLoad, sql: string): Promise<void> {
  const role = target.role === undefined ? '' : `SET ROLE ${sqlName(target.role)};\n`;
  await psql(target.host, target.access, `${role}${sql}`);
}

/** @returns false where the server lacks it, or does not let us. */
async function makeExtension(given: ToLoad, sql: string): Promise<boolean> {
  const { target } = given;
  try {
    await psql(target.host, target.admin ?? target.access, sql, { timeoutMs: 600_000 });
    return true;
  } catch (error) {
    if (error instanceof Failure && error.type === 'CommandFailed' && /(?:ERROR|FATAL):/.test(error.message))
      return false;
    throw error;
  }
}
