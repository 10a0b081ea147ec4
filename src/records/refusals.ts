import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { giveToOwner, stateFolder } from './owner.js';

/**
 * Runs that wanted to destroy or replace something and had no permit for it (`permits.ts`): whoever started them reaches
 * Temporal, and the operator should hear of that. `<state>/refusals/<instance>`, a JSON document on each line.
 */
const refusal = z.object({
  /** ISO time. */
  at: z.string(),
  what: z.string(),
  workflowId: z.string(),
  runId: z.string(),
  /** Who started it, in the words of that client: it may say anything. */
  startedBy: z.string(),
  why: z.string(),
});
export type PermitRefusal = z.infer<typeof refusal>;

/** How long an operator is told of one, milliseconds. */
const toldForMs = 7 * 86_400_000;

/** Kept of an instance at most: who starts thousands fills no disk. */
const mostKept = 50;

export async function noteRefusal(
  state: string,
  instance: string,
  noted: PermitRefusal,
  now = new Date(),
): Promise<void> {
  const before = (await recentRefusals(state, instance, now)).filter(({ runId }) => runId !== noted.runId);
  const folder = await stateFolder(state, 'refusals');
  const path = join(folder, instance);
  const lines = [...before, noted].slice(-mostKept).map((one) => `${JSON.stringify(one)}\n`);
  const whole = `${path}.${noted.runId}.new`;
  await writeFile(whole, lines.join(''), { mode: 0o600 });
  await giveToOwner(state, whole);
  await rename(whole, path);
}

/** Those of the last seven days, the oldest first. */
export async function recentRefusals(
  state: string,
  instance: string,
  now = new Date(),
): Promise<PermitRefusal[]> {
  const text = await readFile(join(state, 'refusals', instance), 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const one = refusal.safeParse(jsonIn(line)).data;
    return one !== undefined && now.getTime() - Date.parse(one.at) < toldForMs ? [one] : [];
  });
}

function jsonIn(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
