import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { giveTo, makePrivateFolder, startDaemon } from './daemon.js';
import { redisProtocol } from './keyspace.js';
import { freePort } from './ports.js';

export interface RedisOptions {
  /** Where it keeps its dump. As root it must be reachable by the user `redis`. */
  readonly folder: string;
  /** Default: a free one. */
  readonly port?: number;
  /** A Unix socket besides the port. */
  readonly socket?: string;
  readonly password?: string;
  /** Default false, as in Debian. */
  readonly appendonly?: boolean;
}

/** A Redis of its own on loopback, saving by Redis's own default rules. */
export interface RedisServer {
  readonly port: number;
  readonly dump: string;
  /** Runs one command through redis-cli and returns what it printed. @throws for an error answer. */
  command(...words: string[]): Promise<string>;
  /** Runs many commands at once. */
  load(commands: readonly (readonly string[])[]): Promise<void>;
  /** Ends it; as configured, it saves first. */
  stop(): Promise<void>;
}

/** @throws Failure `CommandFailed` */
export async function startRedis(options: RedisOptions): Promise<RedisServer> {
  const port = options.port ?? (await freePort());
  const { folder, password } = options;
  await makePrivateFolder(folder, 'redis');
  const config = join(folder, 'redis.conf');
  const lines = [
    'bind 127.0.0.1',
    `port ${String(port)}`,
    `dir "${folder}"`,
    'dbfilename dump.rdb',
    `appendonly ${options.appendonly === true ? 'yes' : 'no'}`,
    'save 3600 1 300 100 60 10000',
    'daemonize no',
    ...(password === undefined ? [] : [`requirepass "${password}"`]),
    ...(options.socket === undefined ? [] : [`unixsocket "${options.socket}"`, 'unixsocketperm 700']),
  ];
  await writeFile(config, `${lines.join('\n')}\n`, { mode: 0o600 });
  await giveTo(config, 'redis');

  const env = password === undefined ? {} : { REDISCLI_AUTH: password };
  const cli = ['-h', '127.0.0.1', '-p', String(port)];
  const daemon = await startDaemon({
    name: 'Redis',
    argv: ['redis-server', config],
    user: 'redis',
    log: join(folder, 'redis.log'),
    deathSignal: 'TERM',
    ready: async () => (await execa('redis-cli', [...cli, 'PING'], { env, reject: false })).stdout === 'PONG',
  });
  return {
    port,
    dump: join(folder, 'dump.rdb'),
    async command(...words) {
      return (await execa('redis-cli', [...cli, '-e', ...words], { env })).stdout;
    },
    async load(commands) {
      await execa('redis-cli', [...cli, '--pipe'], { env, input: redisProtocol(commands) });
    },
    stop: () => daemon.stop('SIGTERM'),
  };
}
