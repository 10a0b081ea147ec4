import type { WorkflowHandle } from '@temporalio/client';
import type { BackupProgress } from '../../src/backups/report.js';
import { Failure } from '../../src/errors.js';
import type { TemporalClient } from '../../src/temporal/connection.js';
import { formatDuration } from '../../src/terminal/format.js';
import { ProgressView } from '../../src/terminal/progress.js';
import type { Context } from './command.js';
import { VerbFailed } from './failures.js';
import { follow } from './follow.js';
import { Interrupts } from './interrupts.js';
import { progressOutput } from './progress-output.js';

/** Exit code after Ctrl-C while following: the run goes on by itself. */
export const LEFT = 8;

/** How following a run ended; a run that somebody detached from goes on. */
export type StepsEnd<Result> =
  | { end: 'result'; result: Result }
  | { end: 'failed'; error: unknown; progress: BackupProgress | undefined }
  | { end: 'detached' };

/**
 * Follows a run that is no backup (a verify, a drill, a restore) and answers the query `progress`.
 *
 * @param given.leaseMs of a run that stops services; others have none.
 * @throws VerbFailed `TemporalUnreachable` when no worker takes the run up: it is cancelled, so that it does not begin
 *   later; `ServicesDown` when services have been on their way back for longer than the lease: the run goes on trying.
 */
export async function followSteps<Result = unknown>({
  context,
  temporal,
  handle,
  title,
  leaseMs = Infinity,
}: {
  context: Context;
  temporal: Pick<TemporalClient, 'client'>;
  handle: WorkflowHandle;
  title: string;
  leaseMs?: number;
}): Promise<StepsEnd<Result>> {
  const { io, out } = context;
  const interrupts = new Interrupts(io, out);
  const output = progressOutput(out, new ProgressView(title));
  if (out.progress.isTTY !== true) output.tell(`${title}: started as ${handle.workflowId}`);
  try {
    const { client } = temporal;
    const startedAt = new Date();
    const end = await follow<Result>({ client, handle, startedAt, output, interrupts, leaseMs });
    switch (end.end) {
      case 'report':
        return { end: 'result', result: end.report };
      case 'failed':
        return { end: 'failed', error: end.error, progress: end.progress };
      case 'services down':
        throw stillDown(handle, end.forMs);
      case 'unanswered':
        throw await takenBack(handle);
      default:
        return { end: 'detached' };
    }
  } finally {
    output.leave();
    interrupts.close();
  }
}

async function takenBack(handle: WorkflowHandle): Promise<VerbFailed> {
  await handle.cancel();
  const failure = new Failure('TemporalUnreachable', 'no worker answers, so the run has not begun', {
    next: 'Start one (permafrost up, or permafrost worker) and try again.',
  });
  const state = 'Nothing was touched. The run was cancelled, so that it does not begin later.';
  return new VerbFailed(failure, state, { workflowId: handle.workflowId });
}

function stillDown({ workflowId }: WorkflowHandle, forMs: number): VerbFailed {
  const failure = new Failure(
    'ServicesDown',
    `the services do not come back: they have been tried for ${formatDuration(forMs)}`,
    {
      next: 'Look at the services on the host (systemctl status, journalctl), then: permafrost services start',
    },
  );
  return new VerbFailed(failure, 'The instance may be down. The run goes on trying.', {
    workflowId,
    status: 'failed',
  });
}
