import { log, sleep } from '@temporalio/workflow';
import { isOfType } from './failures.js';
import { insistEvery } from './policies.js';

/**
 * Does a step of calling services up until it has worked. Temporal retries what may pass by itself; what it gives up
 * on (a broken configuration, a changed host key) is tried again here, since a person may mend it meanwhile.
 *
 * A lease that is another's says that others look after the services now: then there is nothing left to do.
 */
export async function insist<T>(step: () => Promise<T>): Promise<T | undefined> {
  for (;;) {
    try {
      return await step();
    } catch (error) {
      if (isOfType(error, 'LeaseLost')) return undefined;
      log.error('the services could not be brought back yet', { error: String(error) });
      await sleep(insistEvery, { summary: 'until the services are tried again' });
    }
  }
}
