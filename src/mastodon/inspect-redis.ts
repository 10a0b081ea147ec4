import { posix } from 'node:path';
import type { InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { isOnThisMachine, redisConnection } from './connections.js';
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
  const redis = { ...redisConnection(env), appUser };
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
  if (dump === '') {
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
    local: isOnThisMachine(redis.host),
  };
}
