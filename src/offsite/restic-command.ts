import { z } from 'zod';
import type { ResticConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import { anyExitCode, type HostStream } from '../hosts/host.js';
import type { OffsitePlace } from './offsite.js';
import { isDamage, isRefusal, lastWordOf, messageOf } from './restic-output.js';

/** restic's exit code when a lock of another restic is in the way. */
export const locked = 11;

/** How long a living restic is waited for, as `--retry-lock` takes it. */
export interface Patience {
  readonly writing: string;
  /** A removal can wait for the next night. */
  readonly removing: string;
}

/** Of `restic cat lock`. */
const lockSchema = z.object({ hostname: z.string(), pid: z.number().int().positive() });

/** Ends with 0 when a process of this host is gone; one of somebody else that may not be signalled is there. */
const isGone = `[ "$(uname -n)" = "$1" ] || exit 1
case $(LC_ALL=C kill -0 "$2" 2>&1) in *'No such process'*) exit 0 ;; esac
exit 1`;

/** restic as it is called for one repository at one place: with its keys in files, and its exit codes understood. */
export function resticCommand(
  config: ResticConfig,
  place: OffsitePlace,
  patience: Patience = { writing: '5m', removing: '30s' },
) {
  const { host, keys } = place;
  const key = (file: string) => `${keys}/${config.name}.${file}`;
  const env = {
    RESTIC_REPOSITORY_FILE: key('repository'),
    RESTIC_PASSWORD_FILE: key('password'),
    RESTIC_CACHE_DIR: place.cache,
    RESTIC_PROGRESS_FPS: '1',
  };

  /** The argv of a restic command; credentials for object storage come from a file of KEY=VALUE lines. */
  async function argv(...words: readonly string[]): Promise<string[]> {
    const sftp =
      config.identityFile === undefined && config.knownHosts === undefined
        ? []
        : ['-o', `sftp.args=${sshArguments()}`];
    const limit = config.bandwidth === undefined ? [] : limits(config.bandwidth);
    const command = [await place.tool('restic'), ...sftp, ...limit, '--json', ...words];
    return config.environmentFile === undefined
      ? command
      : ['sh', '-c', 'set -a; . "$1"; shift; exec "$@"', 'sh', key('environment'), ...command];
  }

  function sshArguments(): string {
    return [
      ...(config.identityFile === undefined ? [] : ['-i', key('identity'), '-o', 'IdentitiesOnly=yes']),
      ...(config.knownHosts === undefined ? [] : ['-o', `UserKnownHostsFile=${key('known-hosts')}`]),
      ...['-o', 'StrictHostKeyChecking=yes', '-o', 'BatchMode=yes', '-o', 'ServerAliveInterval=15'],
    ].join(' ');
  }

  /** restic counts in KiB a second, in whole numbers; 0 would be no limit. */
  function limits(bytesPerSecond: number): string[] {
    const limit = String(Math.max(1, Math.floor(bytesPerSecond / 1024)));
    return ['--limit-upload', limit, '--limit-download', limit];
  }

  const short = { as: place.as, env, okCodes: anyExitCode, cwd: '/' };

  /** @param options.reads what it reads of a backup may be damaged: that is told apart from a place that does not answer. */
  async function run(
    words: readonly string[],
    {
      reads = false,
      wait = patience.writing,
      ...options
    }: { stdin?: string; timeoutMs?: number; reads?: boolean; wait?: string } = {},
  ): Promise<string> {
    const result = await withLock(wait, async (waiting) =>
      host.run(await argv(...waiting, ...words), {
        ...short,
        timeoutMs: 600_000,
        maxOutputBytes: 64 << 20,
        ...options,
      }),
    );
    if (result.exitCode === 0) return result.stdout;
    if (reads) throw readFailureOf(result.exitCode, result.stderr);
    throw failureOf(result.exitCode, result.stderr, result.stdout);
  }

  /**
   * Runs what needs a lock: at once and, where one is in the way, again after locks of dead restics were removed, with the
   * options for waiting that it is given.
   */
  async function withLock<T extends { exitCode: number }>(
    wait: string,
    attempt: (waiting: readonly string[]) => Promise<T>,
  ): Promise<T> {
    const first = await attempt(['--retry-lock', '0s']);
    if (first.exitCode !== locked) return first;
    await unlockDead();
    return attempt(['--retry-lock', wait]);
  }

  /**
   * Removes locks when all that are there are of this host and of processes that are gone: `restic unlock` by itself also
   * takes half an hour of silence of another host for its death.
   */
  async function unlockDead(): Promise<'done' | 'refused'> {
    const ask = async (...words: readonly string[]) =>
      host.run(await argv(...words), { ...short, timeoutMs: 120_000 });
    const { stdout: listed } = await ask('list', 'locks', '--no-lock');
    const ids = listed.split('\n').filter((line) => /^[0-9a-f]{64}$/.test(line));
    for (const id of ids) {
      const { exitCode, stdout } = await ask('cat', 'lock', '--no-lock', id);
      if (exitCode !== 0) return 'done'; // it has ended just now: somebody is at work
      const { hostname, pid } = lockSchema.parse(JSON.parse(stdout));
      const gone = await host.run(['sh', '-c', isGone, 'sh', hostname, String(pid)], short);
      if (gone.exitCode !== 0) return 'done';
    }
    if (ids.length === 0) return 'done';
    const { exitCode, stderr } = await ask('unlock');
    return exitCode !== 0 && isRefusal(stderr) ? 'refused' : 'done';
  }

  /** A restic whose output is too much to hold. */
  async function stream(...words: readonly string[]): Promise<HostStream> {
    return host.stream(await argv(...words), { as: place.as, env, cwd: '/' });
  }

  function failureOf(exitCode: number, stderr: string, stdout = ''): Failure {
    const said = `${messageOf(stderr)}${messageOf(stderr) === '' ? messageOf(stdout) : ''}`.slice(-1500);
    const where = { host: host.name };
    switch (exitCode) {
      case 10:
        return new Failure(
          'NotFound',
          `off-site ${config.name}: there is no restic repository there, as seen from ${host.name}`,
          {
            ...where,
            next: `is the repository in the configuration right? A new one is made by: permafrost offsite init ${config.name}`,
          },
        );
      case 12:
        return new Failure(
          'AuthFailed',
          `off-site ${config.name}: the password in ${config.passwordFile} does not open the repository`,
          {
            ...where,
            next: 'compare it with the password that the repository was made with',
          },
        );
      case 11:
        return new Failure(
          'OffsiteUnavailable',
          `off-site ${config.name} is locked by another restic: ${said}`,
          {
            ...where,
            next: 'wait for it; the lock of one that is gone, on another machine, is removed by `restic unlock`',
          },
        );
      default:
        return new Failure(
          'OffsiteUnavailable',
          `off-site ${config.name}: restic ended with ${String(exitCode)} on ${host.name}: ${said}`,
          {
            ...where,
            next: 'see the message of restic; the run tries again by itself for a while',
          },
        );
    }
  }

  /** A failure to read: what restic finds broken is the copy's own fault; anything else may be better the next time. */
  function readFailureOf(exitCode: number, stderr: string): Failure {
    if (!isDamage(stderr)) return failureOf(exitCode, stderr);
    return new Failure('VerifyFailed', `off-site ${config.name}: ${lastWordOf(stderr).slice(-1500)}`, {
      host: host.name,
      next: `nothing is sealed on ${config.name}; \`restic check --read-data\` names what is damaged there`,
    });
  }

  return { argv, env, short, patience, run, withLock, unlockDead, stream, failureOf, readFailureOf };
}
