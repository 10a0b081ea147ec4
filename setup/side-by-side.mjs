import { SetupError } from './report.mjs';

/**
 * Waits for all of them, also when one fails: what the others bring need not be brought again.
 * @returns what they resolve to, in order. @throws SetupError with the messages of all that failed
 */
export async function sideBySide(promises) {
  const settled = await Promise.allSettled(promises);
  const reasons = settled.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
  const odd = reasons.find((reason) => !(reason instanceof SetupError));
  if (odd !== undefined) throw odd;
  if (reasons.length > 0) throw new SetupError(reasons.map(({ message }) => message.trimEnd()).join('\n\n'));
  return settled.map(({ value }) => value);
}
