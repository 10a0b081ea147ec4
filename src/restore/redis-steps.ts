import type { Manifest } from '../backups/manifest.js';
import { gigabytes } from '../backups/space.js';
import { Failure } from '../errors.js';
import { otherRedisRoles, type RedisConnection, redisSentinels } from '../mastodon/connections.js';
import { reachRedis } from '../mastodon/inspect-redis.js';
import { redisCli } from '../mastodon/redis-cli.js';
import type { Journal } from './journal.js';
import { noSteps, type Steps } from './steps.js';
import type { RestoreTarget } from './target.js';

/** The step that fills Redis from the backup's RDB, a copy of which stays in the journal. @throws Failure `Refused`. */
export async function redisSteps(
  target: RestoreTarget,
  manifest: Manifest,
  rdb: string,
  journal: Journal,
): Promise<Steps> {
  const { host, redis, as } = target;
  if (redis === null) throw new Failure('Unexpected', 'the target was found without its Redis');
  await requireReplaceable(target, manifest);
  const folder = `${journal.folder}/redis`;
  const script =
    'umask 077; mkdir -p -- "$2" && { ln -f -- "$1" "$2/new.rdb" 2> /dev/null || cp -- "$1" "$2/new.rdb"; } && sync -- "$2/new.rdb"';
  await host.run(['sh', '-c', script, 'sh', rdb, folder], { as, timeoutMs: 1_800_000 });
  const savedAt = manifest.redis?.savedAt ?? manifest.startedAt;
  return {
    steps: [{ kind: 'redis' }],
    lines: [`Redis: all its data, as of ${savedAt}; what it holds now is kept for the undo`],
    warnings: [],
  };
}

/** @throws Failure `Refused` where Redis cannot be filled by way of another one. */
export async function requireReplaceable(
  { host, redis, env, domain }: RestoreTarget,
  manifest: Manifest,
): Promise<void> {
  if (redis === null) return;
  const refused = (why: string) =>
    new Failure(
      'Refused',
      `Redis of ${domain} (${redis.host}, from ${host.name}) cannot be restored: ${why}`,
      {
        host: host.name,
        next: 'leave redis out (--parts), or restore it into a folder (--to DIR --parts redis) and load it by hand',
      },
    );
  if (redisSentinels(env) !== null) throw refused('Sentinel looks after it, and would take it for another');
  if (!redis.local) throw refused('it runs on another machine');
  const { exitCode } = await host.run(['sh', '-c', 'command -v redis-server || command -v valkey-server'], {
    okCodes: [0, 1, 127],
  });
  if (exitCode !== 0) throw refused(`there is no redis-server on ${host.name} to load the backup with`);
  const said = await redisCli(host, redis, ['INFO', 'replication']);
  if (!/^role:master/m.test(said)) throw refused('it is a replica of another one');
  // Both can be renamed, or forbidden to Mastodon's user of Redis.
  for (const [name, words] of [
    ['CONFIG', ['CONFIG', 'GET', 'masterauth']],
    ['REPLICAOF', ['COMMAND', 'INFO', 'replicaof']],
  ] as const) {
    const answer = await redisCli(host, redis, words).catch(refusal);
    if (!/^(?:masterauth|replicaof)\b/.test(answer)) throw refused(`it does not take the command ${name}`);
  }
  // The second one beside it, and the fork that saves it for the undo, written to meanwhile.
  const used = Number(/^used_memory:(\d+)/m.exec(await redisCli(host, redis, ['INFO', 'memory']))?.[1] ?? 0);
  const saved = manifest.parts.find(({ name }) => name === 'redis')?.bytes ?? 0;
  const { stdout } = await host.run(['cat', '/proc/meminfo']);
  const free = Number(/^MemAvailable:\s+(\d+) kB/m.exec(stdout)?.[1] ?? Number.POSITIVE_INFINITY) * 1024;
  const needed = 2 * Math.max(used, saved);
  if (needed > free)
    throw refused(
      `${host.name} has ${gigabytes(free)} of memory available, and ${gigabytes(needed)} may be needed for a second Redis beside it`,
    );
}

/** What Redis says instead of an answer; a host that is away is no answer. */
function refusal(error: unknown): string {
  if (error instanceof Failure && error.type !== 'HostUnreachable') return error.message;
  throw error;
}

/** Where Rails keeps rows that it remembers (mastodon/mastodon config/environments/production.rb), and under which names. */
export async function cacheOf(
  target: RestoreTarget,
): Promise<{ connection: RedisConnection; steps: Steps } | null> {
  const { env, host, appUser } = target;
  const own = otherRedisRoles(env).includes('cache');
  const role = own
    ? new Map(
        [...env].flatMap(([name, value]) =>
          name.startsWith('CACHE_REDIS_') ? [[name.slice(6), value] as const] : [],
        ),
      )
    : env;
  const namespace = env.get('REDIS_NAMESPACE') ?? '';
  const pattern = namespace === '' ? 'cache:*' : `${namespace}_cache:*`;
  try {
    const connection = await reachRedis(host, role, appUser);
    await redisCli(host, { ...connection, appUser }, ['PING']);
    return { connection, steps: { ...noSteps, steps: [{ kind: 'cache', pattern }] } };
  } catch (error) {
    if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
    return null;
  }
}
