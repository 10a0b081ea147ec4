import type { Client, WorkflowHandle } from '@temporalio/client';
import { decodeArrayFromPayloads } from '@temporalio/common/lib/internal-non-workflow/index.js';
import { z } from 'zod';
import type { BackupProgress, StepProgress } from '../../src/backups/report.js';
import type { RunningStep } from '../../src/terminal/progress.js';
import { plainText } from '../../src/terminal/plain-text.js';
import { TASK_QUEUE } from '../../src/workflows/names.js';

/** How long Temporal or a worker may take for one answer, in milliseconds: shorter than a person's patience. */
const ANSWER_MS = 3_000;

/**
 * A worker's long poll takes up to a minute, and the server remembers who polled for five: a poll that began longer ago
 * than this was that of a worker that is gone (temporal.api.taskqueue.v1.PollerInfo).
 */
const POLL_MS = 70_000;

/** A run that has not begun has two events: started, and a first task that waits for a worker. */
const EVENTS_BEFORE_BEGIN = 2;

const TASK_QUEUE_TYPE_WORKFLOW = 1;

/** What Temporal says of a run at one moment. */
export interface Observation {
  /** A worker took the run up. */
  begun: boolean;
  /** By the server's clock; undefined when it did not answer. */
  startedAt: Date | undefined;
  /** Undefined when no worker answered the question in time. */
  progress: BackupProgress | undefined;
  steps: RunningStep[];
  /** Steps that were tried before, and why they failed. */
  retries: string[];
}

/** Asks a run how far it is. Never throws: what is not answered is missing. */
export async function observe(client: Client, handle: WorkflowHandle): Promise<Observation> {
  const [progress, description] = await Promise.allSettled([
    within(client, () => handle.query<BackupProgress>('progress')),
    within(client, () => handle.describe()),
  ]);
  const seen: Observation = {
    begun: progress.status === 'fulfilled',
    progress: progress.status === 'fulfilled' ? progress.value : undefined,
    startedAt: description.status === 'fulfilled' ? description.value.startTime : undefined,
    steps: [],
    retries: [],
  };
  if (description.status === 'rejected') return seen;
  seen.begun ||= description.value.historyLength > EVENTS_BEFORE_BEGIN;
  for (const activity of description.value.raw.pendingActivities ?? []) {
    const name = activity.activityType?.name ?? 'step';
    const details = await decodeArrayFromPayloads(
      client.options.loadedDataConverter,
      activity.heartbeatDetails?.payloads,
    ).catch(() => []);
    const step = stepProgress(details[0]);
    if (step !== undefined) seen.steps.push({ id: `${activity.activityId ?? name}`, progress: step });
    const attempt = activity.attempt ?? 1;
    if (attempt > 1) {
      const reason = activity.lastFailure?.message;
      seen.retries.push(
        `${name}: attempt ${attempt}${reason === undefined || reason === null ? '' : `, after: ${plainText(reason)}`}`,
      );
    }
  }
  return seen;
}

/**
 * Whether a worker has asked for work of ours since `since`; by default in the time of one poll.
 *
 * A run that has not begun although a worker waited would have been handed to it at once: so for such a run, whoever has
 * not asked since it was started is gone.
 *
 * @throws when Temporal itself does not answer.
 */
export async function workerAnswers(
  client: Client,
  since = new Date(Date.now() - POLL_MS),
): Promise<boolean> {
  const { pollers } = await within(client, () =>
    client.workflowService.describeTaskQueue({
      namespace: client.options.namespace,
      taskQueue: { name: TASK_QUEUE },
      taskQueueType: TASK_QUEUE_TYPE_WORKFLOW,
    }),
  );
  return pollers.some((poller) => Number(poller.lastAccessTime?.seconds ?? 0) * 1000 >= since.getTime());
}

function within<T>(client: Client, request: () => Promise<T>): Promise<T> {
  return client.withDeadline(Date.now() + ANSWER_MS, request);
}

const count = z.number().nonnegative();
const stepSchema = z.object({
  step: z.string(),
  subject: z.string().optional(),
  bytes: count.optional(),
  totalBytes: count.optional(),
  files: count.optional(),
  totalFiles: count.optional(),
});

function stepProgress(details: unknown): StepProgress | undefined {
  const parsed = stepSchema.safeParse(details);
  // Without the keys that are undefined, as exactOptionalPropertyTypes wants it.
  return parsed.success ? (JSON.parse(JSON.stringify(parsed.data)) as StepProgress) : undefined;
}
