import { proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import * as policies from './policies.js';

const restarting = proxyActivities<Activities>({ ...policies.restart, retry: { maximumAttempts: 20 } });

/** For operators who have nothing but Temporal's UI at hand: brings back what a lease holds down. */
export async function startServices(request: { instance: string }): Promise<{ brought: boolean }> {
  const { brought } = await restarting.bringServicesBack(request);
  return { brought };
}
