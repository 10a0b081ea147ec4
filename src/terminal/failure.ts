import { exitCodeOf, type Failure } from '../errors.js';
import type { FailureReport } from '../backups/report.js';
import { formatFields } from './format.js';
import type { Paint } from './paint.js';
import { plainText } from './plain-text.js';

const DEFECT = 'This is a defect of Permafrost: please report it with this message (--verbose shows where).';

/** What a script reads of a failure. `next` is never missing: without advice of its own it tells how to see more. */
export function failureReport(failure: Failure): FailureReport {
  return {
    code: exitCodeOf(failure.type),
    type: failure.type,
    message: plainText(failure.message),
    next: plainText(failure.next ?? defaultNext(failure)),
  };
}

function defaultNext(failure: Failure): string {
  return failure.type === 'Unexpected' ? DEFECT : 'Try again with --verbose to see more.';
}

/**
 * A failure for a person: what happened, on which host, how things stand now, what to do next.
 *
 * @param state how things stand now, when the command knows; else what the failure's type says about it.
 */
export function failureText(failure: Failure, paint: Paint, state?: string, width = 80): string[] {
  const report = failureReport(failure);
  const now = state ?? stateAfter(failure);
  const fields: [string, string][] = [['what happened', report.message]];
  if (failure.host !== undefined) fields.push(['on host', plainText(failure.host)]);
  if (now !== undefined) fields.push(['state now', now]);
  fields.push(['what to do', report.next]);
  return [paint.bad(paint.bold(titleOf(failure))), ...formatFields(fields, width)];
}

function titleOf(failure: Failure): string {
  switch (failure.type) {
    case 'Cancelled':
      return 'Cancelled.';
    case 'Refused':
      return 'Refused.';
    case 'Busy':
      return 'Busy.';
    case 'ServicesDown':
      return 'THE SERVICES ARE DOWN.';
    default:
      return 'Failed.';
  }
}

function stateAfter(failure: Failure): string | undefined {
  switch (failure.type) {
    case 'Refused':
    case 'ConfigInvalid':
    case 'InvalidInput':
    case 'NotFound':
      return 'Nothing was touched.';
    case 'Busy':
      return 'Nothing was touched by this command; the other run goes on.';
    default:
      return undefined;
  }
}
