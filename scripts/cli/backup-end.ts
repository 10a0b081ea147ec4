import type { WorkflowHandle } from '@temporalio/client';
import type { BackupProgress, BackupReport } from '../../src/backups/report.js';
import type { Configuration, InstanceConfig } from '../../src/config/configuration.js';
import { exitCodeOf, Failure, isFailureType } from '../../src/errors.js';
import type { TemporalClient } from '../../src/temporal/connection.js';
import { planText, reportText } from '../../src/terminal/backup-report.js';
import { formatDuration, formatFields } from '../../src/terminal/format.js';
import { servicesText } from '../../src/terminal/progress.js';
import type { Context } from './command.js';
import { failureOf, reportIn, VerbFailed } from './failures.js';
import type { FollowEnd } from './follow.js';
import { holdsInstance, openRuns } from './runs.js';
import { workerAnswers } from './watch-run.js';

/** Exit code after Ctrl-C while following: the run goes on, and nobody here knows how it will end. */
const LEFT = 8;

/** A backup that this command has started. */
export interface StartedRun {
  configuration: Configuration;
  instance: InstanceConfig;
  temporal: TemporalClient;
  handle: WorkflowHandle;
  workflowId: string;
  runId: string;
  /** Where it can be looked at. */
  address: string;
}

/** Tells how a followed run ended. @throws VerbFailed for every end that is not a backup, a plan, or a detachment. */
export async function tellEnd(context: Context, run: StartedRun, end: FollowEnd): Promise<void> {
  switch (end.end) {
    case 'report':
      return tellReport(context, run, end.report, end.progress);
    case 'failed':
      throw await failed(run, end.error, end.progress);
    case 'detached':
      context.exitWith(LEFT);
      return tellStarted(context, run);
    case 'unanswered':
      throw await takenBack(run);
    case 'services down':
      throw servicesDown(run, end.forMs, end.progress);
  }
}

/** The ids of a run that goes on by itself, and how to follow it. */
export async function tellStarted({ out }: Context, run: StartedRun): Promise<void> {
  const { domain } = run.instance;
  const worked = await workerAnswers(run.temporal.client).catch(() => true);
  const fields: [string, string][] = [
    ['workflow', run.workflowId],
    ['run', run.runId],
    ['look at it', run.address],
    ['or', `permafrost status ${domain}`],
    ['end it', `permafrost cancel ${run.workflowId}`],
  ];
  const waits = worked
    ? []
    : ['', '  No worker answers at the moment: the run waits for one (permafrost up).'];
  const document = { instance: domain, status: 'running', workflowId: run.workflowId, runId: run.runId };
  out.result(document, [`The backup of ${domain} goes on by itself.`, '', ...formatFields(fields), ...waits]);
}

function tellReport(
  context: Context,
  run: StartedRun,
  report: BackupReport,
  progress: BackupProgress | undefined,
): void {
  const { out } = context;
  const paint = out.paintFor(context.io.stdout);
  const width = out.widthFor(context.io.stdout);
  if (report.status === 'planned' && report.plan !== undefined) {
    return out.result(report, ['', ...planText(report.plan, paint, width)]);
  }
  if (report.error !== undefined && report.status !== 'sealed' && report.status !== 'partial') {
    const { type, message, next } = report.error;
    const failure = new Failure(isFailureType(type) ? type : 'Unexpected', message, { next });
    throw new VerbFailed(failure, stateOf(progress), { ...report });
  }
  out.result(report, ['', ...reportText(report, paint, { address: run.address, width })]);
  if (report.status === 'partial') context.exitWith(exitCodeOf('Partial'));
  else if (report.status === 'cancelled') context.exitWith(exitCodeOf('Cancelled'));
  else if (report.status !== 'sealed') context.exitWith(exitCodeOf('Unexpected'));
}

async function failed(
  run: StartedRun,
  error: unknown,
  progress: BackupProgress | undefined,
): Promise<VerbFailed> {
  const failure = await withHolder(run, failureOf(error));
  const state = failure.type === 'Busy' ? undefined : stateOf(progress);
  const status = failure.type === 'Cancelled' ? 'cancelled' : 'failed';
  return new VerbFailed(failure, state, { ...fieldsOf(run, status, progress), ...reportIn(error) });
}

/** Who holds the instance, when it is busy. */
async function withHolder(run: StartedRun, failure: Failure): Promise<Failure> {
  if (failure.type !== 'Busy') return failure;
  const { domain } = run.instance;
  const others = (await openRuns(run.temporal.client, domain).catch(() => [])).filter(
    (other) => holdsInstance(other) && other.workflowId !== run.workflowId,
  );
  const holder = others[0];
  if (holder === undefined) return failure;
  const phase = holder.phase === null ? '' : `, at ${holder.phase}`;
  return new Failure('Busy', `${holder.workflowId} holds ${domain} (since ${holder.since}${phase})`, {
    next: `Wait until it has ended (permafrost status ${domain}), or end it: permafrost cancel ${holder.workflowId}`,
    cause: failure,
  });
}

/**
 * A run that no worker has taken up is cancelled: nobody wants services to be stopped at some later time. Temporal keeps
 * the request, so that the run ends before its first step whenever a worker comes.
 */
async function takenBack(run: StartedRun): Promise<VerbFailed> {
  await run.handle.cancel();
  const failure = new Failure('TemporalUnreachable', 'no worker answers, so the run has not begun', {
    next: 'Start one (permafrost up, or permafrost worker) and try again. To leave the run waiting for a worker: --detach',
  });
  return new VerbFailed(
    failure,
    'Nothing was touched. The run was cancelled, so that it does not begin later.',
    fieldsOf(run, 'cancelled', undefined),
  );
}

function servicesDown(run: StartedRun, forMs: number, progress: BackupProgress | undefined): VerbFailed {
  const { domain, host } = run.instance;
  const where = host.kind === 'local' ? 'local' : `${host.user}@${host.address}`;
  const failure = new Failure(
    'ServicesDown',
    `the services of ${domain} do not come back: they have been tried for ${formatDuration(forMs)}`,
    {
      host: where,
      next: `Look at the services on the host (systemctl status, journalctl), then: permafrost services start ${domain}`,
    },
  );
  const state = `${domain} may be down. The run goes on trying: ${run.address}`;
  return new VerbFailed(failure, state, fieldsOf(run, 'failed', progress));
}

function stateOf(progress: BackupProgress | undefined): string | undefined {
  if (progress === undefined) return undefined;
  if (progress.services === 'untouched') return 'The services were not touched.';
  if (progress.services === 'up') return 'The services are up.';
  return `The services are ${servicesText(progress.services)}; the guard and the lease bring them back.`;
}

/** What a script may want to know of a run that did not become a backup, beside the error. */
function fieldsOf(run: StartedRun, status: 'failed' | 'cancelled', progress: BackupProgress | undefined) {
  return {
    ...(progress === undefined ? {} : { backup: progress.backup }),
    instance: run.instance.domain,
    status,
    workflowId: run.workflowId,
    runId: run.runId,
    ...(progress === undefined ? {} : { services: progress.services }),
  };
}
