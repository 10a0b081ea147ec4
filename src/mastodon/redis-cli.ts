import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';
import type { RedisConnection } from './connections.js';

export interface RedisCliOptions {
  /** Who runs redis-cli; default: the connection's `appUser` (an inspected instance has one), else the login user. */
  readonly as?: Identity;
  /** Milliseconds; default 60 000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Standard input is the password, so that it is not seen in the process list. */
const script = `IFS= read -r REDISCLI_AUTH
if [ -n "$REDISCLI_AUTH" ]; then export REDISCLI_AUTH; else unset REDISCLI_AUTH; fi
export LC_ALL=C
exec "$(command -v redis-cli || command -v valkey-cli || echo redis-cli)" "$@" </dev/null`;

/**
 * The argv of redis-cli for this connection, without its password, which goes by REDISCLI_AUTH: what `redisCli` runs,
 * for jobs that must run it themselves.
 */
export function redisCliArguments(redis: RedisConnection): string[] {
  return [
    ...(redis.host.startsWith('/') ? ['-s', redis.host] : ['-h', redis.host, '-p', String(redis.port)]),
    ...['-n', String(redis.database), '--no-auth-warning'],
    ...(redis.user === undefined ? [] : ['--user', redis.user]),
    ...(redis.tls ? ['--tls'] : []),
  ];
}

/** With a file that holds the password in place of standard input, which a job has none of. */
const scriptWithFile = `IFS= read -r REDISCLI_AUTH < "$1" || [ -n "$REDISCLI_AUTH" ] || exit 1
export REDISCLI_AUTH LC_ALL=C
shift
exec redis-cli "$@"`;

/**
 * The argv that fetches an RDB over the wire and prints it, for a job: a replica's copy, made by a fork of its own.
 *
 * @param passwordFile readable by whoever runs it; null where Redis asks for no password.
 */
export function redisFetchArgv(redis: RedisConnection, passwordFile: string | null): string[] {
  const argv = [...redisCliArguments(redis), '--rdb', '-'];
  return passwordFile === null
    ? ['redis-cli', ...argv]
    : ['sh', '-c', scriptWithFile, 'sh', passwordFile, ...argv];
}

/**
 * Runs one Redis command and returns its reply as redis-cli prints it into a pipe: values line by line, without
 * quotes.
 *
 * @throws Failure `AuthFailed` when Redis does not accept the user or password, `ToolMissing` without redis-cli,
 *   `CommandFailed` when Redis cannot be reached or answers with an error; what `Host.run` throws.
 */
export async function redisCli(
  host: Host,
  redis: RedisConnection & { readonly appUser?: string },
  argv: readonly string[],
  options: RedisCliOptions = {},
): Promise<string> {
  const result = await host.run(['sh', '-c', script, 'sh', ...redisCliArguments(redis), ...argv], {
    as: options.as ?? (redis.appUser === undefined ? 'login' : { user: redis.appUser }),
    stdin: `${redis.password ?? ''}\n`,
    cwd: '/',
    okCodes: [0, 1, 126, 127],
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const reply = result.stdout.replace(/\n$/, '');
  if (result.exitCode === 0 && !isError(reply)) return reply;
  throw failureOf(host, redis, result.exitCode, isError(reply) ? reply.trim() : result.stderr.trim());
}

/** redis-cli before 7.0 has no exit code for an error reply; a reply that begins with an error's code is one. */
function isError(reply: string): boolean {
  return /^(?:\(error\) )?(?:ERR|NOAUTH|WRONGPASS|NOPERM|MISCONF|LOADING|READONLY|OOM|BUSY|MASTERDOWN) /.test(
    reply,
  );
}

function failureOf(host: Host, redis: RedisConnection, exitCode: number, said: string): Failure {
  const place = redis.host.startsWith('/') ? redis.host : `${redis.host}:${String(redis.port)}`;
  const where = `Redis at ${place} (from ${host.name})`;
  const message = said.slice(-2048);
  if (exitCode >= 126) {
    return new Failure('ToolMissing', `redis-cli is not on ${host.name}.`, {
      host: host.name,
      next: 'Install redis-tools on that host.',
    });
  }
  if (/NOAUTH|WRONGPASS|NOPERM|AUTH failed/.test(message)) {
    return new Failure('AuthFailed', `${where} does not let us in: ${message}`, {
      host: host.name,
      next: 'Compare REDIS_USER and REDIS_PASSWORD (or REDIS_URL) in the env file with what Redis accepts.',
    });
  }
  return new Failure('CommandFailed', `${where} failed: ${message}`, {
    host: host.name,
    next: 'Check that Redis runs and is reached from that host.',
  });
}
