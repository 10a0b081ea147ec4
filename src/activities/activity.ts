import { AsyncLocalStorage } from 'node:async_hooks';
import { activityInfo, CancelledFailure, Context, heartbeat, log } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { WorkflowNotFoundError } from '@temporalio/client';
import { z } from 'zod';
import type { StepProgress } from '../backups/report.js';
import { exitCodeOf, Failure, isRetryable } from '../errors.js';

/** Milliseconds between heartbeats: several within policies.ts's heartbeat timeout. */
const heartbeatEveryMs = 2_000;

const current = new AsyncLocalStorage<{ details: StepProgress }>();

/**
 * Makes an activity of a function: parses its input, heartbeats for it with the last full details (a heartbeat without
 * details would erase them), and turns a `Failure` into what Temporal records.
 */
export function activity<Input, Output>(
  schema: z.ZodType<Input>,
  run: (input: Input) => Promise<Output>,
): (input: Input) => Promise<Output> {
  return async (input) => {
    const state = { details: { step: activityInfo().activityType } };
    const beat = () => {
      heartbeat(state.details);
    };
    const timer = setInterval(beat, heartbeatEveryMs);
    try {
      beat();
      const parsed = schema.safeParse(input);
      if (!parsed.success) {
        throw new Failure(
          'InvalidInput',
          `${activityInfo().activityType}: ${z.prettifyError(parsed.error).slice(0, 500)}`,
          {
            next: 'start runs with the permafrost command or by its schedules',
          },
        );
      }
      return await current.run(state, () => run(parsed.data));
    } catch (error) {
      throw asTemporalFailure(error);
    } finally {
      clearInterval(timer);
    }
  };
}

/** Tells how far the running activity is: the next heartbeat carries it. */
export function report(progress: Partial<StepProgress>): void {
  const state = current.getStore();
  if (state) state.details = { ...state.details, ...progress };
}

/** As `report`, for what goes on for long: throws when nobody wants it any more, so that it ends there. */
export function tell(progress: Partial<StepProgress>): void {
  cancellation().throwIfAborted();
  report(progress);
}

/** Aborts when the activity is cancelled, its worker shuts down, or its run is gone. */
export function cancellation(): AbortSignal {
  return Context.current().cancellationSignal;
}

/**
 * Whether the activity is over for good, so that what it started must end too: its run was cancelled or is closed. Not
 * so when the worker shuts down or a heartbeat was late: then the next attempt carries on.
 */
export async function isOverForGood(): Promise<boolean> {
  const reason: unknown = cancellation().reason;
  if (!(reason instanceof CancelledFailure)) return false;
  if (/CANCELLED/.test(reason.message)) return true;
  return /NOT_FOUND/.test(reason.message) && !(await isStillWanted());
}

/**
 * Temporal answers in the same words that a run is closed and that this attempt was given up because its heartbeat was
 * late: in the second case the run is open, and waits for this very activity.
 */
async function isStillWanted(): Promise<boolean> {
  const { activityId, workflowExecution } = activityInfo();
  if (workflowExecution === undefined) return false;
  const { workflowId, runId } = workflowExecution;
  try {
    const { client } = Context.current();
    const look = () => client.workflow.getHandle(workflowId, runId).describe();
    // With a signal of its own: what this client does ends with the activity's, which has been given already.
    const { raw } = await client.withAbortSignal(new AbortController().signal, look);
    return raw.pendingActivities?.some((pending) => pending.activityId === activityId) ?? false;
  } catch (error) {
    // Nobody can say it now. What goes on for nothing is swept by the next run.
    return !(error instanceof WorkflowNotFoundError);
  }
}

export async function sleep(ms: number): Promise<void> {
  await Context.current().sleep(ms);
}

function asTemporalFailure(error: unknown): Error {
  if (Context.current().cancellationSignal.aborted) {
    const reason: unknown = Context.current().cancellationSignal.reason;
    if (reason instanceof Error) return reason;
  }
  if (error instanceof CancelledFailure || error instanceof ApplicationFailure) return error;
  if (error instanceof Failure) {
    return ApplicationFailure.create({
      type: error.type,
      message: error.message.slice(0, 2000),
      nonRetryable: !isRetryable(error.type),
      details: [{ next: error.next ?? '', host: error.host ?? '', code: exitCodeOf(error.type) }],
    });
  }
  // A defect: its text may hold anything, so the log on this machine has it and Temporal has its kind.
  log.error('unexpected error', {
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
  });
  const kind = error instanceof Error ? error.name : typeof error;
  return ApplicationFailure.create({
    type: 'Unexpected',
    message: `unexpected ${kind} in ${activityInfo().activityType}`,
    details: [{ next: "the worker's log has the whole error; please report it", host: '', code: 1 }],
  });
}
