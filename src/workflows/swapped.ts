import { CancellationScope, isCancellation, log, proxyActivities, sleep } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { FailureReport } from '../backups/report.js';
import type { InPlace } from '../backups/restore-report.js';
import { fail, reportOf } from './failures.js';
import * as policies from './policies.js';
import { quiesced, type Stilling, type StillingPlan } from './quiesced.js';

const starting = proxyActivities<Activities>(policies.tryRestart);

/** What is put in place while the services stand still, and how it is taken back; both are safe to repeat. */
export interface Swap {
  forth: () => Promise<unknown>;
  /** @returns what is in place afterwards: not what was before, when somebody has started the services on it already. */
  back: () => Promise<InPlace>;
}

/**
 * Puts something else in place in one short standstill, so that whatever happens services run on one whole state: the
 * new one only when it is complete and they came up on it, else what was there before.
 *
 * @param options.stayDown as in `quiesced`: where there was no instance before.
 * @throws what went wrong, with the old state in place and the services up.
 */
export async function swapped(
  state: Stilling,
  plan: StillingPlan,
  swap: Swap,
  { stayDown = false }: { stayDown?: boolean } = {},
): Promise<void> {
  let complete = false;
  const takeBack = () => CancellationScope.nonCancellable(() => insistOn(swap.back));
  try {
    await quiesced(
      state,
      plan,
      async () => {
        try {
          await swap.forth();
        } catch (error) {
          if ((await takeBack()) === 'before') throw error;
        }
        complete = true;
      },
      { giveUp: true, stayDown },
    );
  } catch (error) {
    if (!complete) throw error;
    log.error('the services did not come up on what was put in place: it is taken back', {
      error: String(error),
    });
    const inPlace = await CancellationScope.nonCancellable(() => takenBack(state, plan, swap));
    if (inPlace === 'after') return;
    if (isCancellation(error)) throw error;
    throw fail(
      'CommandFailed',
      `the services did not come up on what was put in place, and all is as it was before: ${reportOf(error).message}`,
      'look at what they said then (journalctl), mend it, and try again',
    );
  }
}

/** In another standstill, and until the services are up as they were before the first one: nobody else would see to it. */
async function takenBack(state: Stilling, plan: StillingPlan, swap: Swap): Promise<InPlace> {
  const inPlace = await insistOn(() => quiesced(state, plan, () => insistOn(swap.back)));
  if (inPlace === 'before') {
    const { services, healthy } = state.before ?? { services: plan.services, healthy: false };
    await insistOn(async () => {
      const problem = await callAllUp(state, services, { healthy });
      if (problem !== undefined) throw fail('ServicesDown', problem, 'look at the services on the host');
    });
  }
  return inPlace;
}

/**
 * Starts all that should run, now that everything is in place: what does not come up does not make that undone.
 *
 * @param otherwise what else can be done, in words that go on where the advice ends.
 * @returns what an operator has to see to; undefined when all is up.
 */
export async function calledUp(
  state: Stilling,
  services: readonly string[],
  host: string,
  otherwise = '',
): Promise<FailureReport | undefined> {
  return CancellationScope.nonCancellable(async () => {
    const problem = await callAllUp(state, services).catch((error: unknown) => reportOf(error).message);
    if (problem === undefined) return undefined;
    const next = `look at the services on ${host}, then: permafrost services start ${state.run.instance}${otherwise}`;
    return reportOf(fail('ServicesDown', problem, next));
  });
}

/**
 * Starts what should run and does not: a service that was stopped because things were broken, or that the restore has
 * brought.
 *
 * @param asBefore just these services: what was there is back in place, and so are they.
 * @returns what is still down, or does not answer.
 */
async function callAllUp(
  state: Stilling,
  services: readonly string[],
  asBefore?: { healthy: boolean },
): Promise<string | undefined> {
  state.setServices('starting');
  const { healthyAtMs, problem } = await starting.callAllUp({
    ...{ run: state.run, ...state.place },
    services: [...services],
    ...(asBefore === undefined ? {} : { asBefore }),
  });
  if (asBefore === undefined) state.healthyAtMs ??= healthyAtMs;
  else state.healthyAtMs = healthyAtMs;
  if (problem === undefined) state.setServices('up');
  return problem;
}

/** Until it has worked: half a state is none. What Temporal gives up on, a person may mend meanwhile. */
async function insistOn<T>(step: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await step();
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.error('what was there before could not be put back yet', { error: String(error) });
      await sleep(policies.insistEvery, { summary: 'until it is tried again' });
    }
  }
}
