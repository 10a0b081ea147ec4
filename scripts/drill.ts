#!/usr/bin/env node
import { Option } from 'commander';
import { type DrillDepth, drillDepths } from '../src/backups/check.js';
import type { DrillReport, DrillRequest } from '../src/backups/drill-report.js';
import type { Failure } from '../src/errors.js';
import type { TemporalClient } from '../src/temporal/connection.js';
import { drillText } from '../src/terminal/drill-text.js';
import { drillWorkflowId, TASK_QUEUE, WORKFLOWS } from '../src/workflows/names.js';
import { PermafrostInstance } from '../src/workflows/search-attributes.js';
import { oneOf } from './cli/backup-choices.js';
import { backupAndInstance } from './cli/backup-word.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { failureOf, reportIn, VerbFailed } from './cli/failures.js';
import { followSteps, LEFT } from './cli/follow-steps.js';
import { whereToLook, withTemporal } from './cli/temporal.js';

interface DrillOptions {
  from?: string;
  depth?: string;
  detach?: boolean;
}

export function drillCommand(run: Run) {
  return run
    .command('drill', 'restore a backup into a scratch place and prove that it is the instance')
    .usage('[options] [instance] [backup]')
    .argument('[words...]', 'a backup: its id, a unique prefix of it, or latest (the default)')
    .option('--from <name>', 'from this off-site; else from the one that was not drilled for longest')
    .addOption(depthOption())
    .option('--detach', 'start it and return')
    .action(async (words: string[], options: DrillOptions, command) => {
      await drill(run.context(command), words, options);
    });
}

/** Its words are completed by Tab; what is none of them is answered by us, with what was probably meant. */
function depthOption(): Option {
  const option = new Option('--depth <depth>', 'how much is proven; else as the configuration says');
  option.argChoices = [...drillDepths];
  return option;
}

async function drill(context: Context, words: readonly string[], options: DrillOptions): Promise<void> {
  const configuration = await context.configuration();
  const { instance, backup } = backupAndInstance(configuration, words);
  const { domain } = instance;
  const request: DrillRequest = {
    ...{ instance: domain, backup },
    ...(options.from === undefined ? {} : { from: oneOf('--from', options.from, instance.offsites) }),
    ...(options.depth === undefined
      ? {}
      : { depth: oneOf<DrillDepth>('--depth', options.depth, drillDepths) }),
  };
  await withTemporal(configuration, async (temporal) => {
    const handle = await start(temporal, request);
    const { workflowId, firstExecutionRunId: runId } = handle;
    const left = () => {
      context.out.result({ instance: domain, status: 'running', workflowId, runId }, [
        `It goes on by itself: ${whereToLook(configuration.temporal, workflowId, runId)}`,
      ]);
    };
    if (options.detach === true) return left();
    const title = `Drill for ${domain}`;
    const end = await followSteps<DrillReport>({ context, temporal, handle, title });
    if (end.end === 'detached') {
      context.exitWith(LEFT);
      return left();
    }
    if (end.end === 'result') return tell(context, end.result);
    const report = reportIn(end.error) as DrillReport | undefined;
    if (report === undefined) throw end.error;
    tellFailed(context, report, failureOf(end.error));
  });
}

async function start({ client }: TemporalClient, request: DrillRequest) {
  const { instance, backup, from, depth } = request;
  return client.workflow.start(WORKFLOWS.drill, {
    taskQueue: TASK_QUEUE,
    workflowId: drillWorkflowId(instance),
    args: [request],
    typedSearchAttributes: [{ key: PermafrostInstance, value: instance }],
    staticSummary: `Restores ${backup === 'latest' ? 'the latest backup' : (backup ?? '')} of ${instance} in a scratch place`,
    staticDetails: [
      `- backup: ${backup ?? 'latest'}`,
      `- from: ${from ?? 'the off-site that was not drilled for longest'}`,
      `- depth: ${depth ?? 'as the configuration says'}`,
    ].join('\n'),
  });
}

function tell({ out, io }: Context, report: DrillReport, next?: string): void {
  out.result(report, ['', ...drillText(report, out.paintFor(io.stdout), out.widthFor(io.stdout), next)]);
}

/** Findings are a result, told as one; what failed otherwise is a failure, with what was seen until then. */
function tellFailed(context: Context, report: DrillReport, failure: Failure): void {
  if (report.status !== 'findings') {
    throw new VerbFailed(failure, stateAfter(report), { ...report });
  }
  tell(context, report, failure.next);
  context.exitWith(6);
}

/** How things stand after a drill that failed. */
export function stateAfter({ scratchLeft = false, host }: DrillReport): string {
  return scratchLeft
    ? `No server was touched. What was restored on ${host} could not be removed: it goes by itself within the hour.`
    : 'Nothing of it is left on the drill host, and no server was touched.';
}

if (isMain(import.meta.url)) await runScript(drillCommand);
