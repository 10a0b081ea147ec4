import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { execa } from 'execa';
import { Failure } from '../src/errors.js';
import { asUser, makePrivateFolder, startDaemon } from './daemon.js';
import { freePort } from './ports.js';

export interface PostgresOptions {
  /** Where the cluster lives. As root it must be reachable by the user `postgres`. */
  readonly folder: string;
  /** Default: the newest that is installed. */
  readonly major?: number;
  /** Default: a free one. */
  readonly port?: number;
  /** Server settings, over the ones it has by itself: `{ shared_buffers: '1GB' }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * A throwaway cluster, without fsync. On loopback TCP it asks for a password; on its Unix socket, in a folder that
 * only its user and root can enter, it lets in anybody as anyone.
 */
export interface PostgresServer {
  readonly port: number;
  readonly socketFolder: string;
  readonly superuser: string;
  /** The folder of this major's binaries. */
  readonly binaries: string;
  readonly major: number;
  /** Runs SQL as the superuser through psql, stopping at the first error; returns what it printed, unaligned. */
  sql(database: string, text: string | AsyncIterable<string>, user?: string): Promise<string>;
  stop(): Promise<void>;
}

const installed = '/usr/lib/postgresql';

/** @throws Failure `ToolMissing`, `CommandFailed` */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const major = options.major ?? newestMajor();
  const binaries = join(installed, String(major), 'bin');
  const port = options.port ?? (await freePort());
  await makePrivateFolder(options.folder, 'postgres');
  const data = join(options.folder, 'data');
  // The kernel takes at most 107 bytes for a socket's path.
  const fits = Buffer.byteLength(join(options.folder, 'socket', '.s.PGSQL.65535')) <= 107;
  const socketFolder = fits ? join(options.folder, 'socket') : await mkdtemp('/tmp/permafrost-pg-');
  await makePrivateFolder(socketFolder, 'postgres');

  const auth = ['--auth-local=trust', '--auth-host=scram-sha-256'];
  const initdb = [
    join(binaries, 'initdb'),
    '-D',
    data,
    '-U',
    'postgres',
    '-E',
    'UTF8',
    '--locale=C',
    '-N',
    ...auth,
  ];
  const [command, ...args] = asUser('postgres', initdb);
  if (!existsSync(data)) await execa(command, args, { cwd: '/' });

  const settings = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: socketFolder,
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    shared_buffers: '32MB',
    max_connections: '60',
    ...options.settings,
  };
  const daemon = await startDaemon({
    name: 'PostgreSQL',
    argv: [
      join(binaries, 'postgres'),
      '-D',
      data,
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    user: 'postgres',
    log: join(options.folder, 'postgresql.log'),
    deathSignal: 'QUIT',
    ready: async () => {
      const check = await execa(
        join(binaries, 'pg_isready'),
        ['-q', '-h', socketFolder, '-p', String(port)],
        {
          reject: false,
        },
      );
      return check.exitCode === 0;
    },
  });
  return {
    port,
    socketFolder,
    superuser: 'postgres',
    binaries,
    major,
    async sql(database, text, user = 'postgres') {
      const target = ['-h', socketFolder, '-p', String(port), '-U', user, '-d', database];
      const psql = ['-X', '-q', '-A', '-t', '--set', 'ON_ERROR_STOP=1', '-f', '-'];
      const input = typeof text === 'string' ? { input: text } : { input: Readable.from(text) };
      const { stdout } = await execa(join(binaries, 'psql'), [...target, ...psql], input);
      return stdout;
    },
    async stop() {
      await daemon.stop('SIGINT');
      if (!fits) await rm(socketFolder, { recursive: true, force: true });
    },
  };
}

function newestMajor(): number {
  const majors = existsSync(installed) ? readdirSync(installed).map(Number).filter(Number.isInteger) : [];
  const newest = majors
    .filter((major) => existsSync(join(installed, String(major), 'bin', 'initdb')))
    .sort((a, b) => b - a)[0];
  if (newest === undefined) {
    throw new Failure('ToolMissing', `There is no PostgreSQL server in ${installed}.`, {
      next: 'apt-get install postgresql',
    });
  }
  return newest;
}
