#!/usr/bin/env node
import { backupIdOf } from '../src/backups/id.js';
import type { BackupRequest } from '../src/backups/report.js';
import type { TemporalClient } from '../src/temporal/connection.js';
import { PermafrostInstance } from '../src/workflows/search-attributes.js';
import { ProgressView } from '../src/terminal/progress.js';
import { backupWorkflowId, TASK_QUEUE, WORKFLOWS } from '../src/workflows/names.js';
import { type StartedRun, tellEnd, tellStarted } from './cli/backup-end.js';
import { backupRequest, type BackupOptions, commaList } from './cli/backup-choices.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { follow, type FollowEnd } from './cli/follow.js';
import { chooseInstance } from './cli/instance.js';
import { Interrupts } from './cli/interrupts.js';
import { progressOutput } from './cli/progress-output.js';
import { whereToLook, withTemporal } from './cli/temporal.js';

export function backupCommand(run: Run) {
  return run
    .command('backup', 'run a backup now and follow it')
    .argument('[instance]', 'its LOCAL_DOMAIN; may be left out when there is only one')
    .option('--quiesce <mode>', 'how the services are held: brief, full or none')
    .option('--only <parts>', 'these parts alone, e.g. database,secrets', commaList)
    .option('--offsite <names>', 'to these off-sites alone', commaList)
    .option('--allow <names>', 'go on although preflight would refuse it, e.g. smaller-database', commaList)
    .option('--dry-run', 'show what would be done, and touch nothing')
    .option('--detach', 'start it, and do not follow it')
    .action(async (name: string | undefined, options: BackupOptions, command) => {
      await backup(run.context(command), name, options);
    });
}

async function backup(context: Context, name: string | undefined, options: BackupOptions): Promise<void> {
  const configuration = await context.configuration();
  const instance = chooseInstance(configuration, name);
  const request = backupRequest(instance, options);
  await withTemporal(configuration, async (temporal) => {
    const handle = await start(temporal, request);
    const run: StartedRun = {
      configuration,
      instance,
      temporal,
      handle,
      workflowId: handle.workflowId,
      runId: handle.firstExecutionRunId,
      address: whereToLook(configuration.temporal, handle.workflowId, handle.firstExecutionRunId),
    };
    if (options.detach === true) return tellStarted(context, run);
    await tellEnd(context, run, await followRun(context, run, request));
  });
}

function start({ client }: TemporalClient, request: BackupRequest) {
  const domain = request.instance;
  const what = request.dryRun === true ? 'Dry run of a backup' : 'Backup';
  return client.workflow.start(WORKFLOWS.backup, {
    taskQueue: TASK_QUEUE,
    workflowId: backupWorkflowId(domain, backupIdOf(new Date())),
    args: [request],
    typedSearchAttributes: [{ key: PermafrostInstance, value: domain }],
    staticSummary: `${what} of ${domain} by hand`,
    staticDetails: detailsOf(request),
  });
}

/** What was asked for, as Temporal's UI shows it beside the run; how far it is stands in its current details. */
function detailsOf({ instance, quiesce, only, offsites, allow }: BackupRequest): string {
  return [
    `- parts: ${only?.join(', ') ?? 'all'}`,
    `- off-sites: ${offsites?.join(', ') ?? 'those of the configuration'}`,
    `- quiesce: ${quiesce ?? 'as in the configuration'}`,
    ...(allow === undefined ? [] : [`- allowed: ${allow.join(', ')}`]),
    '',
    `To end it safely: \`permafrost cancel ${instance}\`; do not terminate it, that skips its clean-up.`,
  ].join('\n');
}

async function followRun(context: Context, run: StartedRun, request: BackupRequest): Promise<FollowEnd> {
  const { domain, quiesce } = run.instance;
  const title = request.dryRun === true ? `Dry run for ${domain}` : `Backup of ${domain}`;
  const interrupts = new Interrupts(context.io, context.out);
  const output = progressOutput(context.out, new ProgressView(title));
  if (context.out.progress.isTTY !== true) output.tell(`${title}: started as ${run.workflowId}`);
  try {
    return await follow({
      client: run.temporal.client,
      handle: run.handle,
      startedAt: new Date(),
      output,
      interrupts,
      leaseMs: quiesce.leaseMs,
    });
  } finally {
    output.leave();
    interrupts.close();
  }
}

if (isMain(import.meta.url)) await runScript(backupCommand);
