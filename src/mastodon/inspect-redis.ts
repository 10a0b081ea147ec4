import { posix } from 'node:path';
import type { InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { isOnThisMachine, redisConnection, type RedisConnection, redisSentinels } from './connections.js';
import { refused } from './inspect-database.js';
import type { FoundRedis } from './instance.js';
import { redisCli } from './redis-cli.js';

/**
 * Asks the Redis of the env file for its version, its dump's path and whether it writes an append-only file.
 *
 * @throws Failure `Refused` when it does not let us in, cannot be reached, or does not say where its dump is.
 */
export async function inspectRedis(
  host: Host,
  config: InstanceConfig,
  env: ReadonlyMap<string, string>,
  appUser: string,
): Promise<FoundRedis> {
  const redis = { ...(await reachRedis(host, env, appUser)), appUser };
  // A managed Redis may not answer CONFIG; then the configuration has to say it.
  const setting = async (name: string) => {
    const reply = await redisCli(host, redis, ['CONFIG', 'GET', name]).catch(() => '');
    return reply.split('\n')[1] ?? '';
  };
  const [info, folder, file] = await Promise.all([
    redisCli(host, redis, ['INFO']).catch((error: unknown) => {
      throw refused(error);
    }),
    setting('dir'),
    setting('dbfilename'),
  ]);
  const dump = config.mastodon.redisDump ?? (folder === '' ? '' : posix.join(folder, file || 'dump.rdb'));
  const local = isOnThisMachine(redis.host);
  // Over the wire it comes without its path.
  if (dump === '' && local) {
    throw new Failure(
      'Refused',
      `Redis at ${redis.host} (from ${host.name}) does not say where its dump is.`,
      {
        host: host.name,
        next: 'Say it with mastodon.redisDump in the configuration.',
      },
    );
  }
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  return {
    ...redis,
    dump,
    dir: folder === '' ? posix.dirname(dump) : folder,
    aof: field('aof_enabled') === '1',
    version: field('redis_version'),
    local,
  };
}

/**
 * The Redis of the env file; behind Sentinel, the master as the first sentinel that answers knows it.
 *
 * @throws Failure `Refused` when no sentinel answers or knows it, and for what cannot be read.
 */
export async function reachRedis(
  host: Host,
  env: ReadonlyMap<string, string>,
  appUser: string,
): Promise<RedisConnection> {
  const connection = redisConnection(env);
  const behind = redisSentinels(env);
  if (behind === null) return connection;
  const problems: string[] = [];
  for (const sentinel of behind.sentinels) {
    try {
      const ask = ['SENTINEL', 'get-master-addr-by-name', behind.master];
      const reply = await redisCli(host, { ...sentinel, appUser }, ask);
      const [address = '', port = ''] = reply.split('\n');
      if (address !== '' && /^\d+$/.test(port)) return { ...connection, host: address, port: Number(port) };
      problems.push(`${sentinel.host} does not know ${behind.master}`);
    } catch (error) {
      if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
      problems.push(error.message);
    }
  }
  throw new Failure(
    'Refused',
    `No sentinel of REDIS_SENTINELS says where Redis's master "${behind.master}" is: ${problems.join('; ')}`,
    {
      host: host.name,
      next: 'Compare REDIS_SENTINELS, REDIS_SENTINEL_MASTER and REDIS_SENTINEL_PASSWORD in the env file with what answers from that host.',
    },
  );
}
