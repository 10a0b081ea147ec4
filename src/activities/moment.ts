import { z } from 'zod';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { leaseState } from '../hosts/lease.js';
import { databaseEnvironment, passwordFileLine } from '../mastodon/connections.js';
import { fromDumped } from '../mastodon/dumped-tables.js';
import type { Instance } from '../mastodon/inspect.js';
import { activity } from './activity.js';
import type { Ground } from './ground.js';
import { runInput, type RunRef } from './inputs.js';
import { forgetJobs, jobId, jobsOf } from './jobs.js';
import { forgetFacts, readFacts, spoolOf, writeFacts } from './spool.js';

/**
 * The moment of the database: a session that has locked every table against changes of its shape, exported its
 * snapshot, and holds both until the dump and the counts are done.
 *
 * Lock first, export after: a TRUNCATE or a rewriting ALTER TABLE between the export and pg_dump's own locks gives an
 * empty table and exit code 0, and a lock taken after the export does not help. LOCK TABLE takes no snapshot, so the
 * list of tables has to be read in a transaction before (PostgreSQL's manual, LOCK and "Snapshot Synchronization
 * Functions").
 */

export const momentFacts = z.object({
  kind: z.enum(['pinned', 'own']),
  at: z.string(),
  quiesced: z.boolean(),
});

/** Seconds after which a holder that everybody has forgotten ends by itself; at once when its run's keys are gone. */
const longestHoldSeconds = 24 * 3600;

function holdScript(keys: string, major: number): string {
  const wait = (file: string) =>
    `\\! i=0; while [ -d ${keys} ] && [ ! -e ${keys}/${file} ] && [ $i -lt ${String(longestHoldSeconds * 20)} ]; do sleep 0.05; i=$((i+1)); done`;
  return `\\set ON_ERROR_STOP on
${noTimeouts(major)} SET lock_timeout = '5s';
${wait('go')}
SELECT format('LOCK TABLE %s IN ACCESS SHARE MODE', string_agg(format('%I.%I', n.nspname, c.relname), ', ')) AS lock_all
${fromDumped()} \\gset
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
:lock_all ;
\\o ${keys}/snapshot.new
SELECT pg_export_snapshot(), to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
\\o
\\! mv ${keys}/snapshot.new ${keys}/snapshot
${wait('release')}
COMMIT;
`;
}

/** Whatever an administrator has set for sessions that forget themselves: this one waits on purpose. */
function noTimeouts(major: number): string {
  const timeouts = [
    ...['idle_in_transaction_session_timeout', 'statement_timeout'],
    ...(major >= 14 ? ['idle_session_timeout'] : []),
    ...(major >= 17 ? ['transaction_timeout'] : []),
  ];
  return timeouts.map((name) => `SET ${name} = 0;`).join(' ');
}

/** psql with the connection in its environment and the password in a file: for jobs that talk to Mastodon's database. */
export function databaseArgv(instance: Instance, keys: string, argv: readonly string[]): string[] {
  const environment = {
    ...databaseEnvironment(instance.database),
    // Without a password of the env file, libpq looks into the user's own ~/.pgpass, as Mastodon itself does.
    ...(passwordFileLine(instance.database) === null ? {} : { PGPASSFILE: `${keys}/pgpass` }),
    LC_ALL: 'C',
  };
  return ['env', ...Object.entries(environment).map(([name, value]) => `${name}=${value}`), ...argv];
}

/** Starts the session that waits for its moment, if it does not wait already: in the window itself it costs no time. */
export async function holdMoment(host: Host, instance: Instance, run: RunRef): Promise<void> {
  const keys = (await spoolOf(host, instance, run)).keys.app;
  const as = { user: instance.appUser };
  const job = host.job(jobId(run, 'moment'));
  const status = await job.status();
  if (status.state === 'running') return;
  if (status.state !== 'absent') await job.forget();
  const prepare = 'cd "$1" 2> /dev/null || exit 66; rm -f go release snapshot && cat > hold.sql';
  const { exitCode } = await host.run(['sh', '-c', prepare, 'sh', keys], {
    as,
    stdin: holdScript(keys, instance.database.major),
    okCodes: [0, 66],
  });
  if (exitCode === 66) throw keysGone(host, run);
  const psql = [`${instance.database.binDir}/psql`, '-XqAtw', '-f', `${keys}/hold.sql`];
  await host.startJob(jobId(run, 'moment'), databaseArgv(instance, keys, psql), { as, cwd: '/' });
}

/** They were in memory: trying again does not bring them back. */
function keysGone(host: Host, run: RunRef): Failure {
  return new Failure(
    'SnapshotLost',
    `${host.name} was restarted in the middle of the run: what it held in memory for the backup of ${run.instance} is gone`,
    { host: host.name, next: 'run the backup again; it sweeps what this one left' },
  );
}

/** Tells the waiting session that the moment is now, and waits until it holds its snapshot. */
async function pin(host: Host, instance: Instance, run: RunRef): Promise<{ at: string }> {
  const keys = (await spoolOf(host, instance, run)).keys.app;
  await holdMoment(host, instance, run);
  const { exitCode, stdout } = await host.run(
    [
      'sh',
      '-c',
      'cd "$1" && touch go && for i in $(seq 400); do [ -s snapshot ] && break; sleep 0.02; done; cat snapshot 2>/dev/null',
      'sh',
      keys,
    ],
    { as: { user: instance.appUser }, okCodes: [0, 1] },
  );
  const [id, at] = stdout.trim().split('|');
  if (exitCode === 0 && id && at) return { at };
  const job = host.job(jobId(run, 'moment'));
  const status = await job.status();
  await job.cancel();
  const said = status.state === 'absent' ? '' : status.stderrTail.trim().slice(-1000);
  throw new Failure('SnapshotLost', `the database of ${run.instance} did not give its moment: ${said}`, {
    host: host.name,
    next: /lock timeout/.test(said)
      ? 'a migration or another long lock is under way: run the backup again when it is done'
      : 'see the message of PostgreSQL, then run the backup again',
  });
}

/** The snapshot's id while its session lives; null when it is gone. */
export async function snapshotOf(host: Host, instance: Instance, run: RunRef): Promise<string | null> {
  const keys = (await spoolOf(host, instance, run)).keys.app;
  const status = await host.job(jobId(run, 'moment')).status();
  if (status.state !== 'running') return null;
  const { stdout } = await host.run(['cat', `${keys}/snapshot`], {
    as: { user: instance.appUser },
    okCodes: [0, 1],
  });
  const [id] = stdout.trim().split('|');
  return id !== undefined && /^[0-9A-F-]+$/i.test(id) ? id : null;
}

export function momentActivities(ground: Ground) {
  return {
    /** Pins the database's moment: its snapshot is the database as it is now, however long the dump takes. */
    pinMoment: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const held = await snapshotOf(host, instance, run);
      const spool = await spoolOf(host, instance, run);
      const before = await readFacts(host, spool, 'moment', momentFacts);
      if (held !== null && before !== undefined) return { at: before.at };
      const { at } = await pin(host, instance, run);
      const lease = await leaseState(host, run.instance);
      const quiesced = lease.held && lease.token === run.token && lease.phase === 'armed';
      await writeFacts(host, spool, 'moment', { kind: 'pinned', at, quiesced });
      return { at };
    }),

    /** Makes sure that the moment is still held. When it was lost, the database is taken as it is now instead. */
    keepMoment: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const facts = await readFacts(host, spool, 'moment', momentFacts);
      if ((await snapshotOf(host, instance, run)) !== null && facts !== undefined)
        return { kind: facts.kind, at: facts.at };
      // What was captured of the lost moment is not of the new one; nor is this, if we die on the way.
      await forgetFacts(host, spool, 'moment');
      await forgetJobs(host, (id) => id.startsWith(jobsOf(run)) && id !== jobId(run, 'moment'));
      const { at } = await pin(host, instance, run);
      await writeFacts(host, spool, 'moment', { kind: 'own', at, quiesced: false });
      return { kind: 'own' as const, at };
    }),

    /** Lets the database go: its tables may change their shape again. */
    releaseMoment: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const keys = (await spoolOf(host, instance, run)).keys.app;
      await host.run(['sh', '-c', 'cd "$1" 2>/dev/null && touch release; true', 'sh', keys], {
        as: { user: instance.appUser },
      });
      await host.job(jobId(run, 'moment')).cancel();
    }),
  };
}
