import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import type { RedisConnection } from '../mastodon/connections.js';
import { redisCli } from '../mastodon/redis-cli.js';
import type { Scratch } from './scratch.js';
import { notInstalled, politely, startServer, stopJob } from './servers.js';

/** A throw-away Redis, or Valkey, of a scratch. */
export interface ScratchRedis {
  /** Absolute path of the Unix socket, in the folder that `scratch.admit` opens. It listens nowhere else. */
  readonly socket: string;
  readonly connection: RedisConnection & { readonly appUser: string };
  /** `7.0.15` */
  readonly version: string;
  /** One command; its reply as redis-cli prints it into a pipe. Errors as `redisCli` (mastodon/redis-cli.ts). */
  cli(words: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

/** Redis does not load the RDB: it is of a `newer` one, or `damaged`. */
export class RdbRefused extends Failure {
  constructor(
    readonly reason: 'newer' | 'damaged',
    message: string,
    more: { next?: string; host?: string } = {},
  ) {
    super('PartInvalid', message, more);
  }
}

/** An RDB of some GB takes minutes to be read. */
const loadPatienceMs = 1_800_000;
const patienceMs = 60_000;

/**
 * Starts a Redis of the scratch, or finds it again: the one that began with an RDB, or the one that began empty. The
 * append-only file is off: with it on, Redis would begin empty in spite of an RDB (mastodon.md §1.4).
 *
 * @param options.rdb absolute path on the host of what it begins with; the login user can read it.
 * @throws RdbRefused with Redis's words; Failure `ToolMissing` without redis-server and valkey-server; `CommandFailed`.
 */
export async function startScratchRedis(
  scratch: Scratch,
  options: { rdb?: string } = {},
): Promise<ScratchRedis> {
  const { host, user } = scratch;
  const { rdb } = options;
  const name = rdb === undefined ? 'redis' : 'redis-rdb';
  const { server, version } = await findRedis(host);
  const folder = await scratch.own(name);
  const socket = `${await scratch.sockets()}/${name}.sock`;
  const connection = { host: socket, port: 0, database: 0, tls: false, appUser: user };
  const answers = () => redisAnswers(host, connection);
  const job = host.job(scratch.jobId(name));
  if ((await job.status()).state !== 'running' && rdb !== undefined) {
    const owner = (await host.facts()).root ? user : '';
    await host.run(['bash', '-c', copyScript, 'bash', rdb, `${folder}/${rdbName}`, owner], {
      timeoutMs: loadPatienceMs,
    });
  }
  await startServer(scratch, {
    name,
    argv: ['bash', '-c', serverScript, 'permafrost-redis', server, folder, settings(folder, socket)],
    as: { user },
    answers,
    patienceMs: rdb === undefined ? patienceMs : loadPatienceMs,
    failed: (log) => notStarted(host, rdb, version, log),
  });
  return {
    ...{ socket, connection, version },
    cli: (words) => redisCli(host, connection, words),
    stop: () => stopJob(job),
  };
}

const rdbName = 'dump.rdb';

/** $1 RDB, $2 where it goes, $3 its owner or '': the folder is his, so nothing is written there but by him. */
const copyScript = `umask 077
exec < "$1" || exit 1
into=$2; [ -z "$3" ] && set -- || set -- runuser -u "$3" --
"$@" sh -c 'umask 077; rm -f -- "$1.new"; cat > "$1.new" && mv -fT -- "$1.new" "$1"' sh "$into"`;

/** $1 server, $2 folder, $3 settings */
const serverScript = `set -u; umask 077; export LC_ALL=C
${politely}
cd "$2" && printf '%s\\n' "$3" > redis.conf && exec "$1" redis.conf`;

/** More databases than anybody uses: Redis reads no RDB that has one beyond. */
function settings(folder: string, socket: string): string {
  return [
    'port 0',
    `unixsocket ${socket}`,
    'unixsocketperm 777',
    `dir ${folder}`,
    `dbfilename ${rdbName}`,
    'appendonly no',
    'save ""',
    'databases 256',
    'daemonize no',
    'logfile ""',
    'stop-writes-on-bgsave-error no',
    // By which whoever reaches it would write files on the host, or have it load a program.
    ...['CONFIG', 'DEBUG', 'MODULE', 'REPLICAOF', 'SLAVEOF'].map((command) => `rename-command ${command} ""`),
  ].join('\n');
}

async function redisAnswers(host: Host, connection: ScratchRedis['connection']): Promise<boolean> {
  try {
    return (await redisCli(host, connection, ['PING'])) === 'PONG';
  } catch (error) {
    // LOADING, or no socket yet.
    if (error instanceof Failure && error.type === 'CommandFailed') return false;
    throw error;
  }
}

function notStarted(host: Host, rdb: string | undefined, version: string, log: string): Failure {
  const said = log
    .split('\n')
    .filter(
      (line) => / [#*] /.test(line) && !/oO0Oo|Redis is starting|WARNING|Configuration loaded/.test(line),
    )
    .map((line) => line.replace(/^.*? [#*] /, ''))
    .slice(-4)
    .join(' ');
  // Of some bits that are not as they were, Redis does not complain: it falls over, with pages of a report.
  const crashed = /BUG REPORT|ASSERTION FAILED|Guru Meditation/.test(log);
  const words = crashed ? 'it crashes on it' : said === '' ? log.slice(-500) : said;
  const reading = crashed || /loading the DB|RDB|load DB|Short read|corruption/i.test(words);
  if (rdb === undefined || !reading) {
    return new Failure('CommandFailed', `Redis of a scratch on ${host.name} did not start: ${words}`, {
      host: host.name,
      next: 'see what Redis says there; the disk of the scratch may be full',
    });
  }
  if (/Can't handle RDB format version|Wrong signature/.test(words) && !/checksum/.test(words)) {
    return new RdbRefused('newer', `Redis ${version} on ${host.name} cannot read this RDB: ${words}`, {
      host: host.name,
      next: 'install a Redis there that is as new as the one that wrote it',
    });
  }
  return new RdbRefused('damaged', `Redis ${version} on ${host.name} does not load this RDB: ${words}`, {
    host: host.name,
  });
}

const findScript = `for name in redis-server valkey-server; do
  path=$(command -v "$name" || PATH=/usr/sbin:/usr/local/sbin command -v "$name") || continue
  echo "$path"; "$path" --version; break
done`;

/** The Redis server that a scratch on this host would have. @throws Failure `ToolMissing` */
export async function findRedis(host: Host): Promise<{ server: string; version: string }> {
  const [server = '', said = ''] = (await host.run(['sh', '-c', findScript])).stdout.split('\n');
  if (server === '') throw notInstalled(host, 'Redis server (redis-server or valkey-server)', 'redis-server');
  return { server, version: /\bv=(\d+(?:\.\d+)*)/.exec(said)?.[1] ?? '' };
}
