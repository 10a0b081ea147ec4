import { z } from 'zod';
import type { Check } from '../backups/check.js';
import type { Manifest } from '../backups/manifest.js';
import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';
import { isOnThisMachine } from '../mastodon/connections.js';
import { fromDumped } from '../mastodon/dumped-tables.js';
import { type DatabaseAccess, psql } from '../mastodon/psql.js';
import { sqlName } from '../mastodon/sql-words.js';
import type { FollowJob } from '../offsite/offsite.js';
import { loadExit, loadLists, loadScript, stateScript } from './load-script.js';
import { contentsOf, type Entry, isGrant, makeBeforehand } from './dump-contents.js';
import { afterGrants, loadFailure } from './load-failures.js';

/** A new database, empty, that a dump is loaded into. */
export interface LoadTarget {
  readonly host: Host;
  /** Its user connects, and owns the database or is a superuser. */
  readonly access: DatabaseAccess;
  /** A superuser's, for extensions alone: nothing else of a dump may be run by one. Default: `access`. */
  readonly admin?: DatabaseAccess;
  /** Who runs pg_restore; can read the dump. */
  readonly as: Identity;
  /** What libpq's programs need: PGHOST and so on, PGPASSFILE for a password. */
  readonly environment: Readonly<Record<string, string>>;
  /** Becomes the owner of everything (`SET ROLE`); default: the user of `access`. */
  readonly role?: string;
  readonly superuser: boolean;
}

export interface ToLoad {
  readonly target: LoadTarget;
  /** Absolute, on the host. */
  readonly dump: string;
  /** Of pg_restore, at a time. */
  readonly jobs: number;
  readonly manifest: Manifest;
  /** An existing private folder of `target.as` for this load alone: the list, the lock and what came of it. */
  readonly work: string;
  readonly follow: FollowJob;
  /**
   * Makes the database anew, empty: called when an attempt that is no more has left something in it. Without it that is a
   * failure.
   */
  readonly fresh?: () => Promise<void>;
  /** Whether the rights of other roles are given again, as far as these roles are there: for a restore. Default false. */
  readonly grants?: boolean;
}

export interface Loaded {
  /** What was left out of the dump, and why, a sentence each. */
  readonly notes: string[];
  readonly restoreMs: number;
  readonly analyzeMs: number;
}

const loaded = z.object({ restoreMs: z.number(), analyzeMs: z.number() });

/**
 * Loads a dump into a new, empty database, and has PostgreSQL look at what it got (ANALYZE).
 *
 * Safe to run again after the death of a worker: a load that goes on is found again, one that has ended is not done twice.
 *
 * @throws Failure `PartInvalid` with PostgreSQL's words when the dump does not load: a finding (`loadFinding`);
 *   `CommandFailed` for what is the server's fault (no room, gone, rights); what `follow` throws.
 */
export async function loadDump(given: ToLoad): Promise<Loaded> {
  const { target, work } = given;
  const state = (await inWork(given, stateScript)).trim();
  if (state === 'none') await prepare(given);
  if (state !== 'done') await load(given);
  const times = loaded.parse(JSON.parse(await inWork(given, 'cat -- "$1/loaded"')));
  const notes = z.array(z.string()).parse(JSON.parse(await inWork(given, 'cat -- "$1/notes"')));
  const said = await inWork(given, 'tail -c 65536 -- "$1/grants.said" 2> /dev/null; :');
  return { notes: [...notes, ...afterGrants(said, target.host.name)], ...times };

  async function load({ dump, jobs, follow, manifest }: ToLoad): Promise<void> {
    const { access, as, environment, role, host } = target;
    const ended = await follow(
      'load-database',
      [
        ...['bash', '-c', loadScript, 'bash', work],
        ...['pg_restore', 'vacuumdb', 'psql'].map((name) => program(access, name)),
        ...[connectionString(access.database.name), dump, String(jobs)],
        role === undefined ? '' : `SET ROLE ${sqlName(role)}`,
        ...(role === undefined ? [] : [`--role=${role}`]),
      ],
      {
        as,
        cwd: '/',
        env: { ...environment, LC_ALL: 'C', PGOPTIONS: await settings(host, access, jobs) },
        okCodes: Object.values(loadExit),
      },
      async () => ({ ...(await progressOf(given)), subject: 'database' }),
    );
    if (ended.exitCode !== loadExit.loaded) throw loadFailure({ target, manifest, ended });
  }
}

function program({ binDir }: DatabaseAccess, name: string): string {
  return binDir === '' ? name : `${binDir}/${name}`;
}

/** A name that holds `=` would be taken for a connection string itself. */
function connectionString(database: string): string {
  return `dbname='${database.replace(/[\\']/g, '\\$&')}'`;
}

/** Runs a script as whoever runs pg_restore; $1 is the work folder. */
async function inWork({ target, work }: ToLoad, script: string, stdin?: string): Promise<string> {
  const options = { as: target.as, cwd: '/', ...(stdin === undefined ? {} : { stdin }) };
  return (await target.host.run(['sh', '-c', `umask 077; ${script}`, 'sh', work], options)).stdout;
}

/** Empties the database where that is needed, makes what pg_restore cannot make, and writes down what it is to load. */
async function prepare(given: ToLoad): Promise<void> {
  const { target, fresh } = given;
  const contents = await contentsOf(given);
  const rows = await psql(target.host, target.access, `SELECT 1 ${fromDumped(['r', 'p', 'S'])} LIMIT 1`);
  if (rows.length > 0) {
    if (fresh === undefined) {
      throw new Failure(
        'CommandFailed',
        `the database ${target.access.database.name} on ${target.host.name} is not empty: an earlier load into it was cut off`,
        { host: target.host.name, next: 'it is made anew by another run' },
      );
    }
    await fresh();
  }
  const { kept, notes } = await makeBeforehand(given, contents);
  const of = (kind: string) => (entry: Entry) => entry.kind === kind;
  const [isKey, isView] = [of('FK CONSTRAINT'), of('MATERIALIZED VIEW DATA')];
  const lists = {
    [loadLists.main]: kept.filter((entry) => !isKey(entry) && !isView(entry)),
    [loadLists.keys]: kept.filter(isKey),
    [loadLists.views]: kept.filter(isView),
    [loadLists.grants]: given.grants === true ? kept.filter(isGrant) : [],
  };
  for (const [name, entries] of Object.entries(lists))
    await inWork(given, `cat > "$1/${name}"`, entries.map(({ line }) => `${line}\n`).join(''));
  await inWork(given, 'cat > "$1/notes"', JSON.stringify(notes));
}

/** Bytes for each job's sorting: indexes are the longest part of a load. */
const leastMemory = 64 << 20;
const mostMemory = 1 << 30;

/**
 * Settings of the sessions that load: memory for sorting, as far as the machine has some to spare, and no waiting for the
 * disk at every commit, since a load that is cut off is begun anew.
 */
async function settings(host: Host, { database }: DatabaseAccess, jobs: number): Promise<string> {
  const { stdout } = await host.run(['sh', '-c', "awk '/^MemAvailable:/ { print $2 }' /proc/meminfo"]);
  const available = isOnThisMachine(database.host) ? Number(stdout.trim()) * 1024 : 0;
  const memory = Math.min(mostMemory, Math.max(leastMemory, Math.floor(available / 8 / jobs)));
  return [
    `maintenance_work_mem=${String(Math.floor(memory / 1024))}kB`,
    // The jobs themselves keep the processors busy, until a last large index is left.
    ...['max_parallel_maintenance_workers=1', 'synchronous_commit=off', 'statement_timeout=0'],
  ]
    .map((setting) => `-c ${setting}`)
    .join(' ');
}

/** How large the database is by now, of what it was at the source. */
async function progressOf({ target, manifest }: ToLoad): Promise<{ bytes?: number; totalBytes?: number }> {
  try {
    const [row] = await psql(target.host, target.access, 'SELECT pg_database_size(current_database())', {
      timeoutMs: 10_000,
    });
    const bytes = Number(row?.[0] ?? 0);
    return { bytes, totalBytes: Math.max(bytes, manifest.database?.sizeBytes ?? 0) };
  } catch (error) {
    if (error instanceof Failure) return {}; // it is only told
    throw error;
  }
}

/** The check `pg-restore` of a load that went well. */
export function loadedCheck({ restoreMs, analyzeMs }: Loaded): Check {
  return {
    ...{ name: 'pg-restore', passed: true },
    detail: 'pg_restore has loaded the dump without an error, and ANALYZE has gone through it',
    durationMs: restoreMs + analyzeMs,
  };
}

/** The check `pg-restore` of a load that failed; undefined when that says nothing of the backup. */
export function loadFinding(error: unknown, durationMs: number): Check | undefined {
  if (!(error instanceof Failure) || error.type !== 'PartInvalid') return undefined;
  return { name: 'pg-restore', passed: false, detail: error.message.slice(0, 1000), durationMs };
}
