#!/usr/bin/env node
import type { CopyReport, CopyRequest } from '../src/backups/copy-report.js';
import { Failure } from '../src/errors.js';
import type { TemporalClient } from '../src/temporal/connection.js';
import { copyText } from '../src/terminal/copy-text.js';
import { copyWorkflowId, TASK_QUEUE, WORKFLOWS } from '../src/workflows/names.js';
import { PermafrostInstance } from '../src/workflows/search-attributes.js';
import { oneOf } from './cli/backup-choices.js';
import { backupAndInstance } from './cli/backup-word.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { followSteps, LEFT } from './cli/follow-steps.js';
import { whereToLook, withTemporal } from './cli/temporal.js';

interface CopyOptions {
  from: string;
  to: string;
  detach?: boolean;
}

export function copyCommand(run: Run) {
  return run
    .command('copy', 'bring a sealed backup from one off-site to another, of any kind')
    .usage('[options] [instance] [backup]')
    .argument('[words...]', 'a backup: its id, a unique prefix of it, or latest (the default)')
    .requiredOption('--from <name>', 'the off-site that has it')
    .requiredOption('--to <name>', 'the off-site that is to get it')
    .option('--detach', 'start it, and do not follow it')
    .action(async (words: string[], options: CopyOptions, command) => {
      await copy(run.context(command), words, options);
    });
}

async function copy(context: Context, words: readonly string[], options: CopyOptions): Promise<void> {
  const { out, io } = context;
  const configuration = await context.configuration();
  const { instance, backup } = backupAndInstance(configuration, words);
  const names = Object.keys(configuration.offsites);
  const { domain } = instance;
  const request: CopyRequest = {
    ...{ instance: domain, backup },
    from: oneOf('--from', options.from, names),
    to: oneOf('--to', options.to, names),
  };
  if (request.from === request.to)
    throw new Failure('ConfigInvalid', `--from and --to are both ${request.to}`, {
      next: 'Name two off-sites.',
    });
  await withTemporal(configuration, async (temporal) => {
    const handle = await start(temporal, request);
    const { workflowId, firstExecutionRunId: runId } = handle;
    const running = { instance: domain, status: 'running', workflowId, runId };
    const address = whereToLook(configuration.temporal, workflowId, runId);
    if (options.detach === true) return out.result(running, [`Started: ${address}`]);
    const title = `Copy for ${domain} from ${request.from} to ${request.to}`;
    const end = await followSteps<CopyReport>({ context, temporal, handle, title });
    if (end.end === 'failed') throw end.error;
    if (end.end === 'detached') {
      context.exitWith(LEFT);
      return out.result(running, [`It goes on by itself: ${address}`]);
    }
    out.result(end.result, ['', ...copyText(end.result, out.paintFor(io.stdout), out.widthFor(io.stdout))]);
  });
}

function start({ client }: TemporalClient, request: CopyRequest) {
  const { instance, backup, from, to } = request;
  return client.workflow.start(WORKFLOWS.copy, {
    taskQueue: TASK_QUEUE,
    workflowId: copyWorkflowId(instance),
    args: [request],
    typedSearchAttributes: [{ key: PermafrostInstance, value: instance }],
    staticSummary: `Copies ${backup === 'latest' ? 'the latest backup' : backup} of ${instance} from ${from} to ${to}`,
    staticDetails: [
      `- backup: ${backup}`,
      `- from: ${from}`,
      `- to: ${to}`,
      '',
      `To end it safely: \`permafrost cancel ${instance}\`.`,
    ].join('\n'),
  });
}

if (isMain(import.meta.url)) await runScript(copyCommand);
