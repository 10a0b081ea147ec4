import { isCancellation, log, patched, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { DatabasePlan } from '../backups/database-plan.js';
import type { PartName } from '../backups/parts.js';
import { reportOf } from './failures.js';
import * as policies from './policies.js';
import type { RunState } from './run-state.js';

const looking = proxyActivities<Activities>(policies.look);
const tidying = proxyActivities<Activities>(policies.tidy);

/**
 * Decides whether tonight's database is a full dump or a delta, while the services still run. When that cannot be told,
 * it is a full dump.
 */
export async function planDatabase(
  state: RunState,
  parts: readonly PartName[],
  offsites: string[],
): Promise<void> {
  if (!parts.includes('database') || !patched('database-deltas')) return;
  try {
    const plan = await looking.planDatabase({ run: state.run, offsites });
    state.database = plan;
    state.warnings.push(...plan.warnings);
    tellCapture(state);
  } catch (error) {
    if (isCancellation(error)) throw error;
    state.warnings.push(`The database is dumped whole: ${reportOf(error).message}`.slice(0, 1000));
  }
}

/** The dump is done: a delta that could not be made has become a full dump of the same moment. */
export function databaseDumped(state: RunState, plan: DatabasePlan, kind: 'full' | 'delta'): void {
  if (plan.kind === kind) return;
  const why = `the delta against ${plan.full ?? 'the last full dump'} could not be made`;
  state.database = { kind, why, warnings: [] };
  state.warnings.push(`The database was dumped whole: ${why} (the worker's log has what rdiff said).`);
  tellCapture(state);
}

/** What the phase `capture` tells. */
export function tellCapture(state: RunState): void {
  const { database, mediaText } = state;
  const texts = [database === undefined ? undefined : databaseText(database), mediaText];
  state.detail('capture', texts.filter((text) => text !== undefined).join('; '));
}

function databaseText({ kind, full = '', why }: DatabasePlan): string {
  const what = kind === 'full' ? 'a full dump' : `a delta against ${full}`;
  return `database: ${what}, because ${why}`;
}

/** Keeps what the next nights' deltas need. Without it the next night takes a full dump, and is as good. */
export async function keepBase(state: RunState): Promise<void> {
  if (state.database === undefined) return;
  const offsites = [...state.offsites.values()].filter(({ sealed }) => sealed).map(({ name }) => name);
  await tidying.keepBase({ run: state.run, offsites }).catch((error: unknown) => {
    if (isCancellation(error)) throw error;
    log.warn('the signature of the full dump was not kept', { error: String(error) });
  });
}
