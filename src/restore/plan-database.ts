import type { Manifest } from '../backups/manifest.js';
import type { Host } from '../hosts/host.js';
import { psql } from '../mastodon/psql.js';
import { dumpMajor, leastPostgresql } from './code.js';
import type { Verdict } from './verdict.js';
import type { RestoreTarget } from './target.js';

/** Extensions that serve administrators: nothing of Mastodon's depends on them. */
const harmless = new Set([
  ...['pg_stat_statements', 'pg_repack', 'amcheck', 'pgstattuple', 'pg_buffercache', 'pg_prewarm'],
  ...[
    'pg_visibility',
    'pg_freespacemap',
    'pageinspect',
    'pg_stat_kcache',
    'pg_qualstats',
    'hypopg',
    'pg_cron',
  ],
]);

/** Whether the dump loads on this server, and Mastodon's code runs on it. */
export async function judgeDatabase(
  target: RestoreTarget,
  manifest: Manifest,
  verdict: Verdict,
): Promise<void> {
  const { database, admin, host, code, live } = target;
  if (database === null || admin === null || manifest.database === undefined) return;
  const { major } = database;
  const dump = dumpMajor(manifest.versions.pgDump);
  if (dump !== null && dump > major) {
    verdict.refuse(
      'older-postgresql',
      `the dump was made by PostgreSQL ${String(dump)}, and the server at ${database.host} is ${database.serverVersion}: older servers do not know all that newer dumps say`,
      `install PostgreSQL ${String(dump)} there, or restore to a host that has it: --to`,
    );
  }
  const version = code.version ?? manifest.versions.mastodon;
  const least = leastPostgresql(version);
  if (major < least) {
    verdict.refuse(
      null,
      `Mastodon ${version ?? ''} needs PostgreSQL ${String(least)}, and the server at ${database.host} is ${database.serverVersion}`,
      `install PostgreSQL ${String(least)} or newer there`,
    );
  }
  const rows = await psql(
    host,
    admin.access,
    `SELECT name, bool_or(NOT superuser OR trusted) FROM pg_available_extension_versions GROUP BY name`,
  );
  const available = new Map(rows.map(([name = '', open]) => [name, open === 't'] as const));
  const missing = manifest.database.extensions
    .map(({ name }) => name)
    .filter(
      (name) =>
        name !== 'plpgsql' && !(available.get(name) === true || (admin.superuser && available.has(name))),
    );
  const needed = missing.filter((name) => !harmless.has(name));
  const spared = missing.filter((name) => harmless.has(name));
  if (spared.length > 0) {
    verdict.warnings.push(
      `Left out, since the server does not have it or gives it to superusers alone: the extension${spared.length === 1 ? '' : 's'} ${spared.join(', ')}. Mastodon needs none of it.`,
    );
  }
  if (needed.length > 0) {
    verdict.refuse(
      'missing-extensions',
      `the database of the backup has the extension${needed.length === 1 ? '' : 's'} ${needed.join(', ')}, which cannot be made on the server at ${database.host}`,
      'install it there (apt-cache search postgresql- shows the packages), or have its administrator allow it',
    );
  }
  const { collate } = manifest.database;
  if (database.local && !(await hasLocale(host, collate))) {
    verdict.warnings.push(
      `The locale ${collate} of the database in the backup is not on ${host.name}: the new one takes ${live === null ? 'a plain one' : "the living one's"}. Lists may be in another order; nothing is lost.`,
    );
  }
  const found = await psql(host, admin.access, `SELECT datcollate FROM pg_database WHERE datname = :'name'`, {
    variables: { name: database.name },
  });
  const living = found[0]?.[0];
  if (living !== undefined && living !== collate) {
    verdict.warnings.push(
      `The database sorts by ${living} now, and by ${collate} in the backup: indexes are built anew for it, so nothing breaks; lists may be in another order.`,
    );
  }
}

async function hasLocale(host: Host, name: string): Promise<boolean> {
  if (['C', 'POSIX', 'C.UTF-8', 'C.utf8'].includes(name)) return true;
  const { stderr } = await host.run(['sh', '-c', 'LC_ALL=$1 locale charmap > /dev/null', 'sh', name], {
    okCodes: [0, 1, 127],
  });
  return stderr === '';
}

/** A dump runs under the code that wrote it, or newer. */
export function judgeSchema(
  { code, root, appUser }: RestoreTarget,
  manifest: Manifest,
  verdict: Verdict,
): void {
  const { schema } = manifest.versions;
  if (schema === null) return;
  if (code.schema === null) {
    verdict.warnings.push(
      `The code in ${root} does not say which schema it is for: it has to be Mastodon ${manifest.versions.mastodon ?? 'of the backup'} or newer.`,
    );
    return;
  }
  if (schema > code.schema) {
    verdict.refuse(
      'newer-schema',
      `the database of the backup has the schema ${schema}${manifest.versions.mastodon === null ? '' : ` (Mastodon ${manifest.versions.mastodon})`}, and the code in ${root} knows none newer than ${code.schema}${code.version === null ? '' : ` (Mastodon ${code.version})`}`,
      `install Mastodon ${manifest.versions.mastodon ?? 'of the version that made the backup'} or newer in ${root}, or choose an older backup`,
    );
  } else if (schema < code.schema) {
    verdict.warnings.push(
      `The code in ${root} is newer than the backup: its migrations have to be run before Mastodon works as it should.`,
    );
    verdict.next.push(
      `sudo -iu ${appUser} sh -c 'cd ${root} && RAILS_ENV=production bundle exec rails db:migrate', then start the services again`,
    );
  }
}
