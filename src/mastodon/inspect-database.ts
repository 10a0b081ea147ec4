import type { InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { databaseConnection, isOnThisMachine, type DatabaseConnection } from './connections.js';
import type { FoundDatabase } from './instance.js';
import { psql } from './psql.js';
import type { PostgresClient, Survey } from './survey.js';

const question = `SELECT current_setting('server_version_num'), current_setting('server_version'),
  pg_database_size(current_database()), current_setting('port');`;

/**
 * Asks the database of the env file for its version and size, and picks the programs that fit it.
 *
 * @throws Failure `Refused` when it does not let us in, does not exist, is a pooler, or no programs fit; `HostUnreachable`.
 */
export async function inspectDatabase(
  host: Host,
  config: InstanceConfig,
  env: ReadonlyMap<string, string>,
  looked: Pick<Survey, 'appUser' | 'clients'>,
): Promise<FoundDatabase> {
  const connection = directConnection(databaseConnection(env), config);
  const newest = looked.clients[0];
  if (!newest) {
    throw new Failure('Refused', `There is no PostgreSQL client (psql, pg_dump) on ${host.name}.`, {
      host: host.name,
      next: 'Install it there, in the major version of the server (on Debian: postgresql-client-15).',
    });
  }
  const access = { database: connection, appUser: looked.appUser, binDir: newest.binDir };
  const rows = await psql(host, access, question).catch((error: unknown) => {
    throw refused(error);
  });
  const [number = '', serverVersion = '', size = '', port = ''] = rows[0] ?? [];
  if (connection.pooled && port !== String(connection.port)) {
    throw new Failure(
      'Refused',
      `The env file names a pooler (PgBouncer at ${connection.host}:${String(connection.port)}), through which a database cannot be dumped.`,
      {
        host: host.name,
        next: `Say where PostgreSQL itself answers with database.host and database.port in the configuration (it says that its own port is ${port}).`,
      },
    );
  }
  const major = Math.floor(Number(number) / 10_000);
  return {
    ...connection,
    pooled: false,
    major,
    serverVersion,
    binDir: fittingClient(host, looked.clients, major).binDir,
    sizeBytes: Number(size),
    local: isOnThisMachine(connection.host),
  };
}

/** Where PostgreSQL itself answers, when the configuration says that the env file names a pooler. */
export function directConnection(connection: DatabaseConnection, config: InstanceConfig): DatabaseConnection {
  const { host, port } = config.database;
  if (host === undefined && port === undefined) return connection;
  return { ...connection, host: host ?? connection.host, port: port ?? 5432, pooled: false };
}

/** pg_dump reads servers of its own major and older, and writes what its own pg_restore and newer ones read. */
function fittingClient(host: Host, clients: readonly PostgresClient[], major: number): PostgresClient {
  const fitting =
    clients.find((client) => client.major === major) ?? clients.find((client) => client.major > major);
  if (fitting) return fitting;
  const newest = String(clients[0]?.major ?? 'none');
  throw new Failure(
    'Refused',
    `The database is PostgreSQL ${String(major)}, but the newest client on ${host.name} is ${newest}.`,
    {
      host: host.name,
      next: `Install the client of PostgreSQL ${String(major)} there (postgresql-client-${String(major)}).`,
    },
  );
}

/** Before a run, what the database does not give is a refusal, whatever its class. */
export function refused(error: unknown): unknown {
  const classes = ['AuthFailed', 'NotFound', 'CommandFailed', 'ToolMissing'];
  if (!(error instanceof Failure) || !classes.includes(error.type)) return error;
  return new Failure('Refused', error.message, {
    cause: error,
    ...(error.next === undefined ? {} : { next: error.next }),
    ...(error.host === undefined ? {} : { host: error.host }),
  });
}
