import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  ChildWorkflowCancellationType,
  type ChildWorkflowHandle,
  log,
  ParentClosePolicy,
  proxyActivities,
  sleep,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import { fail, reportOf } from './failures.js';
import { type guard, type GuardInput, release } from './guard.js';
import { guardWorkflowId, WORKFLOWS } from './names.js';
import * as policies from './policies.js';
import type { RunState } from './run-state.js';

const tidy = proxyActivities<Activities>(policies.tidy);

/**
 * Does `work` while holding the instance, and leaves nothing of the run on the host: whatever happens, the spool is swept
 * at the end.
 *
 * @throws ApplicationFailure `Busy` when another run holds the instance.
 */
export async function guarded<T>(state: RunState, work: () => Promise<T>): Promise<T> {
  const { run } = state;
  return holding(run, async () => {
    try {
      return await work();
    } finally {
      await CancellationScope.nonCancellable(() =>
        tidy.sweepRun({ run }).catch((error: unknown) => {
          log.warn('the spool was not swept; the next run does it', { error: String(error) });
          const { message } = reportOf(error);
          state.warnings.push(
            `What the run kept on the host (a copy of the database, secrets, keys) could not be removed; the next run does it: ${message}`,
          );
          state.show();
        }),
      );
    }
  });
}

/**
 * Does `work` while holding the instance: a guard, which outlives this run, holds the lock and has an eye on the
 * services. Whatever happens, the guard is let go at the end.
 *
 * @throws ApplicationFailure `Busy` when another run holds the instance.
 */
export async function holding<T>(run: RunState['run'], work: () => Promise<T>): Promise<T> {
  const guard = await startGuard({
    ...{ instance: run.instance, token: run.token },
    workflowId: workflowInfo().workflowId,
  });
  try {
    return await work();
  } finally {
    await CancellationScope.nonCancellable(async () => {
      // Until the guard has ended, the next run would find the instance busy.
      await letGo(guard).catch((error: unknown) => {
        log.info('the guard has ended by itself', { error: String(error) });
      });
    });
  }
}

async function letGo(guard: Guard): Promise<void> {
  await guard.signal(release);
  await Promise.race([guard.result(), sleep(policies.guardFarewell)]);
}

type Guard = ChildWorkflowHandle<typeof guard>;

async function startGuard(input: GuardInput): Promise<Guard> {
  try {
    // Not cancelled with the run, or a cancelled run could not wait for the guard's end.
    return await CancellationScope.nonCancellable(() =>
      startChild<typeof guard>(WORKFLOWS.guard, {
        workflowId: guardWorkflowId(input.instance),
        args: [input],
        parentClosePolicy: ParentClosePolicy.ABANDON,
        cancellationType: ChildWorkflowCancellationType.ABANDON,
        staticSummary: `Holds ${input.instance} for ${input.workflowId}`,
        staticDetails:
          'The lock of the instance. If the run ends without having brought the services back, this does it.',
      }),
    );
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw fail(
      'Busy',
      `another run holds ${input.instance}`,
      `see which: permafrost status ${input.instance}; wait for it, or end it safely: permafrost cancel`,
    );
  }
}
