import type { Client, WorkflowHandle } from '@temporalio/client';
import type { BackupProgress, BackupReport } from '../../src/backups/report.js';
import { formatDuration } from '../../src/terminal/format.js';
import type { Interrupts } from './interrupts.js';
import type { ProgressOutput } from './progress-output.js';
import { observe, workerAnswers } from './watch-run.js';

/** How often a run is asked how far it is. */
const ASK_EVERY_MS = 500;

/** How long a run may wait for a worker before somebody is told. */
const UNANSWERED_MS = 10_000;

/** Services come back within seconds; from here on somebody should know that they have not. */
const SLOW_START_MS = 60_000;

export interface Followed {
  client: Client;
  handle: WorkflowHandle;
  startedAt: Date;
  output: ProgressOutput;
  interrupts: Interrupts;
  /** How long services may be on their way back before that is an emergency: the lease. */
  leaseMs: number;
}

/** How following ended; except for the first two, the run goes on. */
export type FollowEnd<Report = BackupReport> =
  | { end: 'report'; report: Report; progress: BackupProgress | undefined }
  | { end: 'failed'; error: unknown; progress: BackupProgress | undefined }
  | { end: 'detached' }
  /** No worker has taken the run up. */
  | { end: 'unanswered' }
  | { end: 'services down'; forMs: number; progress: BackupProgress | undefined };

/**
 * Follows a run to its end, showing how far it is; a person may detach from it or cancel it. Any workflow that answers the
 * query `progress` can be followed.
 */
export async function follow<Report = BackupReport>(run: Followed): Promise<FollowEnd<Report>> {
  const state = new FollowState();
  const closed: { end?: FollowEnd<Report> } = {};
  const result = run.handle.result().then(
    (report: Report) => void (closed.end = { end: 'report', report, progress: state.progress }),
    (error: unknown) => void (closed.end = { end: 'failed', error, progress: state.progress }),
  );
  for (;;) {
    await Promise.race([result, run.interrupts.wait(state.asked ? ASK_EVERY_MS : 0)]);
    if (closed.end !== undefined) return finished(run, state, closed.end);
    const wish = await run.interrupts.look(() => run.output.leave());
    if (wish === 'detach') return { end: 'detached' };
    if (wish === 'cancel') {
      await run.handle.cancel();
      state.cancelling = true;
    }
    await look(run, state);
    if (closed.end !== undefined) return finished(run, state, closed.end);
    run.output.show(snapshot(run, state));
    if (await nobodyWorks(run, state)) return { end: 'unanswered' };
    const startingMs = state.startingSince === undefined ? 0 : Date.now() - state.startingSince;
    if (startingMs > run.leaseMs)
      return { end: 'services down', forMs: startingMs, progress: state.progress };
  }
}

/** What is known of the run so far. */
class FollowState {
  asked = false;
  begun = false;
  startedAt: Date | undefined;
  cancelling = false;
  progress: BackupProgress | undefined;
  answeredAt = Date.now();
  startingSince: number | undefined;
  steps: Awaited<ReturnType<typeof observe>>['steps'] = [];
  retries: string[] = [];
}

async function look({ client, handle }: Followed, state: FollowState): Promise<void> {
  const seen = await observe(client, handle);
  state.asked = true;
  state.begun ||= seen.begun;
  state.startedAt = seen.startedAt ?? state.startedAt;
  state.steps = seen.steps;
  state.retries = seen.retries;
  if (seen.progress === undefined) return;
  state.progress = seen.progress;
  state.answeredAt = Date.now();
  state.startingSince =
    seen.progress.services === 'starting' ? (state.startingSince ?? Date.now()) : undefined;
}

/** Before a run has begun: whether it has waited long enough to say that no worker will take it up. */
async function nobodyWorks(run: Followed, state: FollowState): Promise<boolean> {
  if (state.begun || Date.now() - run.startedAt.getTime() < UNANSWERED_MS) return false;
  return !(await workerAnswers(run.client, state.startedAt ?? run.startedAt).catch(() => true));
}

function snapshot(run: Followed, state: FollowState) {
  const notes: string[] = [];
  const silentMs = Date.now() - state.answeredAt;
  if (state.begun && silentMs > UNANSWERED_MS) {
    notes.push(
      `no worker answers for ${formatDuration(silentMs)}: the run goes on when one is back (permafrost up)`,
    );
  }
  if (state.cancelling) {
    const touched = state.progress?.services !== 'untouched';
    notes.push(touched ? 'being cancelled: the services come back first' : 'being cancelled');
  }
  const startingMs = state.startingSince === undefined ? 0 : Date.now() - state.startingSince;
  if (startingMs > SLOW_START_MS) {
    notes.push(
      `THE SERVICES ARE NOT BACK after ${formatDuration(startingMs)}; they are tried again and again`,
    );
  }
  notes.push(...state.retries);
  return { now: new Date(), progress: state.progress, steps: state.steps, startedAt: run.startedAt, notes };
}

/** The last picture is the run's true end, not the last answer before it: a closed run still answers. */
async function finished<Report>(
  run: Followed,
  state: FollowState,
  end: FollowEnd<Report>,
): Promise<FollowEnd<Report>> {
  await look(run, state);
  state.cancelling = false;
  if (state.progress !== undefined) run.output.show(snapshot(run, state));
  run.output.leave();
  return end.end === 'report' || end.end === 'failed' ? { ...end, progress: state.progress } : end;
}
