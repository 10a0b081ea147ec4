import {
  CancellationScope,
  isCancellation,
  log,
  patched,
  proxyActivities,
  sleep,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { BackupPlan } from '../backups/report.js';
import { fail, isOfType } from './failures.js';
import { insist } from './insist.js';
import * as policies from './policies.js';
import type { RunState } from './run-state.js';

const standstill = proxyActivities<Activities>(policies.standstill);
const restart = proxyActivities<Activities>(policies.restart);

/**
 * Does `hold` while Mastodon's services stand still: arm, hold, release, prove. They come back whatever happens in it;
 * where nothing has to be stopped, it is just done.
 */
export async function quiesced<T>(state: RunState, plan: BackupPlan, hold: () => Promise<T>): Promise<T> {
  const { run } = state;
  if (plan.services.length === 0) return hold();
  let stopping = false;
  try {
    const armedAtMs = Date.now();
    await standstill.armLease({ run });
    stopping = true;
    state.setServices('stopping');
    state.stoppedAtMs = (await standstill.stopServices({ run })).stoppedAtMs;
    state.setServices('stopped');
    return await withinBudget(plan, () => renewingLease(state, plan, armedAtMs, hold));
  } finally {
    await CancellationScope.nonCancellable(() => (stopping ? callUp(state) : letGo(state)));
  }
}

/** Starts what was running, waits until it is proven to be up, and ends the lease. */
async function callUp(state: RunState): Promise<void> {
  const { run } = state;
  state.setServices('starting');
  await insist(() => restart.startServices({ run }));
  const proven = await insist(() => restart.proveServicesUp({ run }));
  state.healthyAtMs = proven?.healthyAtMs;
  state.setServices('up');
  await letGo(state);
}

async function letGo({ run }: RunState): Promise<void> {
  await insist(() => restart.disarmLease({ run }));
}

/** @throws ApplicationFailure `CommandTimedOut` when the services would stand still for longer than they may. */
async function withinBudget<T>(plan: BackupPlan, hold: () => Promise<T>): Promise<T> {
  const outer = CancellationScope.current();
  try {
    return await CancellationScope.withTimeout(plan.budgetMs, hold);
  } catch (error) {
    if (!isCancellation(error) || outer.consideredCancelled) throw error;
    throw fail(
      'CommandTimedOut',
      `the services stood still for ${String(Math.round(plan.budgetMs / 1000))} s, as long as they may, and the moment was not taken: they were started again`,
      'a longer quiesce.budget, or quiesce.mode brief instead of full',
    );
  }
}

/** Holds the lease for as long as `hold` takes; when it cannot be held, `hold` is given up. */
async function renewingLease<T>(
  { run }: RunState,
  plan: BackupPlan,
  armedAtMs: number,
  hold: () => Promise<T>,
): Promise<T> {
  const renewals = new CancellationScope();
  const renewing = renewals.run(() => renewLease(run, plan.leaseMs, armedAtMs));
  const holding = new CancellationScope();
  const held = holding.run(hold);
  try {
    return await Promise.race([held, renewing]);
  } finally {
    renewals.cancel();
    holding.cancel();
    await Promise.allSettled([held, renewing]);
  }
}

/**
 * Renews the lease again and again. One that cannot be renewed still lasts: a lost connection costs the night only when
 * the services would soon be started under it.
 */
async function renewLease(run: RunState['run'], leaseMs: number, armedAtMs: number): Promise<never> {
  const everyMs = leaseMs / policies.renewalsPerLease;
  for (let lastArmedMs = armedAtMs, waitMs = everyMs; ;) {
    await sleep(waitMs, { summary: 'until the lease is renewed' });
    const beganMs = Date.now();
    try {
      await standstill.armLease({ run });
      [lastArmedMs, waitMs] = [beganMs, everyMs];
    } catch (error) {
      const leftMs = lastArmedMs + leaseMs - Date.now();
      if (isCancellation(error) || isOfType(error, 'LeaseLost') || leftMs < everyMs) throw error;
      if (!patched('a renewal that fails is tried again')) throw error;
      log.warn('the lease could not be renewed yet', { leftMs, error: String(error) });
      waitMs = policies.renewAgainAfterMs;
    }
  }
}
