import { z } from 'zod';
import type { Check, Proof } from '../backups/check.js';
import { Failure, type FailureType } from '../errors.js';

/** Thrown by a look: what it saw is not what it should be. The message is the finding, a sentence or two; no secret. */
export class Wrong extends Error {
  override readonly name = 'Wrong';
}

/** Thrown by a look that could not be taken: no finding, and nothing that was proven. The message says why. */
export class NotSeen extends Error {
  override readonly name = 'NotSeen';
}

/** A check that has passed, or its finding; a look that could not be taken is no check. */
type Seen = { readonly check: Check } | { readonly notProven: string };

/** Failures that say that something restored is broken, rather than that it cannot be reached or looked at. */
const damage: readonly FailureType[] = ['NotRestorable', 'PartInvalid', 'SecretsMismatch', 'VerifyFailed'];

/**
 * Takes a look and tells what came of it.
 *
 * @param look returns what was seen, in a sentence or two. What it throws as `Wrong` is a finding, and so is an answer that
 *   cannot be read (JSON).
 * @throws whatever else `look` throws: commands that fail, hosts and off-sites that cannot be reached, a call that was
 *   given up, defects; `NotSeen` too, which only `proveAll` knows what to do with.
 */
export async function prove(name: string, look: () => Promise<string>): Promise<Check> {
  const began = performance.now();
  const check = (passed: boolean, detail: string): Check => ({
    ...{ name, passed, detail: detail.slice(0, longestDetail) },
    durationMs: Math.round(performance.now() - began),
  });
  try {
    return check(true, await look());
  } catch (error) {
    if (!isFinding(error)) throw error;
    return check(false, error.message);
  }
}

/** What fits into a report, and into what Temporal keeps of it. */
const longestDetail = 1000;

function isFinding(error: unknown): error is Error {
  if (error instanceof Wrong || error instanceof SyntaxError || error instanceof z.ZodError) return true;
  return error instanceof Failure && damage.includes(error.type);
}

/** A look by its name, as `prove` takes it. */
export interface Look {
  readonly name: string;
  readonly look: () => Promise<string>;
}

/**
 * Takes several looks, so many at a time, and returns what came of them in their order. After one that throws no other is
 * begun, and those that go on are waited for.
 */
export async function proveAll(looks: readonly Look[], atATime = 1): Promise<Proof> {
  const seen = new Map<string, Seen>();
  const waiting = [...looks];
  let failed = false;
  const lane = async () => {
    for (let next = waiting.shift(); next !== undefined && !failed; next = waiting.shift()) {
      try {
        seen.set(next.name, await seeOrNote(next));
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const lanes = Array.from({ length: atATime }, lane);
  await Promise.allSettled(lanes);
  await Promise.all(lanes);
  const inOrder = looks.flatMap(({ name }) => seen.get(name) ?? []);
  return {
    checks: inOrder.flatMap((one) => ('check' in one ? [one.check] : [])),
    notProven: inOrder.flatMap((one) => ('notProven' in one ? [one.notProven] : [])),
  };
}

async function seeOrNote({ name, look }: Look): Promise<Seen> {
  try {
    return { check: await prove(name, look) };
  } catch (error) {
    if (error instanceof NotSeen) return { notProven: `${name}: ${error.message}` };
    throw error;
  }
}

/** The first ten of a list by name, and how many more there are. */
export function firstOf(names: readonly string[], more = names.length): string {
  const shown = names.slice(0, 10);
  return more > shown.length
    ? `${shown.join(', ')} and ${String(more - shown.length)} more`
    : shown.join(', ');
}
