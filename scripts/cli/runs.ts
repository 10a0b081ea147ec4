import type { Client } from '@temporalio/client';
import type { BackupProgress } from '../../src/backups/report.js';
import { WORKFLOWS } from '../../src/workflows/names.js';

/** An open run of an instance. */
export interface OpenRun {
  workflowId: string;
  runId: string;
  /** Workflow type. */
  type: string;
  /** What it is at, as far as it tells; null when it does not. */
  phase: string | null;
  /** ISO time at which it was started. */
  since: string;
}

const ANSWER_MS = 3_000;

/** While one of these is open, no other of them works on the instance. */
const holding: readonly string[] = [
  WORKFLOWS.backup,
  WORKFLOWS.copy,
  WORKFLOWS.prune,
  WORKFLOWS.restore,
  WORKFLOWS.undo,
];

const shown = [...holding, WORKFLOWS.drill].map((type) => `'${type}'`).join(', ');

/** Whether a run holds its instance: a drill, which only reads an off-site, does not. */
export function holdsInstance({ type }: Pick<OpenRun, 'type'>): boolean {
  return holding.includes(type);
}

/**
 * The open runs of an instance: those that hold it, then drills; the oldest first. A name is the configuration's, so it is
 * safe in a query.
 */
export async function openRuns(client: Client, domain: string): Promise<OpenRun[]> {
  const query = `PermafrostInstance = '${domain}' AND ExecutionStatus = 'Running' AND WorkflowType IN (${shown})`;
  const runs: OpenRun[] = [];
  for await (const { workflowId, runId, type, startTime } of client.workflow.list({ query })) {
    runs.push({
      workflowId,
      runId,
      type,
      phase: await phaseOf(client, workflowId, runId),
      since: startTime.toISOString(),
    });
  }
  return runs.sort(
    (one, other) =>
      Number(holdsInstance(other)) - Number(holdsInstance(one)) || one.since.localeCompare(other.since),
  );
}

async function phaseOf(client: Client, workflowId: string, runId: string): Promise<string | null> {
  try {
    const progress = await client.withDeadline(Date.now() + ANSWER_MS, () =>
      client.workflow.getHandle(workflowId, runId).query<BackupProgress>('progress'),
    );
    const running = progress.phases.filter((phase) => phase.state === 'running').map((phase) => phase.name);
    return running.length === 0 ? null : running.join(', ');
  } catch {
    return null;
  }
}
