import { z } from 'zod';
import { drillDepths, type DrillDepth } from '../backups/check.js';
import { type BackupId, backupIdPattern } from '../backups/id.js';
import { readReport, reportNames } from './reports.js';

/** Of a drill's report, what `status`, restores and later drills need: other fields are let pass. */
const remembered = z.looseObject({
  drill: z.string().regex(backupIdPattern),
  backup: z.string(),
  from: z.string(),
  depth: z.enum(drillDepths),
  status: z.enum(['passed', 'findings', 'failed', 'cancelled']),
  finishedAt: z.string(),
  recoveryTimeMs: z.number().nonnegative(),
  forecast: z.looseObject({ totalMs: z.number().nonnegative() }).optional(),
  checks: z.array(z.looseObject({ name: z.string(), passed: z.boolean() })),
  error: z.looseObject({ message: z.string() }).optional(),
});

/** A drill that this machine remembers. */
export interface LastDrill {
  drill: BackupId;
  backup: BackupId;
  /** The off-site; empty when it failed before one was chosen. */
  from: string;
  depth: DrillDepth;
  status: 'passed' | 'findings' | 'failed' | 'cancelled';
  passed: boolean;
  /** ISO time. */
  finishedAt: string;
  /** Until the instance would have been back, but for its media. Milliseconds. */
  recoveryTimeMs: number;
  /** What a full restore would take, with all media; null when it was not measured. */
  forecastMs: number | null;
  /** Names of the checks that failed. */
  findings: string[];
  error?: string;
}

/** The drills of an instance whose reports are on this machine, the newest first. One that cannot be read is passed over. */
export async function* rememberedDrills(state: string, domain: string): AsyncIterable<LastDrill> {
  for (const name of await reportNames(state, domain)) {
    if (!name.startsWith('drill-')) continue;
    const drill = parsed(await readReport(state, domain, name, 'json'));
    if (drill !== undefined) yield drill;
  }
}

function parsed(text: string | undefined): LastDrill | undefined {
  if (text === undefined) return undefined;
  try {
    const { drill, backup, from, depth, status, finishedAt, recoveryTimeMs, forecast, checks, error } =
      remembered.parse(JSON.parse(text));
    return {
      ...{ drill, backup, from, depth, status, passed: status === 'passed', finishedAt, recoveryTimeMs },
      forecastMs: forecast?.totalMs ?? null,
      findings: checks.filter(({ passed }) => !passed).map(({ name }) => name),
      ...(error === undefined ? {} : { error: error.message }),
    };
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
    throw error;
  }
}

/** The newest drill that has looked at a backup; null without one. */
export async function lastDrillOf(state: string, domain: string): Promise<LastDrill | null> {
  return first(rememberedDrills(state, domain), ({ status }) => status === 'passed' || status === 'findings');
}

/** The newest drill that tells how long a restore takes: it passed, and loaded the database. Null without one. */
export async function lastMeasuredDrill(state: string, domain: string): Promise<LastDrill | null> {
  return first(rememberedDrills(state, domain), ({ passed, depth }) => passed && depth !== 'files');
}

async function first(
  drills: AsyncIterable<LastDrill>,
  wanted: (drill: LastDrill) => boolean,
): Promise<LastDrill | null> {
  for await (const drill of drills) if (wanted(drill)) return drill;
  return null;
}
