import { bad, type Check, type Subject } from '../backups/checks.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';

/** A check may take this long, or it is a finding itself. Milliseconds. */
const patienceMs = 45_000;

/**
 * Runs one check so that it cannot hide the others: whatever goes wrong in it, and a check that does not end, is a bad
 * finding of its own.
 */
export async function looking(
  about: Subject,
  look: () => Promise<Check | readonly Check[]>,
  limitMs = patienceMs,
): Promise<Check[]> {
  try {
    const found = await within(limitMs, look());
    return 'name' in found ? [found] : [...found];
  } catch (error) {
    return [badly(about, error)];
  }
}

/** A failure as a finding. */
export function badly(about: Subject, error: unknown): Check {
  if (error instanceof Failure) {
    // The finding stands under the off-site's name already.
    const detail = error.message.replace(/^off-site [a-z0-9-]+: /, '');
    return bad(about, detail, error.next ?? 'See the message; then run: permafrost doctor');
  }
  const said = error instanceof Error ? error.message : String(error);
  return bad(
    about,
    `This could not be looked at: ${said}`,
    'This is a defect of Permafrost: please report it.',
  );
}

/** @throws Failure `CommandTimedOut` when it is not done in time; what it was doing is left to end by itself. */
export async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  if (!Number.isFinite(limitMs)) return work;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const text = `There was no answer within ${String(Math.round(limitMs / 1000))} s.`;
      const next = 'See whether the machine and what it asks are overloaded or wait for something.';
      reject(new Failure('CommandTimedOut', text, { next }));
    }, limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Before a command that belongs on another machine: which one. */
export function onHost({ name }: Host): string {
  return name === 'local' ? '' : `On ${name}: `;
}
