import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type BackupId, backupIdPattern } from '../backups/id.js';
import { type PartName, partNames } from '../backups/parts.js';
import { recordsFolder } from './record-run.js';

/** Of a report, what later runs and `status` need: other fields, and those of newer versions, are let pass. */
const remembered = z.looseObject({
  backup: z.string().regex(backupIdPattern),
  status: z.string(),
  finishedAt: z.string(),
  parts: z.array(z.looseObject({ name: z.string(), bytes: z.number(), files: z.number() })),
  offsites: z.array(z.looseObject({ name: z.string(), sealed: z.boolean() })).default([]),
  plan: z
    .looseObject({
      parts: z.array(z.looseObject({ name: z.string(), sourceBytes: z.number().optional() })),
      mediaPlace: z.object({ path: z.string(), mountPoint: z.string(), fstype: z.string() }).optional(),
    })
    .optional(),
});

export type RememberedRun = z.infer<typeof remembered>;

/** Runs looked back at: over a year of nights. What is older is as good as not remembered. */
const farthest = 400;

/**
 * The runs that this machine remembers of an instance, the newest first; those that have ended are all there.
 *
 * @param state Permafrost's own folder on this machine (`Configuration.state`).
 * @param warn is told of each record that cannot be read; it is passed over.
 */
export async function* rememberedRuns(
  state: string,
  instance: string,
  warn: (text: string) => void = () => undefined,
): AsyncIterable<RememberedRun> {
  const folder = recordsFolder(state, instance);
  for (const name of (await recordNames(folder, warn)).slice(0, farthest)) {
    const run = await read(join(folder, name), warn);
    if (run !== null) yield run;
  }
}

/** The runs of this machine that have ended, however: their reports are here. */
export async function endedRuns(state: string, instance: string): Promise<Set<BackupId>> {
  const names = await recordNames(recordsFolder(state, instance), () => undefined);
  return new Set(names.map((name) => name.slice(0, -'.json'.length)));
}

/** What this machine has sealed, by off-site; whether it is still there is another question. */
export async function sealedThere(
  state: string,
  instance: string,
): Promise<Map<string, { backup: BackupId; parts: PartName[] }[]>> {
  const sealed = new Map<string, { backup: BackupId; parts: PartName[] }[]>();
  for await (const { backup, parts, offsites } of rememberedRuns(state, instance)) {
    const held = { backup, parts: parts.flatMap(({ name }) => (isPart(name) ? [name] : [])) };
    for (const offsite of offsites) {
      if (offsite.sealed) sealed.set(offsite.name, [...(sealed.get(offsite.name) ?? []), held]);
    }
  }
  return sealed;
}

export function isPart(name: string): name is PartName {
  return (partNames as readonly string[]).includes(name);
}

/** The newest first. */
async function recordNames(folder: string, warn: (text: string) => void): Promise<string[]> {
  try {
    return (await readdir(folder))
      .filter((name) => name.endsWith('.json'))
      .sort()
      .reverse();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT')
      warn(`The records of runs in ${folder} cannot be read (${codeOf(error)}).`);
    return [];
  }
}

async function read(path: string, warn: (text: string) => void): Promise<RememberedRun | null> {
  try {
    return remembered.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    const why = codeOf(error);
    warn(`The record ${path} cannot be read (${why}) and was passed over.`);
    return null;
  }
}

function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error) return String(error.code);
  return error instanceof SyntaxError ? 'not JSON' : 'not the report of a run';
}
