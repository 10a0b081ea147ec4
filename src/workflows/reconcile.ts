import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import { fail } from './failures.js';
import * as policies from './policies.js';

const restarting = proxyActivities<Activities>({ ...policies.restart, retry: { maximumAttempts: 3 } });

/**
 * The last layer: every five minutes, services that a lease holds down while no run is at work are brought back. It
 * fails, loudly, when that does not work; the next one tries again.
 */
export async function reconcile(): Promise<{ brought: string[] }> {
  const { brought, failed } = await restarting.reconcileServices({});
  if (failed.length > 0) {
    throw fail(
      'ServicesDown',
      `services could not be brought back: ${failed.join('; ')}`,
      'permafrost services start INSTANCE, and see the journal there',
    );
  }
  setCurrentDetails(
    brought.length === 0 ? 'Nothing had to be done.' : `Services were brought back: ${brought.join(', ')}`,
  );
  return { brought };
}
