import { Failure } from '../errors.js';

/**
 * Turns an argv into one command line that a POSIX shell splits into exactly that argv again, whatever is in it.
 * The only place where Permafrost quotes.
 *
 * @throws Failure `InvalidInput` for what no command line can carry: an empty argv, a NUL, half a surrogate pair.
 */
export function shellLine(argv: readonly string[]): string {
  checkArgv(argv);
  return argv.map(shellWord).join(' ');
}

/** @throws Failure `InvalidInput` when the argv cannot reach a process unchanged. */
export function checkArgv(argv: readonly string[]): void {
  const [program] = argv;
  if (program === undefined || program === '')
    throw new Failure('InvalidInput', 'A command without a program.');
  // `env` runs every command here, and would take such a program for a variable.
  if (program.includes('='))
    throw new Failure('InvalidInput', `A program's name may not hold "=": ${JSON.stringify(program)}.`);
  for (const word of argv) {
    if (word.includes('\0')) throw new Failure('InvalidInput', `An argument of ${program} holds a NUL.`);
    if (/\p{Surrogate}/u.test(word))
      throw new Failure('InvalidInput', `An argument of ${program} is not well-formed Unicode.`);
  }
}

/** Within single quotes a POSIX shell takes every byte as it is, but the single quote itself. */
function shellWord(word: string): string {
  return /^[A-Za-z0-9_@%+:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
