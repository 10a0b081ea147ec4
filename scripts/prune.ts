#!/usr/bin/env node
import type { PruneReport } from '../src/backups/prune-report.js';
import type { Configuration, InstanceConfig } from '../src/config/configuration.js';
import { exitCodeOf, Failure } from '../src/errors.js';
import { planPrune } from '../src/offsite/prune-plan.js';
import { readOffsites } from '../src/offsite/read.js';
import { leavePermitFor } from '../src/records/permits.js';
import { endedRuns } from '../src/records/read-runs.js';
import { beingRead } from '../src/records/readers.js';
import { prunePlanText, pruneReportText, type PruneRow } from '../src/terminal/prune-text.js';
import { pruneWorkflowId, TASK_QUEUE, WORKFLOWS } from '../src/workflows/names.js';
import { PermafrostInstance } from '../src/workflows/search-attributes.js';
import { commaList, someOf } from './cli/backup-choices.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { failureOf, VerbFailed } from './cli/failures.js';
import { followSteps, LEFT } from './cli/follow-steps.js';
import { chooseInstance } from './cli/instance.js';
import { problemLines } from './cli/problems.js';
import { whereToLook, withTemporal } from './cli/temporal.js';
import { askerFor } from './init/ask.js';

interface PruneOptions {
  dryRun?: boolean;
  offsite?: string[];
  yes?: boolean;
}

export function pruneCommand(run: Run) {
  return run
    .command('prune', 'apply retention to the off-sites now; every night does it anyway')
    .argument('[instance]', 'its LOCAL_DOMAIN; may be left out when there is only one')
    .option('--dry-run', 'show what would go and why each other one stays, and remove nothing')
    .option('--offsite <names>', 'on these off-sites alone', commaList)
    .option('--yes', 'do not ask')
    .action(async (name: string | undefined, options: PruneOptions, command) => {
      await prune(run.context(command), name, options);
    });
}

async function prune(context: Context, name: string | undefined, options: PruneOptions): Promise<void> {
  const { out, io } = context;
  const configuration = await context.configuration();
  const instance = chooseInstance(configuration, name);
  const chosen =
    options.offsite === undefined
      ? instance.offsites
      : someOf('--offsite', options.offsite, instance.offsites);
  const offsites = instance.offsites.filter((one) => chosen.includes(one));
  if (options.dryRun === true) return showPlan(context, configuration, instance, offsites);

  if (options.yes !== true) {
    const asker = askerFor(out, false);
    if (asker === undefined)
      throw new Failure('ConfigInvalid', 'nobody can be asked whether backups may be removed', {
        next: 'see what would go with --dry-run; then give --yes',
      });
    const { rows, read, problems } = await planned(configuration, instance, offsites);
    out.complain(...problemLines(problems, out.widthFor(io.stderr)));
    out.say(...prunePlanText(read, rows, out.paintFor(io.stdout), out.widthFor(io.stdout)), '');
    if (rows.every(({ keep }) => keep))
      return out.result(nothingToDo(instance), ['Nothing has to be removed.']);
    if (!(await asker.yesOrNo('Remove what goes?', false)))
      throw new Failure('Refused', 'nothing was removed', { next: 'answer y, or give --yes' });
  }
  await withTemporal(configuration, async (temporal) => {
    const { domain } = instance;
    const permit = await leavePermitFor(configuration, {
      what: 'prune',
      instance: domain,
      choices: offsites,
    });
    const handle = await temporal.client.workflow.start(WORKFLOWS.prune, {
      taskQueue: TASK_QUEUE,
      workflowId: pruneWorkflowId(domain),
      args: [{ instance: domain, offsites, permit }],
      typedSearchAttributes: [{ key: PermafrostInstance, value: domain }],
      staticSummary: `Retention on the off-sites of ${domain} by hand`,
      staticDetails: `- off-sites: ${offsites.join(', ')}`,
    });
    const end = await followSteps<PruneReport>({
      context,
      temporal,
      handle,
      title: `Retention for ${domain}`,
    });
    if (end.end === 'failed') throw end.error;
    if (end.end === 'detached') {
      context.exitWith(LEFT);
      const { workflowId, firstExecutionRunId: runId } = handle;
      return out.result({ instance: domain, status: 'running', workflowId, runId }, [
        `It goes on by itself: ${whereToLook(configuration.temporal, workflowId, runId)}`,
      ]);
    }
    tell(context, end.result);
  });
}

async function showPlan(
  context: Context,
  configuration: Configuration,
  instance: InstanceConfig,
  offsites: readonly string[],
): Promise<void> {
  const { out, io } = context;
  const { rows, read, problems } = await planned(configuration, instance, offsites);
  out.complain(...problemLines(problems, out.widthFor(io.stderr)));
  out.result(rows, prunePlanText(read, rows, out.paintFor(io.stdout), out.widthFor(io.stdout)));
  const [first] = problems;
  if (first !== undefined) context.exitWith(exitCodeOf(first.failure.type));
}

/** What retention would do, as this machine sees it. */
async function planned(
  configuration: Configuration,
  instance: InstanceConfig,
  offsites: readonly string[],
): Promise<{ rows: PruneRow[]; read: string[]; problems: { offsite: string; failure: Failure }[] }> {
  const { state } = configuration;
  const found = await readOffsites(configuration, instance.domain);
  const ended = await endedRuns(state, instance.domain);
  const rows: PruneRow[] = [];
  for (const offsite of offsites) {
    const list = found.lists.get(offsite);
    if (list === undefined) continue;
    const reading = await beingRead(state, offsite);
    const { decisions, leftovers } = planPrune(list, instance, { now: new Date(), reading, ended });
    const sizes = new Map(
      found.copies
        .filter((copy) => copy.offsite === offsite)
        .map(({ stored, manifest }) => [
          stored.backup,
          manifest.parts.reduce((sum, { bytes }) => sum + bytes, 0),
        ]),
    );
    for (const decision of [...decisions, ...leftovers]) {
      const bytes = sizes.get(decision.backup);
      rows.push({ offsite, ...decision, ...(bytes === undefined ? {} : { bytes }) });
    }
  }
  return {
    rows,
    read: offsites.filter((name) => found.lists.has(name)),
    problems: found.problems.filter(({ offsite }) => offsites.includes(offsite)),
  };
}

function nothingToDo({ domain }: InstanceConfig) {
  return { instance: domain, status: 'done', offsites: [] };
}

/** @throws VerbFailed when it was applied to none of the off-sites. */
function tell(context: Context, report: PruneReport): void {
  const { out } = context;
  const failed = report.offsites.flatMap(({ name, error }) => (error === undefined ? [] : [{ name, error }]));
  const [first] = failed;
  if (first !== undefined && report.status === 'failed') {
    const { type, message, next } = first.error;
    const failure = failureOf(new Failure(type as Failure['type'], message, { next }));
    throw new VerbFailed(failure, 'Nothing more was removed; what is left is whole.', { ...report });
  }
  out.complain(
    ...problemLines(
      failed.map(({ name, error }) => ({ offsite: name, failure: error })),
      out.widthFor(out.io.stderr),
      'was left as it is',
    ),
  );
  out.result(report, ['', ...pruneReportText(report)]);
  if (first !== undefined) context.exitWith(first.error.code);
}

if (isMain(import.meta.url)) await runScript(pruneCommand);
