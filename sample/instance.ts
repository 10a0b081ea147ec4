import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { Failure } from '../src/errors.js';
import { asUser } from './daemon.js';
import type { SampleData, SampleSize } from './data.js';
import { envFileText } from './envFile.js';
import { sampleFolder } from './paths.js';
import { freePort } from './ports.js';
import { type PostgresServer, startPostgres } from './postgres.js';
import { Random } from './random.js';
import { type RedisServer, startRedis } from './redis.js';
import { makeSample, sampleSql, writeRoot } from './seed.js';

export interface SampleInstanceOptions {
  /** Made if need be. As root it must be reachable by the users `postgres` and `redis`. */
  readonly folder: string;
  /** Default `sample.example`. */
  readonly domain?: string;
  readonly size?: Partial<SampleSize>;
  readonly seed?: string;
  readonly redis?: { readonly appendonly?: boolean; readonly password?: string };
  readonly postgres?: { readonly settings?: Readonly<Record<string, string>> };
}

export interface SampleInstance {
  readonly domain: string;
  /** Mastodon's root: holds `.env.production` and `public/system`. */
  readonly root: string;
  readonly envFile: string;
  readonly database: {
    readonly host: string;
    readonly port: number;
    readonly name: string;
    readonly user: string;
    readonly password: string;
  };
  readonly redis: {
    readonly host: string;
    readonly port: number;
    readonly password: string;
    readonly dump: string;
  };
  /** For `services: { kind: commands }`: argv arrays, in the same order as `names`. */
  readonly services: {
    readonly names: readonly string[];
    readonly start: readonly (readonly string[])[];
    readonly stop: readonly (readonly string[])[];
    readonly status: readonly (readonly string[])[];
  };
  readonly url: string;
  readonly healthUrl: string;
  readonly data: SampleData;
  /** The servers behind it: for tests that look inside or take something away. */
  readonly servers: { readonly postgres: PostgresServer; readonly redis: RedisServer };
  /** Ends everything it started; with `remove` the folder goes too. */
  stop(options?: { remove?: boolean }): Promise<void>;
}

const database = 'mastodon_sample';
const user = 'mastodon';

/**
 * Starts a seeded sample instance, healthy when this returns. What was started ends with this process. One that was
 * made in this folder before, with the same seed, is opened again as it was left.
 */
export async function startSampleInstance(options: SampleInstanceOptions): Promise<SampleInstance> {
  const { folder } = options;
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await requireReachable(folder);
  const cleanups: (() => Promise<unknown>)[] = [];
  const stop = async ({ remove = false } = {}): Promise<void> => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    if (remove) await rm(folder, { recursive: true, force: true });
  };
  try {
    const data = makeSample(options);
    const root = join(folder, 'live');
    const isThere = existsSync(join(root, '.env.production'));
    const random = new Random(`${data.seed}/passwords`);
    const password = `${random.base32(20)}#${random.base32(4)}`;
    const redisPassword = options.redis?.password ?? random.base32(24);

    const postgres = await startPostgres({ folder: join(folder, 'postgresql'), ...options.postgres });
    cleanups.push(() => postgres.stop());
    if (!isThere) {
      await postgres.sql(
        'postgres',
        `CREATE USER ${user} CREATEDB PASSWORD '${password}';\nCREATE DATABASE ${database} OWNER ${user} TEMPLATE template0;`,
      );
      await postgres.sql(database, sampleSql(data), user);
    }

    const redis = await startRedis({
      folder: join(folder, 'redis'),
      ...options.redis,
      password: redisPassword,
    });
    cleanups.push(() => redis.stop());
    if (!isThere) await redis.load(data.redis);

    const connections = {
      database: { host: '127.0.0.1', port: postgres.port, name: database, user, password },
      redis: { host: '127.0.0.1', port: redis.port, password: redisPassword },
    };
    const envFile = join(root, '.env.production');
    // The ports are others each time.
    if (isThere) await writeFile(envFile, envFileText(data, connections));
    else await writeRoot(data, root, envFileText(data, connections));

    const webPort = await freePort();
    const services = commands(root, { web: webPort, streaming: await freePort() });
    cleanups.push(() => runAll(services.stop));
    await runAll(services.start);
    const url = `http://127.0.0.1:${String(webPort)}`;
    await waitHealthy(`${url}/health`);
    return {
      domain: data.domain,
      root,
      envFile,
      database: connections.database,
      redis: { ...connections.redis, dump: redis.dump },
      services,
      url,
      healthUrl: `${url}/health`,
      data,
      servers: { postgres, redis },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function commands(root: string, ports: { web: number; streaming: number }): SampleInstance['services'] {
  const names = ['web', 'sidekiq', 'streaming'];
  const supervise = (verb: string, name: string): string[] => [
    process.execPath,
    join(sampleFolder, 'supervise.mjs'),
    verb,
    name,
    '--root',
    root,
  ];
  return {
    names,
    start: names.map((name) => {
      const port = name === 'web' ? ports.web : name === 'streaming' ? ports.streaming : undefined;
      const listen = port === undefined ? [] : ['--port', String(port)];
      return [...supervise('start', name), ...listen, '--owner', String(process.pid)];
    }),
    stop: names.map((name) => supervise('stop', name)),
    status: names.map((name) => supervise('status', name)),
  };
}

async function runAll(argvs: readonly (readonly string[])[]): Promise<void> {
  await Promise.all(argvs.map(([command = '', ...args]) => execa(command, args)));
}

async function waitHealthy(url: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok === true) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Failure('CommandFailed', `The sample's web service does not answer at ${url}.`, {
    next: 'Read log/web.log below the root of the sample.',
  });
}

/** The servers run as users of their own when we are root; a 0700 folder on the way would stop them later, and oddly. */
async function requireReachable(folder: string): Promise<void> {
  for (const name of ['postgres', 'redis']) {
    const [command, ...args] = asUser(name, ['test', '-x', folder]);
    if ((await execa(command, args, { reject: false })).exitCode === 0) continue;
    throw new Failure('ConfigInvalid', `The user ${name} cannot enter ${folder}.`, {
      next: 'Choose a folder whose parents are open to everybody (0755), such as one below /tmp.',
    });
  }
}
