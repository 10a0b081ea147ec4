import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  isGrpcServiceError,
  ServiceError,
  TerminatedFailure,
  TimeoutFailure,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { Failure, isFailureType } from '../../src/errors.js';

/** A verb that failed although it knows more than the failure: how things stand, and what a script may want to read. */
export class VerbFailed extends Error {
  constructor(
    readonly failure: Failure,
    /** How things stand now: are the services up? */
    readonly state: string | undefined,
    /** Fields beside `error` in the JSON document. */
    readonly fields: Readonly<Record<string, unknown>> = {},
  ) {
    super(failure.message, { cause: failure });
  }
}

/**
 * Any error as the Failure that an operator is told.
 *
 * The inverse of what workflows and activities do with a Failure: the type and the message of an ApplicationFailure
 * are the Failure's own, and its first detail holds `{ next, host }`. What Temporal wraps around it is taken off.
 */
export function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof VerbFailed) return error.failure;
  if (error instanceof ApplicationFailure) return fromApplication(error);
  if (error instanceof CancelledFailure) {
    return new Failure('Cancelled', 'the run was cancelled', {
      next: 'Start a new one when it suits.',
      cause: error,
    });
  }
  if (error instanceof TerminatedFailure) {
    return new Failure('Unexpected', 'the run was terminated, so it could not clean up after itself', {
      next: 'The guard starts the services again; see: permafrost status. To end a run, use: permafrost cancel',
      cause: error,
    });
  }
  if (error instanceof TimeoutFailure && !(error.cause instanceof ApplicationFailure)) {
    return new Failure('CommandTimedOut', `a step of the run took too long (${error.message})`, {
      next: "Look at the run's history in Temporal's UI, and at the load of the host.",
      cause: error,
    });
  }
  if (
    error instanceof WorkflowFailedError ||
    error instanceof ActivityFailure ||
    error instanceof ChildWorkflowFailure ||
    error instanceof TimeoutFailure
  ) {
    return error.cause === undefined ? unexpected(error) : failureOf(error.cause);
  }
  if (error instanceof WorkflowNotFoundError) {
    return new Failure('NotFound', `Temporal knows no run ${error.workflowId}`, {
      next: 'permafrost status shows the runs that are open.',
      cause: error,
    });
  }
  if (error instanceof WorkflowExecutionAlreadyStartedError) {
    return new Failure('Busy', `the run ${error.workflowId} is open already`, {
      next: 'Wait until it has ended, or end it: permafrost cancel',
      cause: error,
    });
  }
  return fromService(error) ?? unexpected(error);
}

function fromApplication(error: ApplicationFailure): Failure {
  const { next, host } = detailsOf(error);
  const cause = error.cause ?? error;
  if (isFailureType(error.type)) {
    return new Failure(error.type, error.message, {
      cause,
      ...(next === undefined ? {} : { next }),
      ...(host === undefined ? {} : { host }),
    });
  }
  return new Failure('Unexpected', error.message, { cause });
}

function detailsOf(error: ApplicationFailure): { next?: string | undefined; host?: string | undefined } {
  const first: unknown = error.details?.[0];
  if (typeof first !== 'object' || first === null) return {};
  const field = (name: string) => {
    const value: unknown = Reflect.get(first, name);
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  return { next: field('next'), host: field('host') };
}

/** The report of a run that failed: the second detail of what it failed with. */
export function reportIn(error: unknown): object | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const report: unknown = at instanceof ApplicationFailure ? at.details?.[1] : undefined;
    if (typeof report === 'object' && report !== null && 'workflowId' in report) return report;
  }
  return undefined;
}

/** gRPC's status codes (grpc.io/docs/guides/status-codes). */
const code = {
  CANCELLED: 1,
  DEADLINE_EXCEEDED: 4,
  PERMISSION_DENIED: 7,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

function fromService(error: unknown): Failure | undefined {
  const cause = error instanceof ServiceError ? error.cause : error;
  if (!isGrpcServiceError(cause)) return undefined;
  if (cause.code === code.PERMISSION_DENIED || cause.code === code.UNAUTHENTICATED) {
    return new Failure('AuthFailed', 'Temporal does not accept our key or certificate', {
      next: 'Check the API key or the certificate of the configuration, and that they are of this namespace.',
      cause: error,
    });
  }
  const away: readonly number[] = [code.UNAVAILABLE, code.DEADLINE_EXCEEDED, code.CANCELLED];
  if (!away.includes(cause.code)) return undefined;
  return new Failure('TemporalUnreachable', 'Temporal does not answer any more', {
    next: 'See whether it runs (permafrost up). An open run goes on when it is back.',
    cause: error,
  });
}

function unexpected(error: unknown): Failure {
  return new Failure('Unexpected', error instanceof Error ? error.message : String(error), { cause: error });
}
