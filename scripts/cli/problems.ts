import type { Failure } from '../../src/errors.js';
import { formatFields } from '../../src/terminal/format.js';
import { plainText } from '../../src/terminal/plain-text.js';

/** Off-sites that could not be read, for stderr: the others were. */
export function problemLines(
  problems: readonly { offsite: string; failure: Failure }[],
  width: number,
): string[] {
  return problems.flatMap(({ offsite, failure }) => [
    `Off-site ${offsite} could not be read.`,
    ...formatFields(
      [
        ['what happened', plainText(failure.message)],
        ...(failure.next === undefined ? [] : [['what to do', plainText(failure.next)] as const]),
      ],
      width,
    ),
    '',
  ]);
}
