import type { Host } from '../hosts/host.js';
import { findPostgres } from './cluster.js';
import { findRedis } from './redis.js';

/**
 * Whether a host has the servers that a drill starts there, before anything is fetched.
 *
 * @param wanted.major the least major of PostgreSQL that will do; undefined for any, null when none is needed.
 * @throws Failure `ToolMissing` saying what to install.
 */
export async function requireServers(
  host: Host,
  wanted: { major?: number | null; redis: boolean },
): Promise<void> {
  if (wanted.major !== null) await findPostgres(host, wanted.major);
  if (wanted.redis) await findRedis(host);
}
