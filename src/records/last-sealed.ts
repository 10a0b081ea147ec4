import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { backupIdPattern } from '../backups/id.js';
import { type PartName, partNames } from '../backups/parts.js';
import type { LastSealed } from '../backups/report.js';
import { recordsFolder } from './record-run.js';

/** Of a report, what the next run's checks need: other fields, and those of newer versions, are let pass. */
const remembered = z.looseObject({
  backup: z.string().regex(backupIdPattern),
  status: z.string(),
  finishedAt: z.string(),
  parts: z.array(z.looseObject({ name: z.string(), bytes: z.number(), files: z.number() })),
  plan: z
    .looseObject({
      parts: z.array(z.looseObject({ name: z.string(), sourceBytes: z.number().optional() })),
      mediaPlace: z.object({ path: z.string(), mountPoint: z.string(), fstype: z.string() }).optional(),
    })
    .optional(),
});

/** Runs looked back at: over a year of nights. A part that was last sealed before that is as good as not remembered. */
const farthest = 400;

/**
 * What this machine remembers of the newest runs that sealed something.
 *
 * @param state Permafrost's own folder on this machine (`Configuration.state`).
 * @param warn is told of each record that cannot be read; it is passed over.
 * @returns null when no run is remembered: a new machine, or a new instance.
 */
export async function lastSealed(
  state: string,
  instance: string,
  warn: (text: string) => void = () => undefined,
): Promise<LastSealed | null> {
  const folder = recordsFolder(state, instance);
  let last: LastSealed | null = null;
  for (const name of await newestFirst(folder, warn)) {
    const report = await read(join(folder, name), warn);
    if (report === null || (report.status !== 'sealed' && report.status !== 'partial')) continue;
    last = add(last ?? { backup: report.backup, finishedAt: report.finishedAt, parts: {} }, report);
    if (partNames.every((part) => last?.parts[part] !== undefined)) break;
  }
  return last;
}

function add(last: LastSealed, report: z.infer<typeof remembered>): LastSealed {
  const parts = { ...last.parts };
  for (const { name, bytes, files } of report.parts) {
    if (isPart(name)) parts[name] ??= { bytes, files };
  }
  const databaseBytes =
    last.databaseBytes ?? report.plan?.parts.find(({ name }) => name === 'database')?.sourceBytes;
  const mediaPlace = last.mediaPlace ?? report.plan?.mediaPlace;
  return {
    ...last,
    parts,
    ...(databaseBytes === undefined ? {} : { databaseBytes }),
    ...(mediaPlace === undefined ? {} : { mediaPlace }),
  };
}

function isPart(name: string): name is PartName {
  return (partNames as readonly string[]).includes(name);
}

async function newestFirst(folder: string, warn: (text: string) => void): Promise<string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.json'));
    return names.sort().reverse().slice(0, farthest);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT')
      warn(`The records of runs in ${folder} cannot be read (${codeOf(error)}).`);
    return [];
  }
}

async function read(path: string, warn: (text: string) => void): Promise<z.infer<typeof remembered> | null> {
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
