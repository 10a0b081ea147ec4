import {
  CancellationScope,
  isCancellation,
  log,
  patched,
  proxyActivities,
  sleep,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { RestoreRequest, UndoRequest } from '../backups/restore-report.js';
import type { ServicesState } from '../backups/report.js';
import { fail, isOfType } from './failures.js';
import { insist } from './insist.js';
import * as policies from './policies.js';
import type { RunState } from './run-state.js';

const standstill = proxyActivities<Activities>(policies.standstill);
const restart = proxyActivities<Activities>(policies.restart);
const trying = proxyActivities<Activities>(policies.tryRestart);

/** A run that has the services stand still, and what it comes to know of that. */
export interface Stilling {
  readonly run: RunState['run'];
  /** Whose services, when it is not the instance's own host. */
  readonly place?: { restore: RestoreRequest } | { undo: UndoRequest };
  /** What did not happen when they stood still for as long as they may; default: the moment of a backup. */
  readonly unfinished?: { readonly what: string; readonly next: string };
  stoppedAtMs: number | undefined;
  healthyAtMs: number | undefined;
  /** What was up when they were first stopped: it has to be so again. */
  before?: { services: readonly string[]; healthy: boolean } | undefined;
  setServices(services: ServicesState): void;
}

/** How long the services were down, milliseconds; 0 when they were not stopped, or are not back. */
export function standstillMs({
  stoppedAtMs,
  healthyAtMs,
}: Pick<Stilling, 'stoppedAtMs' | 'healthyAtMs'>): number {
  return stoppedAtMs === undefined || healthyAtMs === undefined ? 0 : Math.max(0, healthyAtMs - stoppedAtMs); // clocks are set back at times
}

export interface StillingPlan {
  /** Those that run now; nothing has to be stopped when there are none. */
  readonly services: readonly string[];
  readonly leaseMs: number;
  readonly budgetMs: number;
}

/**
 * Does `hold` while Mastodon's services stand still: arm, hold, release, prove. They come back whatever happens in it;
 * where nothing has to be stopped, it is just done.
 *
 * @param options.giveUp when `hold` has changed what they run on: they are not tried for ever on that.
 * @param options.stayDown after a `hold` that came to its end they are not started: nothing is left that they could run on.
 * @throws ApplicationFailure `ServicesDown` with `giveUp`, when they did not come up on what `hold` has left. The lease
 *   is over then.
 */
export async function quiesced<T>(
  state: Stilling,
  plan: StillingPlan,
  hold: () => Promise<T>,
  { giveUp = false, stayDown = false }: { giveUp?: boolean; stayDown?: boolean } = {},
): Promise<T> {
  const step = stepOf(state);
  if (plan.services.length === 0) return hold();
  let stopping = false;
  let held = false;
  try {
    const armedAtMs = Date.now();
    const armed = await standstill.armLease(step);
    state.before ??= upIn(armed);
    stopping = true;
    state.setServices('stopping');
    const { stoppedAtMs } = await standstill.stopServices(step);
    state.stoppedAtMs ??= stoppedAtMs;
    state.setServices('stopped');
    const result = await withinBudget(state, plan, () => renewingLease(state, plan, armedAtMs, hold));
    held = true;
    return result;
  } finally {
    await CancellationScope.nonCancellable(async () => {
      if (!stopping || (held && stayDown)) await letGo(state);
      else if (held && giveUp) await tryUp(state);
      else await callUp(state);
    });
  }
}

/** An older worker has not said whether they were healthy. */
function upIn(armed: { services?: string[]; wasHealthy?: boolean } | null | undefined): Stilling['before'] {
  if (armed?.services === undefined) return undefined;
  return { services: armed.services, healthy: armed.wasHealthy ?? false };
}

/** Starts what was running, waits until it is proven to be up, and ends the lease. */
async function callUp(state: Stilling): Promise<void> {
  const step = stepOf(state);
  state.setServices('starting');
  await insist(() => restart.startServices(step));
  const proven = await insist(() => restart.proveServicesUp(step));
  state.healthyAtMs = proven?.healthyAtMs;
  state.setServices('up');
  await letGo(state);
}

/** The same with an end: what they run on may be the reason why they do not come up. */
async function tryUp(state: Stilling): Promise<void> {
  const step = stepOf(state);
  state.setServices('starting');
  try {
    await trying.startServices(step);
    state.healthyAtMs = (await trying.proveServicesUp(step)).healthyAtMs;
    state.setServices('up');
  } catch (error) {
    // Others look after them, under a lease of their own.
    if (!isOfType(error, 'LeaseLost')) throw error;
    state.setServices('up');
  } finally {
    await letGo(state);
  }
}

async function letGo(state: Stilling): Promise<void> {
  await insist(() => restart.disarmLease(stepOf(state)));
}

function stepOf({ run, place }: Stilling) {
  return { run, ...place };
}

const noMoment = {
  what: 'the moment was not taken',
  next: 'a longer quiesce.budget, or quiesce.mode brief instead of full',
};

/** @throws ApplicationFailure `CommandTimedOut` when the services would stand still for longer than they may. */
async function withinBudget<T>(
  { unfinished = noMoment }: Stilling,
  plan: StillingPlan,
  hold: () => Promise<T>,
): Promise<T> {
  const outer = CancellationScope.current();
  try {
    return await CancellationScope.withTimeout(plan.budgetMs, hold);
  } catch (error) {
    if (!isCancellation(error) || outer.consideredCancelled) throw error;
    throw fail(
      'CommandTimedOut',
      `the services stood still for ${String(Math.round(plan.budgetMs / 1000))} s, as long as they may, and ${unfinished.what}: they were started again`,
      unfinished.next,
    );
  }
}

/** Holds the lease for as long as `hold` takes; when it cannot be held, `hold` is given up. */
async function renewingLease<T>(
  state: Stilling,
  plan: StillingPlan,
  armedAtMs: number,
  hold: () => Promise<T>,
): Promise<T> {
  const renewals = new CancellationScope();
  const renewing = renewals.run(() => renewLease(state, plan.leaseMs, armedAtMs));
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
async function renewLease(state: Stilling, leaseMs: number, armedAtMs: number): Promise<never> {
  const everyMs = leaseMs / policies.renewalsPerLease;
  for (let lastArmedMs = armedAtMs, waitMs = everyMs; ;) {
    await sleep(waitMs, { summary: 'until the lease is renewed' });
    const beganMs = Date.now();
    try {
      await standstill.armLease(stepOf(state));
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
