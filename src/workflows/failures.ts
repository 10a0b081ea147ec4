import { ActivityFailure, ApplicationFailure, isCancellation, rootCause } from '@temporalio/workflow';
import type { FailureReport } from '../backups/report.js';
import { exitCodeOf, type FailureType } from '../errors.js';

/** The failure under everything that Temporal wrapped around it. */
export function causeOf(error: unknown): ApplicationFailure | undefined {
  let cause: unknown = error;
  while (cause instanceof Error && !(cause instanceof ApplicationFailure)) cause = cause.cause;
  return cause instanceof ApplicationFailure ? cause : undefined;
}

export function isOfType(error: unknown, ...types: FailureType[]): boolean {
  const type = causeOf(error)?.type;
  return types.some((wanted) => wanted === type);
}

/** A failure as reports and scripts see it. */
export function reportOf(error: unknown): FailureReport {
  if (isCancellation(error)) {
    return {
      code: 130,
      type: 'Cancelled',
      message: 'the run was cancelled',
      next: 'nothing: the services are up',
    };
  }
  const cause = causeOf(error);
  const type = cause?.type ?? 'Unexpected';
  const said = cause?.details?.[0];
  const next =
    typeof said === 'object' && said !== null && 'next' in said && typeof said.next === 'string'
      ? said.next
      : '';
  return { code: exitCodeOf(type), type, message: cause?.message ?? timeoutMessage(error), next };
}

function timeoutMessage(error: unknown): string {
  const step = error instanceof ActivityFailure ? `${error.activityType}: ` : '';
  return `${step}${rootCause(error) ?? String(error)}`;
}

export function fail(
  type: FailureType,
  message: string,
  next: string,
  ...more: unknown[]
): ApplicationFailure {
  const failure = ApplicationFailure.create({
    type,
    message,
    nonRetryable: true,
    details: [{ next, host: '', code: exitCodeOf(type) }, ...more],
  });
  // Temporal's UI shows it before the details; it leads here whatever went wrong, and names this machine's folders.
  failure.stack = '';
  return failure;
}

/** A failure that was told as a report, as the run's own end. */
export function asReported(error: FailureReport | undefined, ...more: unknown[]): ApplicationFailure {
  const { type = 'Unexpected', message = 'nothing is known of it', next = '' } = error ?? {};
  return fail(type as FailureType, message, next, ...more);
}

/** Preflight refuses: whatever it could not look at is a refusal too, since nothing was touched. */
export function asRefusal(error: unknown): Error {
  if (isCancellation(error) || isOfType(error, 'Refused', 'Busy', 'InvalidInput', 'ConfigInvalid')) {
    return causeOf(error) ?? (error instanceof Error ? error : new Error(String(error)));
  }
  const { message, next } = reportOf(error);
  return fail('Refused', message, next);
}
