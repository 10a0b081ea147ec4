import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { type DatabaseAccess, psql } from '../mastodon/psql.js';
import type { Scratch } from './scratch.js';
import { notInstalled, politely, startServer, stopJob } from './servers.js';

/** A PostgreSQL cluster of a scratch's own. */
export interface Cluster {
  /** Superuser `postgres`, database `postgres`, over the Unix socket; as the login user, who alone is let in as that. */
  readonly access: DatabaseAccess;
  /** The folder of the socket, which the scratch's user, the login user and whom `scratch.admit` names get to. */
  readonly socketFolder: string;
  readonly port: number;
  readonly major: number;
  /** The folder of the programs of its major. */
  readonly binDir: string;
  /** Any role but the superuser is let in without a password: the socket's folder is closed to others. Default: `postgres`. */
  database(name: string, user?: string): DatabaseAccess;
  /**
   * The same for an application that is booted on it: a role that may read and write all that is in the database now, and
   * nothing else. A superuser could run programs on the host (`COPY … FROM PROGRAM`), outside of any namespace.
   */
  databaseForApplication(name: string): Promise<DatabaseAccess>;
  stop(): Promise<void>;
}

const port = 5432;
const superuser = 'postgres';
const applicationRole = 'application';
/** initdb takes a second or two, on a slow disk under load a minute. */
const patienceMs = 180_000;

/**
 * Starts the scratch's cluster, or finds it again. It is made to be thrown away: nothing is synced to the disk. Its own
 * databases have the locale C; any other, and any encoding, can be had from `template0`.
 *
 * @param options.major the least major that will do; the nearest on the host is taken. Default: the newest there.
 * @throws Failure `ToolMissing` where no server will do; `CommandFailed` with its last words when it does not start.
 */
export async function startCluster(scratch: Scratch, options: { major?: number } = {}): Promise<Cluster> {
  const { host, user } = scratch;
  const { user: login } = await host.facts();
  const folder = await scratch.own('pg');
  const socketFolder = await scratch.sockets();
  const data = `${folder}/data`;
  const { binDir, major } = await findPostgres(host, options.major, data);
  const access = (name: string, role: string): DatabaseAccess => ({
    database: { host: socketFolder, port, name, user: role, sslmode: 'disable', pooled: false },
    appUser: login,
    binDir,
  });
  const own = access('postgres', superuser);
  const settings = clusterSettings(socketFolder, await memoryBytes(host));
  const job = await startServer(scratch, {
    name: 'cluster',
    argv: ['bash', '-c', clusterScript, 'permafrost-cluster', binDir, data, settings, login],
    as: { user },
    answers: () => answers(host, own),
    patienceMs,
    failed: (log) =>
      new Failure(
        'CommandFailed',
        `PostgreSQL of a scratch on ${host.name} did not start: ${log.slice(-1500)}`,
        {
          host: host.name,
          next: 'see what PostgreSQL says there; the disk of the scratch may be full',
        },
      ),
  });
  return {
    ...{ access: own, socketFolder, port, major, binDir },
    database: (name, role = superuser) => access(name, role),
    async databaseForApplication(name) {
      await psql(host, access(name, superuser), applicationSql);
      return access(name, applicationRole);
    },
    stop: () => stopJob(job),
  };
}

/**
 * $1 folder of the programs, $2 data, $3 settings, $4 login user: makes the cluster in one step, and is the server. Its
 * superuser is the login user alone, by whom the kernel says he is: not its own user, who may be the application's too.
 */
const clusterScript = `set -u; umask 077; export LC_ALL=C
${politely}
cd "\${2%/*}" || exit 1   # initdb would make a scratch anew that is gone
if [ ! -e "$2/PG_VERSION" ]; then
  rm -rf -- "$2.new"
  "$1/initdb" -D "$2.new" -U ${superuser} -A reject -E UTF8 --locale=C --no-sync > /dev/null || exit 1
  printf 'local all ${superuser} peer map=scratch\\nlocal all all trust\\n' > "$2.new/pg_hba.conf" &&
    printf 'scratch "%s" ${superuser}\\n' "$4" > "$2.new/pg_ident.conf" || exit 1
  printf '%s\\n' "$3" >> "$2.new/postgresql.conf" && mv -T -- "$2.new" "$2" || exit 1
fi
exec "$1/postgres" -D "$2"`;

/**
 * Nothing is kept if the power fails, and what is written by a transaction that has made its table is not logged at all
 * (PostgreSQL's manual, "Populating a Database"; `wal_level`). Memory that backends share lies in the data folder, and
 * goes with it. JIT takes longer to compile than the proofs' queries run.
 */
function clusterSettings(socketFolder: string, memory: number): string {
  const buffers = Math.min(1024, Math.max(64, Math.floor(memory / 16 / 2 ** 20)));
  return [
    `listen_addresses = ''`,
    `unix_socket_directories = '${socketFolder}'`,
    `port = ${String(port)}`,
    `shared_buffers = ${String(buffers)}MB`,
    ...['fsync', 'synchronous_commit', 'full_page_writes', 'autovacuum', 'jit', 'huge_pages'].map(
      (name) => `${name} = off`,
    ),
    'wal_level = minimal',
    'max_wal_senders = 0',
    'max_wal_size = 4GB',
    'checkpoint_timeout = 1h',
    'dynamic_shared_memory_type = mmap',
    'max_locks_per_transaction = 256',
    `lc_messages = 'C'`,
    `timezone = 'UTC'`,
    `log_timezone = 'UTC'`,
    `cluster_name = 'permafrost-scratch'`,
  ].join('\n');
}

/** Of the database that is asked. Whose the objects are stays as it is: an application that runs does not alter them. */
const applicationSql = `DO $$
DECLARE place name;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${applicationRole}') THEN
    CREATE ROLE ${applicationRole} LOGIN;
  END IF;
  FOR place IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %1$I TO ${applicationRole}', place);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %1$I TO ${applicationRole}', place);
    EXECUTE format('GRANT ALL ON ALL SEQUENCES IN SCHEMA %1$I TO ${applicationRole}', place);
    EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %1$I TO ${applicationRole}', place);
  END LOOP;
END $$;`;

async function answers(host: Host, access: DatabaseAccess): Promise<boolean> {
  try {
    await psql(host, access, 'SELECT 1;');
    return true;
  } catch (error) {
    if (error instanceof Failure && error.type === 'CommandFailed') return false;
    throw error;
  }
}

async function memoryBytes(host: Host): Promise<number> {
  const { stdout } = await host.run(['awk', '/^MemTotal:/ { print $2 * 1024 }', '/proc/meminfo']);
  return Number(stdout.trim());
}

/**
 * Prints "major folder" of every server on the host, a line each; and first the major of the cluster that is there, or a
 * line that is empty. Debian's /usr/bin has wrappers in place of the programs, and no server.
 */
const serversScript = `head -n 1 -- "$1/PG_VERSION" 2> /dev/null || echo
found=$(command -v initdb) && found=$(dirname -- "$(readlink -f -- "$found")")
for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql*/bin $found; do
  [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ] && [ -x "$bin/psql" ] && [ -x "$bin/pg_restore" ] || continue
  echo "$("$bin/postgres" --version | sed -E 's/[^0-9]*([0-9]+).*/\\1/') $bin"
done
exit 0`;

/**
 * The PostgreSQL server that a scratch on this host would have.
 *
 * @param least the least major that will do; 0 for any.
 * @param data a cluster that may be there already: then one of its major.
 * @throws Failure `ToolMissing`
 */
export async function findPostgres(
  host: Host,
  least = 0,
  data = '',
): Promise<{ binDir: string; major: number }> {
  const { stdout } = await host.run(['sh', '-c', serversScript, 'sh', data]);
  const [there = '', ...lines] = stdout.split('\n');
  const servers = lines
    .map((line) => /^(\d+) (\/.+)$/.exec(line))
    .flatMap((match) => (match === null ? [] : [{ major: Number(match[1]), binDir: match[2] ?? '' }]))
    .sort((one, other) => one.major - other.major);
  const fitting = servers.filter(({ major }) => (there === '' ? major >= least : major === Number(there)));
  const chosen = least === 0 ? fitting.at(-1) : fitting[0];
  if (chosen !== undefined) return chosen;
  const newest = servers.at(-1)?.major;
  const what = `PostgreSQL server${least === 0 ? '' : ` of major ${String(least)} or newer`}`;
  throw notInstalled(
    host,
    `${what}${newest === undefined ? '' : ` (the newest is ${String(newest)})`}`,
    least === 0 ? 'postgresql' : `postgresql-${String(least)}`,
  );
}
