import { randomBytes } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Failure } from '../errors.js';
import { giveToOwner, stateFolder } from './owner.js';

/**
 * Whoever reaches Temporal's port can start any workflow; what destroys or replaces takes more. Who asks for it leaves a
 * permit in the state folder, which only Permafrost's own user opens, and the run redeems it: once, within ten minutes,
 * for this instance and exactly these choices. Another attempt of the same run finds that it has redeemed it already.
 *
 * `<state>/permits/<name>.json` (0600, in a folder 0700) becomes `<name>.<run id>` by a rename, which one run alone wins.
 */
export interface Permit {
  /** The verb: `prune`, `restore`. */
  readonly what: string;
  readonly instance: string;
  /** What else was chosen; compared as it is. */
  readonly choices: readonly string[];
  /**
   * What the choices are about and no input may say, such as the host that a restore goes to: the run gets it from the
   * permit alone. Any JSON; whoever redeems it parses it.
   */
  readonly target?: unknown;
}

const validForMs = 10 * 60_000;

/** Redeemed ones are kept for the attempts of the longest run. */
const sweptAfterMs = 30 * 86_400_000;

export const permitNamePattern = /^[0-9a-f]{48}$/;
const runIdPattern = /^[0-9a-f-]{36}$/;

const stored = z.object({
  what: z.string(),
  instance: z.string(),
  choices: z.array(z.string()),
  target: z.unknown().optional(),
  madeAt: z.iso.datetime(),
});

/** Leaves a permit. @returns its name, which goes into the run's input. */
export async function leavePermit(state: string, permit: Permit, now = new Date()): Promise<string> {
  const name = randomBytes(24).toString('hex');
  try {
    const folder = await stateFolder(state, 'permits');
    await sweep(folder, now);
    const file = join(folder, `${name}.json`);
    const text = JSON.stringify({ ...permit, madeAt: now.toISOString() });
    await writeFile(`${file}.new`, text, { mode: 0o600, flag: 'wx' });
    await giveToOwner(state, `${file}.new`);
    await rename(`${file}.new`, file);
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new Failure('ConfigInvalid', `a permit cannot be left in ${join(state, 'permits')} (${reason})`, {
      next: "run the command on the worker's machine, as the user that the worker runs as, or as root",
      cause: error,
    });
  }
  return name;
}

/** Leaves a permit, where one is needed: a cluster that knows its clients asks for none, unless it says where to. */
export async function leavePermitFor(
  configuration: { state: string; temporal: object },
  permit: Permit,
): Promise<string> {
  const { state, temporal } = configuration;
  const open = 'authenticatesClients' in temporal && temporal.authenticatesClients === true;
  return open && permit.target === undefined ? 'none' : leavePermit(state, permit);
}

/**
 * Takes a permit for a run.
 *
 * @param runId of the workflow run, given by Temporal and not by whoever started it.
 * @returns the permit's `target`.
 * @throws Failure `Refused` when there is none, it is too old, or it is for something else.
 */
export async function redeemPermit(
  state: string,
  name: string,
  wanted: Omit<Permit, 'target'>,
  runId: string,
  now = new Date(),
): Promise<unknown> {
  if (!permitNamePattern.test(name) || !runIdPattern.test(runId)) throw refused('that is no permit');
  const folder = join(state, 'permits');
  const redeemed = join(folder, `${name}.${runId}`);
  const again = await claim(join(folder, `${name}.json`), redeemed);
  const permit = stored.safeParse(JSON.parse(await readFile(redeemed, 'utf8')));
  if (!permit.success) throw refused('the permit is not whole');
  const { madeAt, target, ...granted } = permit.data;
  const ageMs = now.getTime() - Date.parse(madeAt);
  if (!again && (ageMs > validForMs || ageMs < -validForMs)) {
    await rm(redeemed, { force: true });
    throw refused(`the permit is of ${madeAt}, and one is good for ten minutes`);
  }
  const { what, instance, choices } = wanted;
  if (JSON.stringify(granted) !== JSON.stringify({ what, instance, choices: [...choices] })) {
    await rm(redeemed, { force: true });
    throw refused('the permit was given for something else');
  }
  return target;
}

/** @returns whether this run has taken it before. */
async function claim(open: string, redeemed: string): Promise<boolean> {
  try {
    await rename(open, redeemed);
    return false;
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  const before = await stat(redeemed).catch(() => null);
  if (before === null) throw refused('there is no such permit, or another run has used it');
  return true;
}

function refused(why: string): Failure {
  return new Failure('Refused', `this needs a permit of whoever runs Permafrost: ${why}`, {
    next: "run the permafrost command itself, on the worker's machine, with the same configuration",
  });
}

async function sweep(folder: string, now: Date): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = join(folder, name);
    const limitMs = /\.json(\.new)?$/.test(name) ? validForMs : sweptAfterMs;
    const found = await stat(file).catch(() => null);
    if (found !== null && now.getTime() - found.mtimeMs > limitMs) await rm(file, { force: true });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
