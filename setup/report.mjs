/** What an operator reads while the set-up works: one calm line for each thing, and how to go on when it cannot. */

/** Ends the set-up with a message that says what to do; never with a stack trace. */
export class SetupError extends Error {}

export function say(subject, what) {
  process.stdout.write(`  ${`${subject}:`.padEnd(24)} ${what}\n`);
}

/** Seconds since `start` (milliseconds of `performance.now()`), for a line. */
export function since(start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}

/** The end of a command's output, for a message about its failure. */
export function tail(text, lines = 15) {
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}
