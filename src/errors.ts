/**
 * Every class of failure that Permafrost knows, in one table, and the one error that carries it.
 *
 * A failure's `type` is stable: scripts and Temporal's retry policies rely on it. Its message says what happened and
 * on which host; `next` says what to do. Pure: workflows may import this module.
 */

interface FailureClass {
  /** The command's exit code (the interface's table of exit codes). */
  readonly exit: number;
  /** Whether a later attempt of the same step can end better by itself. */
  readonly retry: boolean;
}

const classes = {
  /** A workflow's or activity's input was not of the expected form. */
  InvalidInput: { exit: 2, retry: false },
  /** The command line or the configuration is wrong. */
  ConfigInvalid: { exit: 2, retry: false },
  /** Preflight: refused before anything was touched. */
  Refused: { exit: 3, retry: false },
  /** Another run holds the instance. */
  Busy: { exit: 4, retry: false },
  /** Sealed, but not on every off-site. */
  Partial: { exit: 5, retry: false },
  /** A verify or a drill found a backup that would not restore. */
  NotRestorable: { exit: 6, retry: false },
  /** Temporal, or a worker, cannot be reached. */
  TemporalUnreachable: { exit: 7, retry: true },
  /** The services could not be brought back. */
  ServicesDown: { exit: 9, retry: true },
  Cancelled: { exit: 130, retry: false },
  /** A host does not answer (network, sshd). */
  HostUnreachable: { exit: 1, retry: true },
  /** A host showed a key that is not in known_hosts, or another one than there. */
  HostKeyRejected: { exit: 1, retry: false },
  /** A host, a database or an off-site does not accept our key or password. */
  AuthFailed: { exit: 1, retry: false },
  /** A tool is not on the host and could not be brought along. */
  ToolMissing: { exit: 1, retry: false },
  /** A command ended with an exit code that it should not have. */
  CommandFailed: { exit: 1, retry: true },
  /** A command took longer than it may. */
  CommandTimedOut: { exit: 1, retry: true },
  /** A job's processes are gone and it left no exit code: killed, out of memory, or the host was restarted. */
  JobLost: { exit: 1, retry: true },
  /** The host's lease is not (or no longer) this run's: nothing was stopped. Or a drill's scratch has been ended by its own. */
  LeaseLost: { exit: 1, retry: false },
  /** A restore's swap failed on its host, and all is as it was before. */
  SwapFailed: { exit: 1, retry: false },
  /** The lease could not be armed: nothing was stopped. */
  LeaseNotArmed: { exit: 1, retry: true },
  /** The secrets of the env file do not open the database's ciphertext. */
  SecretsMismatch: { exit: 1, retry: false },
  /** A captured part is not what it should be (a broken RDB, a dump that cannot be read). */
  PartInvalid: { exit: 1, retry: true },
  /** The held moment of the database was lost. */
  SnapshotLost: { exit: 1, retry: false },
  /** An off-site cannot be reached, is full, or is locked by somebody else. */
  OffsiteUnavailable: { exit: 1, retry: true },
  /** What came back from an off-site is not what was sent there. */
  VerifyFailed: { exit: 6, retry: false },
  /** A backup, part or run that does not exist. */
  NotFound: { exit: 2, retry: false },
  /** Anything else: a defect of Permafrost. */
  Unexpected: { exit: 1, retry: true },
} as const satisfies Record<string, FailureClass>;

export type FailureType = keyof typeof classes;

/** Whether a later attempt of the same step can end better by itself. */
export function isRetryable(type: FailureType): boolean {
  return classes[type].retry;
}

/** Types of failure for which Temporal must not start another attempt. */
export const nonRetryableTypes: readonly FailureType[] = (Object.keys(classes) as FailureType[]).filter(
  (type) => !classes[type].retry,
);

export function isFailureType(type: string | null | undefined): type is FailureType {
  return type !== null && type !== undefined && Object.hasOwn(classes, type);
}

/** The command's exit code for a type of failure; 1 for one that is unknown. */
export function exitCodeOf(type: string | null | undefined): number {
  return isFailureType(type) ? classes[type].exit : 1;
}

/** A failure that is told to an operator: what happened (`message`), where (`host`), and what to do (`next`). */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly type: FailureType;
  readonly next: string | undefined;
  readonly host: string | undefined;

  constructor(
    type: FailureType,
    message: string,
    more: { next?: string; host?: string; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.type = type;
    this.next = more.next;
    this.host = more.host;
  }
}
