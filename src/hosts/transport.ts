import { pipeline, type Readable, type Writable } from 'node:stream';

/** How a host starts processes as its login user: the one thing in which the local and the SSH host differ. */
export interface Transport {
  readonly name: string;
  /** The configuration says to use `sudo -n`. */
  readonly sudo: boolean;
  /** Permafrost's own folder there, when the configuration names one. */
  readonly folder: string | undefined;
  /** That folder is not made where it is not there: nothing on the host is changed by opening it. */
  readonly look: boolean;

  /**
   * Starts a process. Without `stdin` it reads an empty one. `urgent` does not wait for a free session.
   *
   * @throws Failure `HostUnreachable`, `HostKeyRejected`, `AuthFailed`: it was not started, unless the message says
   *   that it may have been.
   */
  start(argv: readonly string[], options?: StartOptions): Promise<Running>;

  close(): Promise<void>;
}

export interface StartOptions {
  stdin?: string | Buffer | Readable | undefined;
  urgent?: boolean;
}

/**
 * Feeds a process from a stream. When the process does not want more, the stream is ended; when the stream breaks off,
 * the process's input ends.
 */
export function feed(source: Readable, stdin: Writable): void {
  pipeline(source, stdin, () => undefined); // how it went is told by the process's exit and by the source
}

/** A process that was started. Its output must be read, or it stands still. */
export interface Running {
  /** Ends when all output was delivered; is destroyed with a Failure when the connection was lost before. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The exit code (128 + n after signal n). Rejects with `HostUnreachable` when the connection was lost before. */
  readonly exited: Promise<number>;
  /** Stops listening. What still runs is not waited for. */
  abandon(): void;
  /** Settles when all that the process wrote before it ended has arrived, also while others hold its output open. */
  drained(): Promise<void>;
}

const signals: Readonly<Record<string, number>> = {
  ...{ HUP: 1, INT: 2, QUIT: 3, ILL: 4, TRAP: 5, ABRT: 6, BUS: 7, FPE: 8, KILL: 9, USR1: 10, SEGV: 11 },
  ...{ USR2: 12, PIPE: 13, ALRM: 14, TERM: 15, XCPU: 24, XFSZ: 25 },
};

/** The exit code as a shell tells it: 128 + n for a process that ended by signal n (`SIGTERM` or `TERM`). */
export function exitCodeFrom(code: number | null, signal: string | null | undefined): number {
  if (code !== null) return code;
  return 128 + (signals[(signal ?? '').replace(/^SIG/, '')] ?? 0);
}
