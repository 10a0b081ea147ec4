import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { Failure } from '../errors.js';
import { endProcess, markOf } from './processes.js';

/** A cold start took half a second on two cores; this is for a machine that is busy with other things. */
const READY_TIMEOUT_MS = 60_000;

/** A stop took a tenth of a second. What SQLite has committed survives a SIGKILL: synchronous=2, journal_mode=wal. */
const STOP_GRACE_MS = 10_000;

const LOOPBACK = '127.0.0.1';

export interface ServerSettings {
  /** The Temporal CLI. */
  readonly binary: string;
  readonly database: string;
  readonly port: number;
  /** Without: no web interface. */
  readonly uiPort?: number;
  /** Without: any free port. */
  readonly metricsPort?: number;
  /** Appended to. */
  readonly logFile: string;
  /** A folder that the server may take for its home: the user's own is left alone. */
  readonly home: string;
}

export interface RunningServer {
  readonly pid: number;
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** How it ended, in words. Never rejects. */
  readonly ended: Promise<string>;
  /** Ends it, and returns when it is gone. */
  stop(): Promise<void>;
}

/**
 * Starts the Temporal CLI's server on loopback and returns when it answers.
 *
 * @throws Failure `Refused` when a port is taken, `TemporalUnreachable` when it ends at once or does not answer.
 */
export async function startServer(settings: ServerSettings): Promise<RunningServer> {
  await assertFree('temporal.port', settings.port);
  if (settings.uiPort !== undefined) await assertFree('temporal.uiPort', settings.uiPort);
  if (settings.metricsPort !== undefined) await assertFree('temporal.metricsPort', settings.metricsPort);

  const server = launch(settings);
  let ended: string | undefined;
  void server.ended.then((how) => {
    ended = how;
  });
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (!(await answers(server.address)) || ended !== undefined) {
    if (ended !== undefined) throw notStarted(settings, `it ended at once (${ended})`);
    if (Date.now() > deadline) {
      await server.stop();
      throw notStarted(settings, `it did not answer within ${READY_TIMEOUT_MS / 1000} seconds`);
    }
    await sleep(50);
  }
  return server;
}

function launch(settings: ServerSettings): RunningServer {
  const log = openSync(settings.logFile, 'a', 0o600);
  let child: ChildProcess;
  try {
    // A session of its own: Ctrl-C in a terminal is for us, and we stop the server last. Its output goes to a file,
    // not to a pipe: it has to outlive us without dying of its next line.
    child = spawn(settings.binary, serverArguments(settings), {
      stdio: ['ignore', log, log],
      detached: true,
      env: serverEnvironment(settings.home),
    });
  } finally {
    closeSync(log);
  }
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
  const pid = child.pid ?? 0;
  const mark = child.pid === undefined ? undefined : markOf(child.pid);
  const endWithUs = () => child.kill('SIGTERM');
  process.once('exit', endWithUs);
  void ended.then(() => process.off('exit', endWithUs));
  return {
    pid,
    address: `${LOOPBACK}:${settings.port}`,
    ended,
    stop: async () => {
      if (mark !== undefined) await endProcess(mark, STOP_GRACE_MS);
      await ended;
    },
  };
}

function serverArguments(settings: ServerSettings): string[] {
  return [
    'server',
    'start-dev',
    '--db-filename',
    settings.database,
    '--sqlite-pragma',
    'journal_mode=wal',
    '--sqlite-pragma',
    'synchronous=2',
    '--ip',
    LOOPBACK,
    '--port',
    String(settings.port),
    ...(settings.uiPort === undefined
      ? ['--headless']
      : ['--ui-ip', LOOPBACK, '--ui-port', String(settings.uiPort), '--ui-disable-news-fetch']),
    ...(settings.metricsPort === undefined ? [] : ['--metrics-port', String(settings.metricsPort)]),
    '--log-level',
    'warn',
    '--disable-config-file',
    '--disable-config-env',
  ];
}

/** Nothing of ours that the server does not need: no TEMPORAL_* of a client, no secret, no home of the user. */
function serverEnvironment(home: string): NodeJS.ProcessEnv {
  const kept = ['PATH', 'TZ', 'TMPDIR', 'LANG'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), HOME: home, XDG_CONFIG_HOME: home };
}

async function answers(address: string): Promise<boolean> {
  const connection = Connection.lazy({ address, interceptors: [] });
  try {
    await connection.withDeadline(Date.now() + 2_000, () =>
      connection.workflowService.describeNamespace({ namespace: 'default' }),
    );
    return true;
  } catch {
    return false;
  } finally {
    await connection.close();
  }
}

function assertFree(key: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      const what =
        error.code === 'EADDRINUSE'
          ? `is taken by another program`
          : `cannot be used (${error.code ?? error.message})`;
      reject(
        new Failure('Refused', `Port ${port} of ${LOOPBACK} (${key}) ${what}`, {
          next: `See who has it: ss -ltnp 'sport = :${port}'. End that program, or set another ${key} in the configuration.`,
        }),
      );
    });
    probe.listen({ host: LOOPBACK, port, exclusive: true }, () => probe.close(() => resolve()));
  });
}

/** A port of loopback that nobody has at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen({ host: LOOPBACK, port: 0 }, () => {
      const address = probe.address();
      probe.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('no port was given'));
        else resolve(address.port);
      });
    });
  });
}

function notStarted(settings: ServerSettings, what: string): Failure {
  return new Failure(
    'TemporalUnreachable',
    `The Temporal server could not be started: ${what}${lastLines(settings)}`,
    {
      next: `Its log is ${settings.logFile}.`,
    },
  );
}

function lastLines(settings: ServerSettings): string {
  try {
    const tail = readFileSync(settings.logFile, 'utf8').trim().split('\n').slice(-3).join('\n').slice(-1_000);
    return tail === '' ? '' : `\n${tail}`;
  } catch {
    return '';
  }
}
