import { z } from 'zod';
import { manifestSchema } from '../backups/manifest.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { schemaOf } from '../mastodon/database-schema.js';
import { codeIndexes } from '../mastodon/code-schema.js';
import { countRowsSql, newestStatusSql } from '../mastodon/dumped-tables.js';
import { databaseAccess, type Instance } from '../mastodon/inspect.js';
import { psql } from '../mastodon/psql.js';
import { rolesArgv } from '../mastodon/sudo-rules.js';
import { present } from '../present.js';
import { activity } from './activity.js';
import type { Ground } from './ground.js';
import { runInput, type RunRef } from './inputs.js';
import { followJob, jobId } from './jobs.js';
import { databaseArgv, snapshotOf } from './moment.js';
import { type Spool, spoolOf, writeFacts } from './spool.js';

/** A file of the spool as the manifest names it. */
export const entryFacts = z.object({ path: z.string(), bytes: z.number(), sha256: z.string() });
export type EntryFacts = z.infer<typeof entryFacts>;

export const databaseFacts = z.object({
  name: z.string(),
  sizeBytes: z.number(),
  encoding: z.string(),
  collate: z.string(),
  ctype: z.string(),
  extensions: z.array(z.object({ name: z.string(), version: z.string() })),
  schema: z.string().nullable(),
  serverVersion: z.string(),
  newestStatusAt: z.string().nullable(),
  uniqueIndexes: manifestSchema.shape.database.unwrap().shape.uniqueIndexes,
});
export const rowsFacts = z.record(z.string(), z.number());
export const dumpFacts = z.object({
  /** What is sent: the dump, or the delta. */
  entry: entryFacts,
  pgDump: z.string(),
  /** Of a delta: the full dump that it was made against, and the dump that it was made from. */
  delta: manifestSchema.shape.database.unwrap().shape.delta,
});
export const rolesFacts = z.object({
  roles: z.enum(['with passwords', 'without passwords', 'not captured']),
  entry: entryFacts.optional(),
});

/** Wraps SQL into a transaction that sees the pinned moment. @throws Failure `SnapshotLost` when it is gone. */
export async function inMoment(host: Host, instance: Instance, run: RunRef, sql: string): Promise<string> {
  const snapshot = await snapshotOf(host, instance, run);
  if (snapshot === null) throw momentLost(host, run);
  return `SET statement_timeout = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET TRANSACTION SNAPSHOT '${snapshot}';
${sql}
COMMIT;`;
}

export function momentLost(host: Host, run: RunRef): Failure {
  return new Failure('SnapshotLost', `the database session of ${run.instance} that held the moment is gone`, {
    host: host.name,
    next: 'the database is taken as it is now instead, and the manifest says so',
  });
}

/**
 * A function of bash that hashes its input. Where there is openssl, it does: five times as fast as coreutils' sha256sum,
 * which does not use the processor's instructions for it.
 */
export const hashFunction =
  "hash() { if command -v openssl > /dev/null; then openssl dgst -sha256 -r; else sha256sum; fi | cut -d ' ' -f 1; }";

/**
 * Runs a command and keeps its output as a file of the spool, hashed as it passes: under its final name only when the
 * command has ended well.
 */
export async function captureOutput(
  host: Host,
  run: RunRef,
  step: string,
  file: string,
  argv: readonly string[],
  totalBytes?: number,
): Promise<EntryFacts> {
  const script = `set -o pipefail; umask 077; file=$1; shift
${hashFunction}
"$@" < /dev/null | tee -- "$file.new" | hash && mv -- "$file.new" "$file" && stat -c %s -- "$file"`;
  const done = await followJob(
    host,
    jobId(run, step),
    ['bash', '-c', script, 'bash', file, ...argv],
    { cwd: '/', nice: 5 },
    async () => {
      const { stdout } = await host.run(['stat', '-c', '%s', `${file}.new`, file], { okCodes: [0, 1] });
      return {
        bytes: Number(stdout.trim().split('\n')[0] ?? 0),
        ...(totalBytes === undefined ? {} : { totalBytes }),
      };
    },
  );
  const [sha256 = '', size = ''] = done.stdoutTail.trim().split('\n');
  return { path: file.slice(file.lastIndexOf('/') + 1), bytes: Number(size), sha256 };
}

export function databaseActivities(ground: Ground) {
  return {
    /** Counts the rows of every table in the pinned moment: a restore has to have just as many. */
    countRows: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const sql = await inMoment(host, instance, run, countRowsSql);
      const file = `${spool.facts}/rows.tsv`;
      await queryToFile(host, instance, run, spool, 'count-rows', sql, file);
      const { stdout } = await host.run(['cat', '--', file]);
      const rows = stdout
        .trim()
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => line.split('\t'));
      const counts = Object.fromEntries(
        rows.map(([table = '', rowCount = '0']) => [table, Number(rowCount)]),
      );
      await writeFacts(host, spool, 'rows', counts);
      return { tables: rows.length };
    }),

    /** Notes what a restore has to know about the database: encoding, locale, extensions, versions, its newest status. */
    describeDatabase: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const schema = await schemaOf(host, instance);
      const sql = await inMoment(
        host,
        instance,
        run,
        `SELECT 'database', current_database(), pg_database_size(current_database()), pg_encoding_to_char(encoding), datcollate, datctype
  FROM pg_database WHERE datname = current_database();
SELECT 'extension', extname, extversion FROM pg_extension ORDER BY extname;
${schema.has('schema_migrations') ? "SELECT 'schema', version FROM public.schema_migrations ORDER BY version DESC;" : ''}
${schema.has('statuses') ? newestStatusSql : ''}`,
      );
      const rows = await psql(host, databaseAccess(instance), sql, { timeoutMs: 600_000 });
      const row = (kind: string) => rows.find(([first]) => first === kind) ?? [];
      const migrations = rows.filter(([kind]) => kind === 'schema').map(([, version = '']) => version);
      const [, name = '', sizeBytes = '0', encoding = '', collate = '', ctype = ''] = row('database');
      await writeFacts(host, spool, 'database', {
        ...{ name, sizeBytes: Number(sizeBytes), encoding, collate, ctype },
        extensions: rows
          .filter(([kind]) => kind === 'extension')
          .map(([, extension = '', version = '']) => ({ name: extension, version })),
        schema: migrations[0] ?? null,
        serverVersion: instance.database.serverVersion,
        newestStatusAt: row('newest')[1] || null,
        ...present({ uniqueIndexes: await codeIndexes(host, instance, new Set(migrations)) }),
      });
    }),

    /** Captures the roles, with passwords where we may see them: pg_dump has none of them. */
    dumpRoles: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const facts = await captureRoles(host, instance, run, spool);
      await writeFacts(host, spool, 'roles', facts);
      return { roles: facts.roles };
    }),
  };
}

/** Runs SQL by a job of Mastodon's user and keeps the rows, tab-separated, in a file of the login user. */
export async function queryToFile(
  host: Host,
  instance: Instance,
  run: RunRef,
  spool: Spool,
  step: string,
  sql: string,
  file: string,
): Promise<void> {
  const as = { user: instance.appUser };
  const script = `${spool.keys.app}/${step}.sql`;
  await host.run(['sh', '-c', 'umask 077; cat > "$1"', 'sh', script], { as, stdin: sql });
  const psqlArgv = [
    `${instance.database.binDir}/psql`,
    '-XqAtw',
    '-F',
    '\t',
    '-v',
    'ON_ERROR_STOP=1',
    '-f',
    script,
  ];
  try {
    await followJob(host, jobId(run, step), databaseArgv(instance, spool.keys.app, psqlArgv), {
      as,
      cwd: '/',
      nice: 5,
      stdoutFile: file,
    });
  } catch (error) {
    if (error instanceof Failure && /invalid snapshot identifier/.test(error.message))
      throw momentLost(host, run);
    throw error;
  }
}

/**
 * pg_dumpall reads the roles' passwords only for a superuser: as `postgres` where that is allowed (peer
 * authentication, the owner of the packaged server), else as Mastodon's role without them.
 */
export async function captureRoles(
  host: Host,
  instance: Instance,
  run: RunRef,
  spool: Spool,
): Promise<z.infer<typeof rolesFacts>> {
  const { database } = instance;
  const file = `${spool.folder}/database/globals.sql`;
  const program = `${database.binDir}/pg_dumpall`;
  const attempts: { roles: 'with passwords' | 'without passwords'; argv: () => Promise<string[]> }[] = [
    ...(database.local
      ? [
          {
            roles: 'with passwords' as const,
            argv: () => host.argvAs(rolesArgv(database), { user: 'postgres' }),
          },
        ]
      : []),
    {
      roles: 'with passwords',
      argv: () =>
        host.argvAs(databaseArgv(instance, spool.keys.app, [program, '--globals-only', '-w']), {
          user: instance.appUser,
        }),
    },
    {
      roles: 'without passwords',
      argv: () =>
        host.argvAs(
          databaseArgv(instance, spool.keys.app, [program, '--globals-only', '--no-role-passwords', '-w']),
          {
            user: instance.appUser,
          },
        ),
    },
  ];
  for (const [at, attempt] of attempts.entries()) {
    try {
      const entry = await captureOutput(host, run, `roles-${String(at)}`, file, await attempt.argv());
      return { roles: attempt.roles, entry };
    } catch (error) {
      // Not allowed; anything else, as a cut connection, may be better the next time.
      if (!(error instanceof Failure) || !['CommandFailed', 'AuthFailed'].includes(error.type)) throw error;
    }
  }
  return { roles: 'not captured' };
}
