import { Failure } from '../errors.js';

/** How Mastodon reaches its database. Holds a secret: never log it whole. */
export interface DatabaseConnection {
  /** A host name or address, or the absolute path of the folder that holds the socket. */
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly user: string;
  /** Absent when the env file names none (peer or trust authentication, or the user's own ~/.pgpass). */
  readonly password?: string;
  /** libpq's `sslmode`. */
  readonly sslmode: string;
  /** Looks like PgBouncer, through which a dump cannot go: port 6432, or PREPARED_STATEMENTS=false. */
  readonly pooled: boolean;
}

/** How Mastodon reaches its Redis. Holds a secret: never log it whole. */
export interface RedisConnection {
  /** A host name or address, or the absolute path of a socket. */
  readonly host: string;
  readonly port: number;
  readonly database: number;
  /** Absent for Redis's `default` user. */
  readonly user?: string;
  readonly password?: string;
  readonly tls: boolean;
}

type Env = ReadonlyMap<string, string>;

/** Debian's and upstream's folder for PostgreSQL's socket, where libpq looks when no host is named. */
const socketFolder = '/var/run/postgresql';

/**
 * The database of Mastodon's production environment. DATABASE_URL wins, piece by piece: what it does not say comes
 * from DB_* (mastodon/mastodon config/database.yml; Rails merges the two).
 *
 * @throws Failure `Refused` for a DATABASE_URL or port that cannot be read.
 */
export function databaseConnection(env: Env): DatabaseConnection {
  const url = parseUrl(env, 'DATABASE_URL', ['postgres:', 'postgresql:', 'postgis:']);
  const fromUrl = (name: string, part: string | undefined): string | undefined =>
    nonEmpty(part) ?? nonEmpty(url?.searchParams.get(name));
  const host = fromUrl('host', url && hostOf(url)) ?? env.get('DB_HOST') ?? 'localhost';
  const port = portOf(
    fromUrl('port', url?.port) ?? nonEmpty(env.get('DB_PORT')) ?? '5432',
    'DB_PORT or DATABASE_URL',
  );
  const user = fromUrl('username', url && decode(url.username)) ?? nonEmpty(env.get('DB_USER')) ?? 'mastodon';
  const password = fromUrl('password', url && decode(url.password)) ?? nonEmpty(env.get('DB_PASS'));
  return {
    host: host === '' ? socketFolder : host,
    port,
    name:
      fromUrl('database', url && decode(url.pathname.replace(/^\//, ''))) ??
      nonEmpty(env.get('DB_NAME')) ??
      'mastodon_production',
    user,
    ...(password === undefined ? {} : { password }),
    sslmode: fromUrl('sslmode', undefined) ?? nonEmpty(env.get('DB_SSLMODE')) ?? 'prefer',
    pooled: port === 6432 || env.get('PREPARED_STATEMENTS') === 'false',
  };
}

/**
 * What libpq's programs (psql, pg_dump, pg_restore) need in their environment to reach this database, all but the
 * password, which goes by PGPASSFILE (`passwordFileLine`) or by standard input (`psql`).
 */
export function databaseEnvironment(connection: DatabaseConnection): Record<string, string> {
  return {
    PGHOST: connection.host,
    PGPORT: String(connection.port),
    PGUSER: connection.user,
    PGDATABASE: connection.name,
    PGSSLMODE: connection.sslmode,
    PGCONNECT_TIMEOUT: '15',
    PGAPPNAME: 'permafrost',
  };
}

/**
 * The content of a PGPASSFILE (mode 0600) that opens this database, and the others on its server, for its user; null
 * without a password (PostgreSQL's manual, "The Password File").
 */
export function passwordFileLine(connection: DatabaseConnection): string | null {
  if (connection.password === undefined) return null;
  const escaped = [connection.user, connection.password].map((field) => field.replace(/[\\:]/g, '\\$&'));
  return `*:*:*:${escaped.join(':')}\n`;
}

/**
 * The Redis that holds Mastodon's own data (REDIS_*). REDIS_URL wins whole (mastodon/mastodon
 * lib/mastodon/redis_configuration.rb). `redis://`, `rediss://` and `unix://` URLs. Behind Sentinel, host and port mean
 * nothing: `reachRedis` asks for the master's.
 *
 * @throws Failure `Refused` for what cannot be read.
 */
export function redisConnection(env: Env): RedisConnection {
  const url = parseUrl(env, 'REDIS_URL', ['redis:', 'rediss:', 'unix:']);
  if (url) return redisFromUrl(url);
  const user = nonEmpty(env.get('REDIS_USER'));
  const password = nonEmpty(env.get('REDIS_PASSWORD'));
  return {
    host: nonEmpty(env.get('REDIS_HOST')) ?? 'localhost',
    port: portOf(nonEmpty(env.get('REDIS_PORT')) ?? '6379', 'REDIS_PORT'),
    database: indexOf(nonEmpty(env.get('REDIS_DB')) ?? '0', 'REDIS_DB'),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    tls: false,
  };
}

/** The sentinels that know where Redis's master is, in the order in which they are asked. */
export interface RedisSentinels {
  /** The name that they know the master by. */
  readonly master: string;
  readonly sentinels: readonly RedisConnection[];
}

/**
 * The sentinels of REDIS_SENTINELS, with the user and password of REDIS_SENTINEL_* or else of Redis itself; null when
 * Redis is named directly (mastodon/mastodon lib/mastodon/redis_configuration.rb).
 *
 * @throws Failure `Refused` for a port that cannot be read.
 */
export function redisSentinels(env: Env): RedisSentinels | null {
  const master = nonEmpty(env.get('REDIS_SENTINEL_MASTER'));
  const named = (env.get('REDIS_SENTINELS') ?? '').split(',').map((one) => one.trim());
  const sentinels = named.filter((one) => one !== '');
  if (nonEmpty(env.get('REDIS_URL')) || master === undefined || sentinels.length === 0) return null;
  const user = nonEmpty(env.get('REDIS_SENTINEL_USERNAME')) ?? nonEmpty(env.get('REDIS_USER'));
  const password = nonEmpty(env.get('REDIS_SENTINEL_PASSWORD')) ?? nonEmpty(env.get('REDIS_PASSWORD'));
  const usual = nonEmpty(env.get('REDIS_SENTINEL_PORT')) ?? '26379';
  return {
    master,
    sentinels: sentinels.map((one) => {
      const [, host = one, port = usual] = /^(.*?)(?::(\d+))?$/.exec(one) ?? [];
      return {
        ...{ host, port: portOf(port, 'REDIS_SENTINELS or REDIS_SENTINEL_PORT'), database: 0, tls: false },
        ...(user === undefined ? {} : { user }),
        ...(password === undefined ? {} : { password }),
      };
    }),
  };
}

/**
 * Roles of Redis that the env file puts elsewhere than REDIS_*: `sidekiq` (its queues) and `cache` (which nobody
 * misses).
 */
export function otherRedisRoles(env: Env): ('sidekiq' | 'cache')[] {
  return (['sidekiq', 'cache'] as const).filter((role) =>
    ['URL', 'HOST', 'SENTINELS'].some((key) => nonEmpty(env.get(`${role.toUpperCase()}_REDIS_${key}`))),
  );
}

/** Whether this host or socket path is on the machine that asks. */
export function isOnThisMachine(host: string): boolean {
  return host.startsWith('/') || ['localhost', '::1'].includes(host) || host.startsWith('127.');
}

function redisFromUrl(url: URL): RedisConnection {
  const user = nonEmpty(decode(url.username)) ?? nonEmpty(url.searchParams.get('username'));
  const password = nonEmpty(decode(url.password)) ?? nonEmpty(url.searchParams.get('password'));
  const socket = url.protocol === 'unix:';
  const path = decode(url.pathname);
  return {
    host: socket ? path : (nonEmpty(hostOf(url)) ?? 'localhost'),
    port: portOf(nonEmpty(url.port) ?? '6379', 'REDIS_URL'),
    database: indexOf(
      nonEmpty(url.searchParams.get('db')) ?? nonEmpty(socket ? '' : path.slice(1)) ?? '0',
      'REDIS_URL',
    ),
    ...(user === undefined || user === 'default' ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    tls: url.protocol === 'rediss:',
  };
}

/** Never shows the value: it may hold a password. */
function unreadable(variable: string, expected: string): Failure {
  return new Failure('Refused', `${variable} in the env file cannot be read: expected ${expected}.`, {
    next: `Correct ${variable} in the env file.`,
  });
}

function parseUrl(env: Env, variable: string, protocols: readonly string[]): URL | undefined {
  const value = nonEmpty(env.get(variable));
  if (value === undefined) return undefined;
  const scheme = /^([a-z]+:)\/\//.exec(value)?.[1];
  if (scheme === undefined || !protocols.includes(scheme)) {
    throw unreadable(variable, protocols.slice(0, 2).join('// or ') + '// …');
  }
  try {
    // A URL without a host, or with a socket's folder as its host, is one that only some schemes may have.
    return new URL(value);
  } catch {
    throw unreadable(
      variable,
      `a URL (${scheme}//user:password@host:port/…, with special characters percent-encoded)`,
    );
  }
}

function hostOf(url: URL): string {
  return decode(url.hostname).replace(/^\[(.*)\]$/, '$1');
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function portOf(text: string, variable: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw unreadable(variable, 'a port from 1 to 65535');
  return port;
}

function indexOf(text: string, variable: string): number {
  if (!/^\d{1,5}$/.test(text)) throw unreadable(variable, "the number of one of Redis's databases");
  return Number(text);
}

function nonEmpty(text: string | null | undefined): string | undefined {
  return text === null || text === undefined || text === '' ? undefined : text;
}
