import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { execa } from 'execa';
import { Failure } from '../src/errors.js';

/** A server that ends with this process, whatever ends this process. */
export interface Daemon {
  readonly pid: number;
  /** Sends the signal and returns when the server is gone; after ten seconds it is killed. */
  stop(signal: NodeJS.Signals): Promise<void>;
}

export interface DaemonOptions {
  readonly name: string;
  readonly argv: readonly string[];
  /** The user it runs as, when we are root. */
  readonly user: string;
  readonly log: string;
  /** What the kernel sends it when this process dies. */
  readonly deathSignal: 'TERM' | 'QUIT';
  /** Answers whether the server is ready. */
  readonly ready: () => Promise<boolean>;
}

const isRoot = process.getuid?.() === 0;

/** The argv that runs `argv` as `user` when we are root, and as ourselves when we are not. */
export function asUser(user: string, argv: readonly string[]): readonly [string, ...string[]] {
  return isRoot
    ? ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups', '--', ...argv]
    : ['env', '--', ...argv];
}

/** Makes a private folder for the user that a server runs as. */
export async function makePrivateFolder(path: string, user: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await giveTo(path, user);
}

/** Makes `user` the owner, when we are root. */
export async function giveTo(path: string, user: string): Promise<void> {
  if (isRoot) await execa('chown', [`${user}:${user}`, path]);
}

/** Starts a server and waits until it is ready. @throws Failure `CommandFailed` with the end of its log. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { name, argv, user, log, deathSignal, ready } = options;
  const output = openSync(log, 'a', 0o600);
  const [command, ...args] = asUser(user, ['setpriv', '--pdeathsig', deathSignal, '--', ...argv]);
  const child = spawn(command, args, { stdio: ['ignore', output, output] });
  closeSync(output);
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
    child.once('error', () => {
      resolve();
    });
  });
  for (let tries = 0; !(await ready()); tries++) {
    if (hasEnded(child) || tries > 400) {
      child.kill('SIGKILL');
      throw new Failure('CommandFailed', `${name} did not start: ${readFileSync(log, 'utf8').slice(-1000)}`, {
        next: `Read ${log}.`,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    pid: child.pid ?? 0,
    async stop(signal) {
      if (hasEnded(child)) return;
      child.kill(signal);
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(timer);
    },
  };
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}
