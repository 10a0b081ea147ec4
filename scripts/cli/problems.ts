import type { Failure } from '../../src/errors.js';
import { formatFields } from '../../src/terminal/format.js';
import { plainText } from '../../src/terminal/plain-text.js';

/** Off-sites that could not be read, for stderr: the others were. Or of which something else could not be done. */
export function problemLines(
  problems: readonly { offsite: string; failure: Pick<Failure, 'message' | 'next'> & { type?: string } }[],
  width: number,
  what = 'could not be read',
): string[] {
  return problems.flatMap(({ offsite, failure }) => [
    failure.type === 'NotRestorable'
      ? `Off-site ${offsite} holds a backup that is not what it should be.`
      : `Off-site ${offsite} ${what}.`,
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
