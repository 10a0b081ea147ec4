import type { Readable } from 'node:stream';

/**
 * A machine where commands run: this one (`local.ts`) or one reached over SSH (`ssh.ts`). Both pass the same suite.
 *
 * argv arrays everywhere; a command never passes through a shell that the caller did not ask for by name.
 */
export interface Host {
  /** `local`, or `user@address` (`:port` when it is not 22): what messages call this host. */
  readonly name: string;

  /** What this host is like. Asked once, then remembered until `close`. */
  facts(): Promise<HostFacts>;

  /**
   * Runs a short command to its end.
   *
   * @throws Failure `CommandFailed` unless the exit code is one of `okCodes` (default: 0); its message carries at
   *   most 2 KiB of stderr. `CommandTimedOut`, `HostUnreachable`, `HostKeyRejected`, `AuthFailed`.
   */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;

  /** Runs a command whose output is too much to hold: read here, as it comes. */
  stream(argv: readonly string[], options?: StreamOptions): Promise<HostStream>;

  /**
   * Starts a job, or finds it again: a long command that outlives this process and the connection. Idempotent by `id`
   * (`[A-Za-z0-9._-]{1,100}`): a job that runs or has ended is never started a second time until it is forgotten.
   */
  startJob(id: string, argv: readonly string[], options?: JobOptions): Promise<Job>;

  /** A job by its id, whether or not it was ever started. */
  job(id: string): Job;

  /** Ids of the jobs whose folders are on this host. */
  listJobs(): Promise<string[]>;

  /** Writes a file atomically (temporary name, then rename), owned by the login user. `mode` is octal, e.g. 0o600. */
  putFile(path: string, content: string | Buffer, mode?: number): Promise<void>;

  /** The argv that runs `argv` as another user of this host: for commands that other tools start. */
  argvAs(argv: readonly string[], as: Identity): Promise<string[]>;

  /** Closes connections. Jobs go on. */
  close(): Promise<void>;
}

/**
 * Who runs a command: the login user; root, where it can be had by being root or through sudo, else the login user;
 * or a named user.
 */
export type Identity = 'login' | 'privileged' | { readonly user: string };

export interface HostFacts {
  readonly user: string;
  readonly uid: number;
  readonly group: string;
  /** root by login. */
  readonly root: boolean;
  /** The configuration says to use `sudo -n`. */
  readonly sudo: boolean;
  /** systemd is PID 1 here, and we may start transient units in it by `systemd-run` without sudo (that is, as root). */
  readonly systemdJobs: boolean;
  /** systemd is PID 1 here. */
  readonly systemd: boolean;
  /** As `uname -m` says: `x86_64`, `aarch64`. */
  readonly arch: string;
  /** Permafrost's own folder on this host (0700): jobs, spool, leases, tools. */
  readonly folder: string;
  /** Changes with every boot. */
  readonly bootId: string;
}

export interface RunOptions {
  as?: Identity;
  stdin?: string | Buffer;
  /** Not for secrets: a remote environment travels in the command line. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** Milliseconds; default 60 000. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Exit codes that are not a failure; default [0]. */
  okCodes?: readonly number[];
  /** Bytes of stdout at most (default 4 MiB); more is a failure. */
  maxOutputBytes?: number;
}

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StreamOptions {
  as?: Identity;
  /** A stream that breaks off ends the input early, or the command: whoever needs all of it has to compare. */
  stdin?: string | Buffer | Readable;
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  signal?: AbortSignal;
}

export interface HostStream {
  readonly stdout: Readable;
  /** Settles when the command has ended and all output was delivered. Never rejects for an exit code. */
  readonly completed: Promise<{ exitCode: number; stderr: string }>;
  /** Ends the command. */
  kill(): void;
}

export interface JobOptions {
  as?: Identity;
  /** Not for secrets: they would lie in the job's folder. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** Where stdout goes (an absolute path; created 0600 by the login user) instead of the job's own log. */
  stdoutFile?: string;
  /** 0 (default) to 19. */
  nice?: number;
}

export interface Job {
  readonly id: string;
  status(): Promise<JobStatus>;
  /** Ends the job and everything it started, and returns when nothing of it is left. Safe on an absent or ended job. */
  cancel(): Promise<void>;
  /** Removes the folder of an ended job, so that the id can be started anew. @throws Failure when it still runs. */
  forget(): Promise<void>;
}

export type JobStatus =
  | { readonly state: 'absent' }
  | (JobOutput & { readonly state: 'running' })
  | (JobOutput & { readonly state: 'exited'; readonly exitCode: number })
  /** Its processes are gone and no exit code was written: killed, out of memory, or the host was restarted. */
  | (JobOutput & { readonly state: 'lost' });

export interface JobOutput {
  /** Milliseconds since it was started, by the host's clock. */
  readonly elapsedMs: number;
  /** The last 4 KiB of each. `stdoutTail` is empty when stdout goes to a file of its own. */
  readonly stdoutTail: string;
  readonly stderrTail: string;
  /** Bytes written to stdout so far (also when it goes to a file). */
  readonly stdoutBytes: number;
}

/** For `okCodes`: whatever a command ends with is looked at by who has called it. */
export const anyExitCode: readonly number[] = Array.from({ length: 256 }, (_, code) => code);
