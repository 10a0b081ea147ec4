import { fromDumped } from './dumped-tables.js';
import { sizeText } from '../backups/space.js';
import { databaseAccess } from './instance.js';
import { psql } from './psql.js';
import { proveSecrets } from './secrets-proof.js';
import { readSecretSamples, secretSamplesSql } from './secrets-samples.js';
import type { Look, Source, SourceCheck } from './source-check.js';

/** Rows that preflight tries the secrets on: enough to tell a wrong key, too few to be felt. The run itself tries more. */
const trial = { newest: 20, random: 0, accounts: 3 };

/** A database smaller than this share of the last sealed one has lost what nobody deletes in a day. */
const plausibleShare = 0.5;

/** Whether the database is a living Mastodon's, and one that a dump can read. */
export const databaseChecks = [
  { name: 'mastodon-database', parts: ['database'], allowance: 'foreign-database', look: mastodonDatabase },
  { name: 'accounts', parts: ['database'], allowance: 'no-accounts', look: accounts },
  { name: 'database-rights', parts: ['database'], look: databaseRights },
  { name: 'database-size', parts: ['database'], allowance: 'smaller-database', look: databaseSize },
  {
    name: 'secrets-proof',
    parts: ['database', 'secrets'],
    allowance: 'unproven-secrets',
    look: secretsProof,
  },
] as const satisfies readonly SourceCheck[];

const rightDatabase = 'see whether DB_NAME in the env file names the right database';

async function mastodonDatabase({ instance: { database }, schema }: Source): Promise<Look> {
  const tables = await schema();
  if (tables.has('schema_migrations') && tables.has('accounts'))
    return [true, `${database.name} is a Mastodon's`];
  const detail = `the database ${database.name} holds no Mastodon (no table schema_migrations or accounts)`;
  return [false, detail, rightDatabase];
}

async function accounts({ host, instance, schema }: Source): Promise<Look> {
  if (!(await schema()).get('accounts')?.has('domain'))
    return [true, 'there is no table of accounts to count'];
  // -99 speaks for the server itself and comes with the empty schema (mastodon/mastodon app/models/account.rb).
  const [row] = await psql(
    host,
    databaseAccess(instance),
    'SELECT count(*) FROM (SELECT 1 FROM public.accounts WHERE domain IS NULL AND id > 0 LIMIT 1) AS local',
  );
  if (row?.[0] !== '0') return [true, 'the database has local accounts'];
  const detail = `the database ${instance.database.name} has no local account: this is not the instance that people use`;
  return [false, detail, rightDatabase];
}

/** Of every schema: a dump is of the whole database, and its moment locks every table. */
async function databaseRights({ host, instance }: Source): Promise<Look> {
  const denied = await psql(
    host,
    databaseAccess(instance),
    `SELECT n.nspname, c.relname ${fromDumped(['r', 'p', 'S'])}
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
ORDER BY n.nspname = 'public' DESC, 1, 2 LIMIT 5`,
  );
  const { user } = instance.database;
  const [first] = denied;
  if (first === undefined) return [true, `${user} may read every table`];
  const names = denied.map(([schema = '', table = '']) =>
    schema === 'public' ? table : `${schema}.${table}`,
  );
  const schema = first[0] ?? 'public';
  const usage = schema === 'public' ? '' : `GRANT USAGE ON SCHEMA ${schema} TO ${user}; `;
  return [
    false,
    `the role ${user} may not read ${names.join(', ')}: the dump would fail`,
    `as the database's owner: ${usage}GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO ${user}; GRANT SELECT ON ALL SEQUENCES IN SCHEMA ${schema} TO ${user}`,
  ];
}

function databaseSize({ instance: { database }, last }: Source): Look {
  const before = last?.databaseBytes;
  if (last === null || before === undefined) return [true, 'no earlier size is remembered here'];
  const was = `${sizeText(before)} in the backup ${last.backup}`;
  const now = sizeText(database.sizeBytes);
  if (database.sizeBytes >= before * plausibleShare) return [true, `the database has ${now}; it had ${was}`];
  return [
    false,
    `the database ${database.name} has ${now}; it had ${was}`,
    'find out what is gone before it is backed up: a new, empty or half-restored database, or rows that were deleted',
  ];
}

/** What the run proves of the captured secrets, tried beforehand on the living database. */
async function secretsProof({ host, instance, schema }: Source): Promise<Look> {
  const tables = await schema();
  const select = secretSamplesSql(tables, trial);
  const rows = select === null ? [] : await psql(host, databaseAccess(instance), `${select};`);
  const samples = readSecretSamples(rows.map(([row = '']) => row).join('\n'));
  const { findings, tested } = proveSecrets({ env: instance.env, samples, schema: tables });
  if (findings.length > 0) {
    return [
      false,
      `the secrets of ${instance.domain} are not those of its database: ${findings.map(({ variable, problem }) => `${variable} ${problem}`).join('; ')}`,
      `find the env file that the running Mastodon was started with, and put it at ${instance.envFile} (or name it with mastodon.envFile)`,
    ];
  }
  if (tested === 0) return [true, 'the database holds no ciphertext yet to try the secrets on'];
  return [true, `the secrets open the database's ciphertext (${String(tested)} tried)`];
}
