import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { type DatabaseConnection, isOnThisMachine } from '../mastodon/connections.js';
import { type DatabaseAccess, psql } from '../mastodon/psql.js';

/** Who creates, renames and drops databases. Holds a secret: never log it whole. */
export interface AdminAccess {
  /** To a database that is none of ours: one cannot be renamed by who is in it. */
  readonly access: DatabaseAccess;
  readonly superuser: boolean;
}

/** The databases of every cluster from which others are looked after. */
const maintenance = ['postgres', 'template1'] as const;

const question = `SELECT rolsuper, rolcreatedb, pg_postmaster_start_time()::text, current_setting('server_version_num'),
  current_setting('server_version') FROM pg_roles WHERE rolname = current_user`;

interface Answer {
  readonly access: DatabaseAccess;
  readonly superuser: boolean;
  readonly createdb: boolean;
  /** Tells one server from another. */
  readonly startedAt: string;
  readonly major: number;
  readonly version: string;
}

export interface FoundAdmin {
  readonly admin: AdminAccess;
  readonly major: number;
  readonly serverVersion: string;
}

/**
 * Finds out who may create, rename and drop databases on the server: its superuser `postgres`, by peer authentication,
 * where that can be had; else Mastodon's role, when it has CREATEDB.
 *
 * @param connections how Mastodon reaches it, the likeliest first.
 * @param binDir any psql's folder.
 * @throws Failure `Refused` when nobody may, or the server does not answer; what `Host.run` throws.
 */
export async function findAdmin(
  host: Host,
  connections: readonly DatabaseConnection[],
  { appUser, binDir }: { appUser: string; binDir: string },
): Promise<FoundAdmin> {
  const [first] = connections;
  if (first === undefined) throw new Failure('Unexpected', 'no connection to look for an administrator by');
  const said: string[] = [];
  const ask = async (access: DatabaseAccess): Promise<Answer | undefined> => {
    for (const name of maintenance.filter((one) => one !== first.name)) {
      try {
        return await answerOf(host, { ...access, database: { ...access.database, name } });
      } catch (error) {
        if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
        said.push(error.message);
      }
    }
    return undefined;
  };
  let app: Answer | undefined;
  for (const database of connections) app ??= await ask({ database, appUser, binDir });
  const superuser =
    app?.superuser === true ? app : await superuserOf(host, first, binDir, ask, app?.startedAt);
  const found = superuser ?? (app?.createdb === true ? app : undefined);
  if (found !== undefined) {
    const { access, major, version } = found;
    return { admin: { access, superuser: found.superuser }, major, serverVersion: version };
  }
  throw noAdmin(host, first, app !== undefined, said);
}

async function answerOf(host: Host, access: DatabaseAccess): Promise<Answer> {
  const [[superuser, createdb, startedAt = '', number = '', version = ''] = []] = await psql(
    host,
    access,
    question,
  );
  return {
    ...{ access, superuser: superuser === 't', createdb: createdb === 't', startedAt, version },
    major: Math.floor(Number(number) / 10_000),
  };
}

/** @param startedAt of the server that Mastodon's role reaches: another one on the same port is not it. */
async function superuserOf(
  host: Host,
  database: DatabaseConnection,
  binDir: string,
  ask: (access: DatabaseAccess) => Promise<Answer | undefined>,
  startedAt: string | undefined,
): Promise<Answer | undefined> {
  const { root, sudo } = await host.facts();
  if (!isOnThisMachine(database.host) || !(root || sudo)) return undefined;
  for (const folder of await socketFolders(host, database)) {
    const access = {
      database: {
        ...{ host: folder, port: database.port, user: 'postgres', name: 'postgres' },
        sslmode: 'prefer',
        pooled: false,
      },
      ...{ appUser: 'postgres', binDir },
    };
    const answer = await ask(access);
    if (answer?.superuser === true && (startedAt ?? answer.startedAt) === answer.startedAt) return answer;
  }
  return undefined;
}

/** Where the kernel says that a server listens on this port. */
async function socketFolders(host: Host, { host: named, port }: DatabaseConnection): Promise<string[]> {
  const script = 'sed -n "s|^.* \\(/.*\\)/[.]s[.]PGSQL[.]$1\\$|\\1|p" /proc/net/unix | sort -u';
  const { stdout } = await host.run(['sh', '-c', script, 'sh', String(port)]);
  const listening = stdout.split('\n').filter((line) => line !== '');
  return named.startsWith('/') ? [named, ...listening.filter((folder) => folder !== named)] : listening;
}

function noAdmin(
  host: Host,
  database: DatabaseConnection,
  entered: boolean,
  said: readonly string[],
): Failure {
  const where = `PostgreSQL at ${database.host}:${String(database.port)} (from ${host.name})`;
  if (entered) {
    return new Failure(
      'Refused',
      `${where} does not let ${database.user} create databases, and its superuser postgres cannot be had there: a restore loads into a new database beside the old one`,
      {
        host: host.name,
        next: `as an administrator of that server: ALTER ROLE "${database.user}" CREATEDB; or restore as root on the machine where PostgreSQL runs`,
      },
    );
  }
  return new Failure('Refused', `${where} lets nobody in: ${(said[0] ?? '').slice(0, 1000)}`, {
    host: host.name,
    next: 'start PostgreSQL there (or install it), and compare DB_* in the env file with what it accepts; on an empty host root, or sudo to postgres, is needed to make its role',
  });
}
