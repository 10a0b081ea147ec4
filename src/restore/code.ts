import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import type { PostgresClient } from '../mastodon/survey.js';

/** What Mastodon's code in a root is: the newest schema version that it knows. */
const schemaScript = `cd -- "$1" 2> /dev/null || exit 0
sed -n 's/.*define(version: *\\([0-9_]*\\).*/\\1/p' db/schema.rb 2> /dev/null | tr -d _ | head -n 1
ls db/migrate db/post_migrate 2> /dev/null | sed -n 's/^\\([0-9]\\{14\\}\\)_.*/\\1/p' | sort | tail -n 1`;

/** The newest version in `db/schema.rb` and of the migrations; null when the code does not say it (containers). */
export async function schemaOfCode(host: Host, root: string, appUser: string): Promise<string | null> {
  const { stdout } = await host.run(['sh', '-c', schemaScript, 'sh', root], {
    as: { user: appUser },
    cwd: '/',
  });
  const versions = stdout.split('\n').filter((line) => /^\d{14}$/.test(line));
  return versions.sort().at(-1) ?? null;
}

/** The oldest PostgreSQL that Mastodon of this version (`4.5.1`) runs on (mastodon/mastodon README.md, lib/tasks/db.rake). */
export function leastPostgresql(mastodon: string | null): number {
  const [major = 0, minor = 0] = (mastodon ?? '').split('.').map((digits) => Number.parseInt(digits, 10));
  const release = major * 100 + minor;
  if (release >= 405) return 14;
  if (release >= 404) return 13;
  if (release >= 403) return 12;
  return 10;
}

/** The major version of the pg_dump that has made a backup; null when it is not known. */
export function dumpMajor(pgDump: string | null): number | null {
  const [, major] = /\(PostgreSQL\) (\d+)/.exec(pgDump ?? '') ?? /^(\d+)/.exec(pgDump ?? '') ?? [];
  return major === undefined ? null : Number(major);
}

/**
 * The programs that load a dump: of the server's own major, or newer ones when that of the dump is newer.
 *
 * @throws Failure `Refused` without such.
 */
export function loadingClient(
  host: Host,
  clients: readonly PostgresClient[],
  major: number,
  dump: number | null,
): PostgresClient {
  const least = Math.max(major, dump ?? 0);
  const fitting = clients.filter((client) => client.major >= least).at(-1); // the newest come first
  if (fitting !== undefined) return fitting;
  const newest = String(clients[0]?.major ?? 'none');
  const why =
    least > major
      ? `the dump was made by PostgreSQL ${String(least)}, and the newest programs on ${host.name} are of ${newest}, which do not read it`
      : `the server is PostgreSQL ${String(major)}, and the newest client on ${host.name} is ${newest}`;
  throw new Failure('Refused', why, {
    host: host.name,
    next: `install PostgreSQL ${String(least)} there, or restore to a host that has it: --to`,
  });
}
