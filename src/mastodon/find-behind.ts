import type { InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { databaseConnection, isOnThisMachine } from './connections.js';
import { inspectDatabase } from './inspect-database.js';
import { reachRedis } from './inspect-redis.js';
import { psql } from './psql.js';
import { redisCli } from './redis-cli.js';
import type { Survey } from './survey.js';

/** What a pooler or a locked-down Redis keeps from us: found by other ways, for whoever writes a configuration. */

type Env = ReadonlyMap<string, string>;

/** Through a pooler, PostgreSQL still says where it was reached: no address when that was its socket. */
const whereQuestion = `SELECT coalesce(host(inet_server_addr()), ''), coalesce(inet_server_port()::text, ''), current_setting('port')`;

const socketFolder = '/var/run/postgresql';

/**
 * Where PostgreSQL itself answers, when the env file names a pooler: asked through the pooler, and tried.
 *
 * @returns null when there is no pooler, or no place that lets Mastodon's user in.
 * @throws what `psql` throws when the pooler itself does not let us in.
 */
export async function findDatabaseBehindPooler(
  host: Host,
  env: Env,
  looked: Pick<Survey, 'appUser' | 'clients'>,
  config: InstanceConfig,
): Promise<{ host: string; port: number } | null> {
  const pooler = databaseConnection(env);
  const client = looked.clients[0];
  if (!pooler.pooled || client === undefined) return null;
  const access = { database: pooler, appUser: looked.appUser, binDir: client.binDir };
  const [row = []] = await psql(host, access, whereQuestion);
  for (const place of placesBehind(pooler.host, row)) {
    const database = { ...config.database, ...place };
    const reached = await inspectDatabase(host, { ...config, database }, env, looked).catch(() => null);
    if (reached !== null) return place;
  }
  return null;
}

/** Places to try, as seen from the host, by what PostgreSQL said through the pooler at `pooler`. Pure. */
export function placesBehind(
  pooler: string,
  [address = '', reachedPort = '', ownPort = '']: readonly string[],
): { host: string; port: number }[] {
  const port = Number(reachedPort || ownPort || '5432');
  const local = isOnThisMachine(pooler);
  // A loopback or a socket is that of the pooler's machine.
  const near = address === '' || isOnThisMachine(address);
  if (!near) return [{ host: address, port }];
  if (!local) return [{ host: pooler, port }];
  const sockets = [{ host: socketFolder, port: Number(ownPort || port) }];
  return [...(address === '' ? [] : [{ host: address, port }]), ...sockets, { host: '127.0.0.1', port }];
}

/** The process's folder is Redis's own `dir`; the name is in its configuration, or the default. */
const dumpScript = `export LC_ALL=C
pid=$1 conf=$2
set_in() { [ -r "$conf" ] && sed -n "s/^[[:space:]]*$1[[:space:]][[:space:]]*//p" "$conf" | tail -n 1 | tr -d "\\"'"; }
dir=$(readlink "/proc/$pid/cwd") || dir=$(set_in dir)
name=$(set_in dbfilename); name=\${name:-dump.rdb}
[ -n "$dir" ] && [ "$dir" != / ] && { printf 'told %s\\n' "$dir/$name"; exit 0; }
for guess in /var/lib/redis/dump.rdb /var/lib/redis/6379/dump.rdb /var/lib/valkey/dump.rdb; do
  [ -d "\${guess%/*}" ] && { printf 'guess %s\\n' "$guess"; exit 0; }
done
exit 0`;

/**
 * Where Redis keeps its dump when it does not say so itself (CONFIG renamed or forbidden): its process says it to root.
 *
 * @returns null when nothing is known; `seen: false` for a guess.
 * @throws what `redisCli` throws when Redis does not let us in at all.
 */
export async function findRedisDump(
  host: Host,
  env: Env,
  appUser: string,
): Promise<{ path: string; seen: boolean } | null> {
  const redis = { ...(await reachRedis(host, env, appUser)), appUser };
  if (!isOnThisMachine(redis.host)) return null;
  const info = await redisCli(host, redis, ['INFO', 'server']);
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  const argv = ['sh', '-c', dumpScript, 'sh', field('process_id'), field('config_file')];
  const { sudo } = await host.facts();
  const { stdout } = await (sudo
    ? host.run(argv, { as: 'privileged' }).catch((error: unknown) => {
        if (error instanceof Failure && error.type === 'HostUnreachable') throw error;
        return host.run(argv);
      })
    : host.run(argv));
  const [, how, path] = /^(told|guess) (\/.+)$/m.exec(stdout) ?? [];
  return path === undefined ? null : { path: path.replace(/\/{2,}/g, '/'), seen: how === 'told' };
}
