import type { Host } from '../hosts/host.js';
import { missingKeys } from '../mastodon/env-file.js';
import { databaseAccess, type Instance } from '../mastodon/inspect.js';
import { psql } from '../mastodon/psql.js';
import { schemaOf } from './database.js';
import { refuse } from './ground.js';

/** What preflight refuses of the instance itself: a source that cannot be, or that a restore could not start from. */

export function refuseWithoutKeys(host: Host, instance: Instance): void {
  const missing = missingKeys(instance.env, instance.versions.mastodon);
  if (missing.length === 0) return;
  throw refuse(
    `the env file ${instance.envFile} on ${host.name} lacks ${missing.join(', ')}: a restore without ${missing.length === 1 ? 'it' : 'them'} would not work`,
    'name the env file that Mastodon really runs with (mastodon.envFile in the configuration)',
    host,
  );
}

/** A status command that is not there would say "stopped", and a start command that is not there leaves it so. */
export async function refuseMissingCommands(host: Host, { domain, services }: Instance): Promise<void> {
  if (services.kind !== 'commands') return;
  const programs = services.services.flatMap(({ start, stop, status }) =>
    [start, stop, status].flatMap(([program]) => program ?? []),
  );
  const script = 'for program; do command -v -- "$program" > /dev/null || echo "$program"; done';
  const { stdout } = await host.run(['sh', '-c', script, 'sh', ...new Set(programs)]);
  const missing = stdout.trim().split('\n').join(', ');
  if (missing === '') return;
  throw refuse(
    `the services of ${domain} are to be started, stopped or asked by ${missing}, which is not on ${host.name}`,
    'correct mastodon.services in the configuration',
    host,
  );
}

/** @throws Failure `Refused` for a database that is not a living Mastodon's, or that a dump cannot read. */
export async function refuseForeignDatabase(host: Host, instance: Instance): Promise<void> {
  const { database } = instance;
  if (database.pooled) {
    throw refuse(
      `${instance.domain} reaches its database through PgBouncer (port ${String(database.port)}), through which a dump cannot go`,
      'name where PostgreSQL itself answers: database.host and database.port in the configuration',
      host,
    );
  }
  const schema = await schemaOf(host, instance);
  if (!schema.has('schema_migrations') || !schema.has('accounts')) {
    throw refuse(
      `the database ${database.name} holds no Mastodon (no table schema_migrations or accounts)`,
      'see whether DB_NAME in the env file names the right database',
      host,
    );
  }
  const [row] = await psql(
    host,
    databaseAccess(instance),
    'SELECT count(*) FROM (SELECT 1 FROM public.accounts WHERE domain IS NULL LIMIT 1) AS local',
  );
  if (row?.[0] === '0') {
    throw refuse(
      `the database ${database.name} has no local account: this is not the instance that people use`,
      'see whether DB_NAME in the env file names the right database',
      host,
    );
  }
  const denied = await psql(
    host,
    databaseAccess(instance),
    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p','S') AND n.nspname = 'public' AND NOT has_table_privilege(c.oid, 'SELECT') LIMIT 5",
  );
  if (denied.length > 0) {
    throw refuse(
      `the role ${database.user} may not read ${denied.map(([table]) => table).join(', ')}: the dump would fail`,
      `as the database's owner: GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${database.user}`,
      host,
    );
  }
}

export async function refuseUnreadableMedia(host: Host, instance: Instance): Promise<void> {
  const path = instance.media?.path ?? '';
  const { root } = await host.facts();
  const as = root ? ('login' as const) : { user: instance.appUser };
  const { exitCode } = await host.run(
    ['sh', '-c', 'test -d "$1/." && test -r "$1/." && test -x "$1/."', 'sh', path],
    { as, okCodes: [0, 1] },
  );
  if (exitCode !== 0) {
    throw refuse(
      `the media in ${path} on ${host.name} are not there or cannot be read`,
      'say where they are with mastodon.media (or none) in the configuration',
      host,
    );
  }
}

/** An empty folder where the database names files is a mount that is not mounted, most often. */
export async function refuseEmptyMedia(host: Host, instance: Instance): Promise<void> {
  const path = instance.media?.path ?? '';
  const as = { user: instance.appUser };
  const { stdout } = await host.run(
    ['find', path, '-path', `${path}/cache`, '-prune', '-o', '-type', 'f', '-print', '-quit'],
    {
      as,
      okCodes: [0, 1],
    },
  );
  if (stdout !== '') return;
  const columns = (await schemaOf(host, instance)).get('media_attachments');
  if (!columns?.has('remote_url') || !columns.has('file_file_name')) return;
  const [row] = await psql(
    host,
    databaseAccess(instance),
    "SELECT EXISTS (SELECT 1 FROM public.media_attachments WHERE remote_url = '' AND file_file_name <> '')",
  );
  if (row?.[0] !== 't') return;
  throw refuse(
    `${path} on ${host.name} is empty, and the database names files in it`,
    'mount what belongs there, or say where the media are with mastodon.media in the configuration',
    host,
  );
}
