import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  ChildWorkflowCancellationType,
  getExternalWorkflowHandle,
  log,
  ParentClosePolicy,
  proxyActivities,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import { fail } from './failures.js';
import { type GuardInput, release } from './guard.js';
import { guardWorkflowId, WORKFLOWS } from './names.js';
import * as policies from './policies.js';
import type { RunState } from './run-state.js';

const tidy = proxyActivities<Activities>(policies.tidy);

/**
 * Does `work` while holding the instance: a guard, which outlives this run, holds the lock and has an eye on the
 * services. Whatever happens, the spool is swept and the guard let go at the end.
 *
 * @throws ApplicationFailure `Busy` when another run holds the instance.
 */
export async function guarded<T>(state: RunState, work: () => Promise<T>): Promise<T> {
  const { run } = state;
  await startGuard({ instance: run.instance, token: run.token, workflowId: workflowInfo().workflowId });
  try {
    return await work();
  } finally {
    await CancellationScope.nonCancellable(async () => {
      await tidy.sweepRun({ run }).catch((error: unknown) => {
        log.warn('the spool was not swept; the next run does it', { error: String(error) });
      });
      await getExternalWorkflowHandle(guardWorkflowId(run.instance))
        .signal(release)
        .catch((error: unknown) => {
          log.info('the guard has ended already', { error: String(error) });
        });
    });
  }
}

async function startGuard(input: GuardInput): Promise<void> {
  try {
    await startChild(WORKFLOWS.guard, {
      workflowId: guardWorkflowId(input.instance),
      args: [input],
      parentClosePolicy: ParentClosePolicy.ABANDON,
      cancellationType: ChildWorkflowCancellationType.ABANDON,
      staticSummary: `Holds ${input.instance} for ${input.workflowId}`,
      staticDetails:
        'The lock of the instance. If the run ends without having brought the services back, this does it.',
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw fail(
      'Busy',
      `another run holds ${input.instance}`,
      `see which: permafrost status ${input.instance}; wait for it, or end it safely: permafrost cancel`,
    );
  }
}
