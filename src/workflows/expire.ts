import { isCancellation, log, proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import { fail, reportOf } from './failures.js';
import { EXPIRE_ID } from './names.js';
import * as policies from './policies.js';

const tidying = proxyActivities<Activities>({ ...policies.tidy, retry: { maximumAttempts: 2 } });

/**
 * Every ten minutes: what drills that died have left goes, and undos that have had their time. What cannot be removed now
 * is tried again by the next one, and a lease on the drill host removes scratch by itself.
 */
export async function expire(...given: unknown[]): Promise<{ swept: string[]; removed: string[] }> {
  if (given.length > 0 || !workflowInfo().workflowId.startsWith(EXPIRE_ID))
    throw fail(
      'InvalidInput',
      'expire is started by its schedule and takes nothing',
      'permafrost schedule apply',
    );
  const notes: string[] = [];
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('something could not be removed yet', { error: String(error) });
      notes.push(reportOf(error).message);
      return undefined;
    }
  };
  const scratch = await attempt(() => tidying.sweepScratch({}));
  notes.push(...(scratch?.failed ?? []));
  const undos = await attempt(() => tidying.expireUndos({}));
  notes.push(...(undos?.failed ?? []));
  const swept = scratch?.swept ?? [];
  const removed = undos?.removed ?? [];
  setCurrentDetails(
    [
      swept.length === 0 ? 'No scratch was left.' : `Scratch was removed: ${swept.join(', ')}`,
      removed.length === 0
        ? 'No undo has had its time.'
        : `Kept for undos whose time is over, and removed: ${removed.join(', ')}`,
      ...notes.map((note) => `Not yet: ${note.replace(/\s+/g, ' ')}`),
    ].join('\n\n'),
  );
  return { swept, removed };
}
