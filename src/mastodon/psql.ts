import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import type { DatabaseConnection } from './connections.js';

/** Everything `psql` needs to ask a database: `databaseAccess(instance)` makes it. */
export interface DatabaseAccess {
  readonly database: DatabaseConnection;
  /** The user of the host that psql runs as: peer authentication asks for it. */
  readonly appUser: string;
  /** The folder of PostgreSQL's programs on the host; '' for whatever PATH finds. */
  readonly binDir: string;
}

export interface PsqlOptions {
  /** psql variables, for `:'name'` and `:"name"` in the SQL. Not for secrets: they are seen in the process list. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Milliseconds; default 60 000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** The first line of standard input is the password; the SQL follows, so that neither is seen in the process list. */
const script = `IFS= read -r PGPASSWORD
if [ -n "$PGPASSWORD" ]; then export PGPASSWORD; else unset PGPASSWORD; fi
export PGHOST="$1" PGPORT="$2" PGUSER="$3" PGDATABASE="$4" PGSSLMODE="$5"
export PGCONNECT_TIMEOUT=15 PGAPPNAME=permafrost PGCLIENTENCODING=UTF8 LC_ALL=C
shift 5
exec "$@"`;

const fieldSeparator = '\x1f';

/**
 * What `psql` runs, as `appUser`, for jobs that must run it themselves. Standard input is a line with the password (empty
 * for none), then the SQL.
 */
export function psqlArgv(
  { database, binDir }: DatabaseAccess,
  variables: Readonly<Record<string, string>> = {},
): string[] {
  return [
    ...['sh', '-c', script, 'sh'],
    ...[database.host, String(database.port), database.user, database.name, database.sslmode],
    ...[binDir === '' ? 'psql' : `${binDir}/psql`, '-XqAtw0', '-F', fieldSeparator, '-v', 'ON_ERROR_STOP=1'],
    ...Object.entries(variables).flatMap(([name, value]) => ['-v', `${name}=${value}`]),
    ...['-f', '-'],
  ];
}

/**
 * Runs SQL in Mastodon's database and returns the rows of all its statements, every value as text, NULL as ''.
 *
 * @throws Failure `AuthFailed` when the database does not accept the user or password, `NotFound` when the server has no
 *   such database, `ToolMissing` without psql, `CommandFailed` with PostgreSQL's message otherwise; what `Host.run`
 *   throws.
 */
export async function psql(
  host: Host,
  access: DatabaseAccess,
  sql: string,
  options: PsqlOptions = {},
): Promise<string[][]> {
  const { database, appUser } = access;
  const result = await host.run(psqlArgv(access, options.variables), {
    as: { user: appUser },
    stdin: `${database.password ?? ''}\n${sql}\n`,
    cwd: '/',
    okCodes: [0, 1, 2, 3, 126, 127],
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  if (result.exitCode !== 0) throw failureOf(host, database, result.exitCode, result.stderr);
  return result.stdout
    .split('\0')
    .slice(0, -1)
    .map((row) => row.split(fieldSeparator));
}

/**
 * Runs SQL that prints lines of its own (`COPY … TO STDOUT`), and gives them as they come: for what is too much to hold.
 * Whoever stops early ends the query.
 *
 * @throws as `psql`.
 */
export async function* psqlLines(
  host: Host,
  access: DatabaseAccess,
  sql: string,
  options: Pick<PsqlOptions, 'signal'> = {},
): AsyncGenerator<string> {
  const { database, appUser } = access;
  const stream = await host.stream(psqlArgv(access), {
    as: { user: appUser },
    stdin: `${database.password ?? ''}\n${sql}\n`,
    cwd: '/',
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  try {
    yield* linesOf(stream.stdout as AsyncIterable<Buffer>);
    const { exitCode, stderr } = await stream.completed;
    options.signal?.throwIfAborted();
    if (exitCode !== 0) throw failureOf(host, database, exitCode, stderr);
  } finally {
    stream.kill();
  }
}

/** Ended by newlines alone: node:readline takes U+2028, which may be in a file's name, for one. */
async function* linesOf(source: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = Buffer.alloc(0);
  for await (const chunk of source) {
    const block = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let from = 0;
    for (let to = block.indexOf(newline); to >= 0; to = block.indexOf(newline, from)) {
      yield block.toString('utf8', from, to);
      from = to + 1;
    }
    rest = Buffer.from(block.subarray(from));
  }
  if (rest.length > 0) yield rest.toString('utf8');
}

const newline = 10;

function failureOf(host: Host, database: DatabaseConnection, exitCode: number, stderr: string): Failure {
  const where = `database ${database.name} (${database.user} at ${database.host}:${String(database.port)}, from ${host.name})`;
  const said = stderr.trim().slice(-2048);
  const cause = { host: host.name };
  if (exitCode >= 126) {
    return new Failure('ToolMissing', `psql is not on ${host.name}: ${said}`, {
      ...cause,
      next: 'Install the PostgreSQL client on that host.',
    });
  }
  if (
    /authentication failed|no password supplied|no pg_hba\.conf entry|role ".*" does not exist/i.test(said)
  ) {
    return new Failure('AuthFailed', `The ${where} does not let us in: ${said}`, {
      ...cause,
      next: 'Compare DB_USER and DB_PASS (or DATABASE_URL) in the env file with what PostgreSQL accepts.',
    });
  }
  if (/FATAL: +database ".*" does not exist/.test(said)) {
    return new Failure('NotFound', `There is no ${where}.`, {
      ...cause,
      next: 'Check DB_NAME (or DATABASE_URL) in the env file.',
    });
  }
  return new Failure('CommandFailed', `psql failed in the ${where}: ${said}`, {
    ...cause,
    next:
      exitCode === 2
        ? 'Check that PostgreSQL runs and is reached from that host.'
        : 'See the message of PostgreSQL.',
  });
}
