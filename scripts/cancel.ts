#!/usr/bin/env node
import type { Client, WorkflowHandle } from '@temporalio/client';
import type { BackupProgress } from '../src/backups/report.js';
import type { Configuration, InstanceConfig } from '../src/config/configuration.js';
import { Failure } from '../src/errors.js';
import { ProgressView, servicesText } from '../src/terminal/progress.js';
import { WORKFLOWS } from '../src/workflows/names.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { failureOf, VerbFailed } from './cli/failures.js';
import { follow, type FollowEnd } from './cli/follow.js';
import { chooseInstance } from './cli/instance.js';
import { Interrupts } from './cli/interrupts.js';
import { progressOutput } from './cli/progress-output.js';
import { holdsInstance, openRuns } from './cli/runs.js';
import { withTemporal } from './cli/temporal.js';

/** Exit code after Ctrl-C while waiting: the cancellation was asked for, and goes on. */
const LEFT = 8;

/** The others look after the services, and end by themselves. */
const cancellable: readonly string[] = [
  ...[WORKFLOWS.backup, WORKFLOWS.copy, WORKFLOWS.drill, WORKFLOWS.prune, WORKFLOWS.restore],
  ...[WORKFLOWS.undo, WORKFLOWS.verify],
];

export function cancelCommand(run: Run) {
  return run
    .command('cancel', 'cancel what is running, safely')
    .argument(
      '[run]',
      'a workflow id, a run id, or an instance; may be left out when there is only one instance',
    )
    .action(async (word: string | undefined, _options, command) => {
      await cancel(run.context(command), word);
    });
}

async function cancel(context: Context, word: string | undefined): Promise<void> {
  const configuration = await context.configuration();
  await withTemporal(configuration, async ({ client }) => {
    const handle = await findRun(client, configuration, word);
    const { type, status } = await handle.describe();
    if (status.name !== 'RUNNING') {
      throw new Failure(
        'NotFound',
        `${handle.workflowId} is not open: it is ${status.name.toLowerCase()} already`,
        {
          next: 'permafrost status shows the runs that are open.',
        },
      );
    }
    if (!cancellable.includes(type)) {
      throw new Failure(
        'Refused',
        `${handle.workflowId} is a ${type}: it looks after the services and ends by itself`,
        {
          next: 'Cancel the run that it guards; permafrost status shows it.',
        },
      );
    }
    await handle.cancel();
    const touches = holdsInstance({ type }) ? '; the services come back first' : '';
    context.out.say(`Cancelling ${handle.workflowId}${touches}.`);
    tellEnd(context, handle, await waitForEnd(context, client, handle));
  });
}

/** By workflow id, by run id, or the open run that holds an instance, else its oldest. */
async function findRun(
  client: Client,
  configuration: Configuration,
  word: string | undefined,
): Promise<WorkflowHandle> {
  if (word === undefined || Object.hasOwn(configuration.instances, word.toLowerCase())) {
    return openRunOf(client, chooseInstance(configuration, word));
  }
  if (!/^[0-9a-f-]{36}$/.test(word)) return client.workflow.getHandle(word);
  for await (const { workflowId, runId } of client.workflow.list({ query: `RunId = '${word}'` })) {
    return client.workflow.getHandle(workflowId, runId);
  }
  throw new Failure('NotFound', `Temporal knows no run ${word}`, {
    next: 'permafrost status shows the runs that are open.',
  });
}

async function openRunOf(client: Client, { domain }: InstanceConfig): Promise<WorkflowHandle> {
  const [oldest] = await openRuns(client, domain);
  if (oldest !== undefined) return client.workflow.getHandle(oldest.workflowId, oldest.runId);
  throw new Failure('NotFound', `no run of ${domain} is open`, { next: 'There is nothing to cancel.' });
}

async function waitForEnd(context: Context, client: Client, handle: WorkflowHandle): Promise<FollowEnd> {
  const interrupts = new Interrupts(context.io, context.out);
  const output = progressOutput(context.out, new ProgressView(`Cancelling ${handle.workflowId}`));
  try {
    // Services that are on their way back keep us here: who cancels waits to hear that they are up.
    return await follow({ client, handle, startedAt: new Date(), output, interrupts, leaseMs: Infinity });
  } finally {
    output.leave();
    interrupts.close();
  }
}

function tellEnd(context: Context, handle: WorkflowHandle, end: FollowEnd): void {
  const { workflowId } = handle;
  switch (end.end) {
    case 'report':
      return tellResult(context, workflowId, end.report.status, end.progress);
    case 'failed': {
      const failure = failureOf(end.error);
      if (failure.type === 'Cancelled') return tellResult(context, workflowId, 'cancelled', end.progress);
      throw new VerbFailed(failure, servicesState(end.progress), { workflowId, status: 'failed' });
    }
    case 'unanswered':
      throw new VerbFailed(
        new Failure('TemporalUnreachable', 'no worker answers; the run has not begun', {
          next: 'It ends before its first step when a worker comes (permafrost up).',
        }),
        'Nothing was touched. The cancellation is noted with the run.',
        { workflowId, status: 'cancelling' },
      );
    case 'detached':
    case 'services down':
      context.exitWith(LEFT);
      return context.out.result({ workflowId, status: 'cancelling' }, [
        `${workflowId} is being cancelled; permafrost status shows when it has ended.`,
      ]);
  }
}

function tellResult(
  { out }: Context,
  workflowId: string,
  status: string,
  progress: BackupProgress | undefined,
): void {
  const services = progress?.services ?? 'up';
  const what = status === 'cancelled' ? 'is cancelled' : `had ended before it could be cancelled: ${status}`;
  out.result({ workflowId, status, services }, ['', `${workflowId} ${what}. ${servicesState(progress)}`]);
}

/** A run closes only after its services are back, or were never stopped. */
function servicesState(progress: BackupProgress | undefined): string {
  if (progress === undefined || progress.services === 'up') return 'The services are up.';
  if (progress.services === 'untouched') return 'The services were not touched.';
  return `The services are ${servicesText(progress.services)}; see: permafrost status`;
}

if (isMain(import.meta.url)) await runScript(cancelCommand);
