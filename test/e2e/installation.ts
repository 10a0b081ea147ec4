import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { stringify } from 'yaml';
import { projectFolder } from '../../sample/paths.js';
import { freePort } from '../../sample/ports.js';
import type { BackupReport } from '../../src/backups/report.js';
import { makeKeysQuick } from '../integration/offsite/quick-keys.js';
import type { TestHost } from '../testbed/testbed.js';

const program = join(projectFolder, 'dist', 'scripts', 'permafrost.js');

export interface Answer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Permafrost on a machine of its own (this one): the built program, its configuration, its worker and Temporal. */
export interface Installation {
  readonly folder: string;
  readonly configFile: string;
  readonly passwordFile: string;
  readonly repository: string;
  /** Of the embedded Temporal server, on loopback. */
  readonly temporalPort: number;
  /** `permafrost offsite init`; the repository's keys are made quick ones. */
  makeOffsite(): Promise<void>;
  /** Starts `permafrost up` and waits until it is ready. */
  up(): Promise<void>;
  /** Kills it as SIGKILL does: no good-bye. The embedded server outlives it. */
  killWorker(): void;
  /** Runs a verb to its end. */
  verb(...words: readonly string[]): Promise<Answer>;
  /** Runs a verb with --json and reads its answer. */
  json<T>(...words: readonly string[]): Promise<T>;
  /** A whole night, to its end. */
  backup(...words: readonly string[]): Promise<{ exitCode: number; report: BackupReport }>;
  /** What `up` has said so far. */
  log(): string;
  remove(): Promise<void>;
}

/** `permafrost backup --json` prints the report, or the report's fields beside `error`. */
function reportIn(answer: Answer): BackupReport {
  try {
    return JSON.parse(answer.stdout) as BackupReport;
  } catch {
    throw new Error(
      `backup printed no JSON (exit code ${String(answer.exitCode)}): ${answer.stdout}\n${answer.stderr}`,
    );
  }
}

/**
 * Writes the smallest configuration there is: a host, a root, one off-site.
 *
 * @param where the Mastodon host and the user that logs in there; the host that keeps the backups; more keys of the
 *   instance, if any.
 */
export async function install(where: {
  readonly host: TestHost;
  readonly user: string;
  readonly vault: TestHost;
  readonly more?: Readonly<Record<string, unknown>>;
}): Promise<Installation> {
  const { host, user, vault, more = {} } = where;
  if (host.mastodon === undefined) throw new Error(`${host.name} has no Mastodon`);
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-e2e-'));
  await chmod(folder, 0o711); // a scratch PostgreSQL below it runs as another user
  const configFile = join(folder, 'permafrost.yaml');
  const passwordFile = join(folder, 'vault.password');
  const { identityFile, knownHosts } = host;
  const temporalPort = await freePort();
  const place = `/srv/backups/${randomBytes(4).toString('hex')}`;
  const repository = `sftp:backup@${vault.address}:${place}`;
  const password = randomBytes(24).toString('base64url');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  const configuration = {
    instances: {
      [host.mastodon.domain]: {
        host: {
          ...{ ssh: `${user}@${host.address}`, identityFile, knownHosts },
          ...(user === 'root' ? {} : { sudo: true }),
        },
        mastodon: { root: host.mastodon.root },
        ...more,
      },
    },
    offsites: { vault: { kind: 'restic', repository, passwordFile, identityFile, knownHosts } },
    temporal: { embedded: { port: temporalPort, uiPort: await freePort() } },
    state: join(folder, 'state'),
  };
  await writeFile(configFile, stringify(configuration), { mode: 0o600 });

  let running: ChildProcess | undefined;
  const logFile = join(folder, 'up.log');
  const verb = async (...words: readonly string[]): Promise<Answer> => {
    const result = await execa(process.execPath, [program, ...words, '--config', configFile], {
      reject: false,
      stdin: 'ignore',
    });
    return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
  };
  const installation: Installation = {
    ...{ folder, configFile, passwordFile, repository, temporalPort, verb },
    async makeOffsite() {
      await installation.json('offsite', 'init');
      makeKeysQuick(join(vault.disk, place), password);
    },
    async up() {
      const before = readLog(logFile).length;
      const output = openSync(logFile, 'a', 0o600);
      const argv = ['--pdeathsig', 'KILL', process.execPath, program, 'up', '--config', configFile];
      running = spawn('setpriv', argv, { stdio: ['ignore', output, output] });
      closeSync(output);
      const { pid } = running;
      for (const started = Date.now(); !readLog(logFile).slice(before).includes('Permafrost is up.');) {
        const gone = pid === undefined || !isAlive(pid);
        if (gone || Date.now() - started > 60_000)
          throw new Error(`up is not up: ${readLog(logFile).slice(-3000)}`);
        await sleep(100);
      }
    },
    killWorker() {
      running?.kill('SIGKILL');
      running = undefined;
    },
    async json<T>(...words: readonly string[]): Promise<T> {
      const answer = await verb(...words, '--json');
      if (answer.exitCode !== 0) {
        throw new Error(
          `${words.join(' ')} ended with ${String(answer.exitCode)}: ${answer.stdout}${answer.stderr}`,
        );
      }
      return JSON.parse(answer.stdout) as T;
    },
    async backup(...words) {
      const answer = await verb('backup', ...words, '--json');
      return { exitCode: answer.exitCode, report: reportIn(answer) };
    },
    log: () => readLog(logFile),
    async remove() {
      if (running?.kill('SIGTERM') === true) await once(running, 'exit');
      for (const pid of processesOf(folder)) process.kill(pid, 'SIGKILL');
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  return installation;
}

/** The embedded server of a worker that was killed, and whatever else was started with a path in our folder. */
function processesOf(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${folder}/`);
      } catch {
        return false;
      }
    })
    .map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function readLog(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** The password of the off-site and how SSH gets there, for a restic that is started by hand. */
export function resticByHand(installation: Installation, host: TestHost, restic: string) {
  const { repository, passwordFile, folder } = installation;
  const ssh = `-i ${host.identityFile} -o IdentitiesOnly=yes -o UserKnownHostsFile=${host.knownHosts} -o BatchMode=yes`;
  return async (...words: readonly string[]): Promise<string> => {
    const argv = [
      '--no-lock',
      '-o',
      `sftp.args=${ssh}`,
      '--cache-dir',
      join(folder, 'cache-by-hand'),
      ...words,
    ];
    const { stdout } = await execa(restic, ['-r', repository, '-p', passwordFile, ...argv], {
      maxBuffer: 64 << 20,
    });
    return stdout;
  };
}

/** A migration that comes up while the moment is held: it waits for the holder, and so the dump waits for it. */
const migration = `DO $$ BEGIN
  WHILE NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'public.ar_internal_metadata'::regclass AND granted)
  LOOP PERFORM pg_sleep(0.02); END LOOP;
END $$;
BEGIN; LOCK TABLE ar_internal_metadata; ROLLBACK;
`;
const endMigration = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'migration'`;

/**
 * Keeps the next dump on a host waiting. (A stopped pg_dump would stop the runuser or sudo above it too.) Needs a
 * `database.lockWaitTimeout` that is long enough.
 *
 * @returns `running`: the process ids of pg_dump, as soon as there is one; `letGo`: ends the migration.
 */
export function holdDump(host: TestHost): { running: Promise<string>; letGo: () => Promise<void> } {
  const asUser = (user: string, ...argv: string[]) => ['runuser', '-u', user, '--', ...argv];
  const name = host.mastodon?.database.name ?? '';
  const lock = host.ssh('root', asUser('mastodon', 'env', 'PGAPPNAME=migration', 'psql', '-Xq', name), {
    stdin: migration,
    okCodes: [0, 2],
  });
  const running = (async () => {
    for (const started = Date.now(); Date.now() - started < 120_000; await sleep(50)) {
      const pids = await dumpsOn(host);
      if (pids !== '') return pids;
    }
    throw new Error('no dump was started');
  })();
  return {
    running,
    async letGo() {
      await host.ssh('root', asUser('postgres', 'psql', '-XqAtc', endMigration));
      await lock;
    },
  };
}

/** The process ids of a run's pg_dump. */
export async function dumpsOn(host: TestHost): Promise<string> {
  const pattern = '^/usr/lib/postgresql/[0-9]+/bin/pg_dump .*--snapshot';
  return (await host.ssh('root', ['pgrep', '-f', pattern], { okCodes: [0, 1] })).stdout;
}
