#!/usr/bin/env node
import { Option } from 'commander';
import {
  afterwards,
  restoreAllowances,
  restoreChoices,
  type RestoreReport,
} from '../src/backups/restore-report.js';
import { partNames, type PartName } from '../src/backups/parts.js';
import type { Configuration, InstanceConfig } from '../src/config/configuration.js';
import { Failure } from '../src/errors.js';
import { leavePermitFor } from '../src/records/permits.js';
import type { TemporalClient } from '../src/temporal/connection.js';
import { restoredText, restorePlanText } from '../src/terminal/restore-text.js';
import { restoreWorkflowId, TASK_QUEUE, WORKFLOWS } from '../src/workflows/names.js';
import { PermafrostInstance } from '../src/workflows/search-attributes.js';
import { commaList, oneOf, someOf } from './cli/backup-choices.js';
import { backupAndInstance } from './cli/backup-word.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { followSteps, LEFT } from './cli/follow-steps.js';
import { type ChosenRestore, chooseRestore, isFolder, type RestoreOptions } from './cli/restore-choices.js';
import { endedBadly, servicesNotUp } from './cli/restore-end.js';
import { whereToLook, withTemporal } from './cli/temporal.js';
import { type Asker, askerFor } from './init/ask.js';
import { restoreToFolder } from './restore-to-folder.js';

export function restoreCommand(run: Run) {
  return run
    .command('restore', 'get an instance back: on its own host, on an empty one, or into a folder')
    .usage('[options] [instance] [backup]')
    .argument('[words...]', 'a backup: its id, a unique prefix of it, or latest (the default)')
    .option('--plan', 'show what would happen, and touch nothing')
    .option('--yes', 'do not ask')
    .option('--from <name>', 'from this off-site; else from the nearest one that has it')
    .option('--parts <parts>', 'these parts alone; else database,secrets,media', commaList)
    .option('--to <place>', "local, USER@HOST or a folder; else the instance's own host")
    .option('--identity-file <file>', 'with --to USER@HOST: the SSH key')
    .option('--known-hosts <file>', "with --to USER@HOST: the hosts' keys; else ~/.ssh/known_hosts")
    .option('--port <port>', 'with --to USER@HOST: of SSH; else 22')
    .option('--sudo', 'with --to USER@HOST: use sudo there')
    .addOption(known('--allow <names>', 'go on although the plan would refuse it', restoreAllowances))
    .addOption(
      known('--run <names>', 'at the end, run these commands of Mastodon; or all', [...afterwards, 'all']),
    )
    .option('--format <format>', 'with --to FOLDER: of the database, custom (the default) or plain')
    .option('--detach', 'start it and return')
    .action(async (words: string[], options: RestoreOptions, command) => {
      await restore(run.context(command), words, options);
    });
}

/** Its words are completed by Tab, and answered by us when they are none. */
function known(flags: string, description: string, names: readonly string[]): Option {
  const option = new Option(flags, description).argParser(commaList);
  option.argChoices = [...names];
  return option;
}

async function restore(context: Context, words: readonly string[], options: RestoreOptions): Promise<void> {
  const configuration = await context.configuration();
  const { instance, backup } = backupAndInstance(configuration, words);
  if (isFolder(options.to)) return toFolder(context, configuration, instance, backup, options.to, options);
  const asker = options.plan === true ? undefined : askerFor(context.out, options.yes === true);
  if (options.plan !== true && options.yes !== true && asker === undefined) {
    throw new Failure('ConfigInvalid', 'nobody can be asked whether the instance may be replaced', {
      next: 'see what would happen with --plan; then give --yes',
    });
  }
  const chosen = await chooseRestore(configuration, instance, backup, options);
  await withTemporal(configuration, async (temporal) => {
    const run = { context, configuration, instance, temporal };
    if (asker !== undefined) await confirmed(run, chosen, asker);
    await start(run, chosen, options.detach === true && options.plan !== true);
  });
}

interface Started {
  context: Context;
  configuration: Configuration;
  instance: InstanceConfig;
  temporal: TemporalClient;
}

/** Shows the plan, and has the domain typed. @throws Failure `Refused` for anything else. */
async function confirmed(run: Started, chosen: ChosenRestore, asker: Asker): Promise<void> {
  const { out } = run.context;
  const { domain } = run.instance;
  const planned: ChosenRestore = { ...chosen, request: { ...chosen.request, planOnly: true } };
  const report = await followed(run, planned, `Plan of a restore of ${domain}`);
  if (report?.plan === undefined)
    throw new Failure('Cancelled', 'nothing was restored', { next: 'Try again.' });
  const paint = out.paintFor(out.progress);
  out.say('', ...restorePlanText(report.plan, report, paint, out.widthFor(out.progress)), '');
  const typed = await asker.line(`Type ${domain} to restore it, anything else to leave it as it is:`);
  if (typed !== domain)
    throw new Failure('Refused', 'nothing was restored', { next: `type ${domain}, or give --yes` });
}

async function start(run: Started, chosen: ChosenRestore, detach: boolean): Promise<void> {
  const { context, instance } = run;
  const { out, io } = context;
  const what = chosen.request.planOnly === true ? 'Plan of a restore' : 'Restore';
  const report = await followed(run, chosen, `${what} of ${instance.domain}`, detach);
  if (report === undefined) return;
  const paint = out.paintFor(io.stdout);
  const width = out.widthFor(io.stdout);
  if (report.status === 'planned' && report.plan !== undefined) {
    return out.result(report, ['', ...restorePlanText(report.plan, report, paint, width)]);
  }
  const bad = servicesNotUp(report);
  const moved =
    chosen.target === undefined
      ? []
      : [
          '',
          `From now on ${instance.domain} lives on ${chosen.to}: change its host in ${run.configuration.file}.`,
        ];
  const lines = ['', ...restoredText(report, paint, width), ...moved];
  if (bad === undefined) return out.result(report, lines);
  if (!out.options.json) out.say(...lines);
  throw bad;
}

/** Starts it and follows it to its end. @returns undefined when it goes on by itself. */
async function followed(
  { context, configuration, instance, temporal }: Started,
  { request, target, to }: ChosenRestore,
  title: string,
  detach = false,
): Promise<RestoreReport | undefined> {
  const { domain } = instance;
  const { backup, from, parts } = request;
  const permit = await leavePermitFor(configuration, {
    ...{ what: 'restore', instance: domain, choices: restoreChoices(request) },
    ...(target === undefined ? {} : { target }),
  });
  const handle = await temporal.client.workflow.start(WORKFLOWS.restore, {
    taskQueue: TASK_QUEUE,
    workflowId: restoreWorkflowId(domain),
    args: [{ ...request, permit }],
    typedSearchAttributes: [{ key: PermafrostInstance, value: domain }],
    staticSummary: `${request.planOnly === true ? 'Plans a restore of' : 'Restores'} ${domain} from ${backup}`,
    staticDetails: [
      `- backup: ${backup}`,
      `- from: ${from}`,
      `- parts: ${parts.join(', ')}`,
      `- to: ${to}`,
      '',
      `To end it safely: \`permafrost cancel restore/${domain}\`; do not terminate it, that skips its clean-up.`,
    ].join('\n'),
  });
  const { workflowId, firstExecutionRunId: runId } = handle;
  const fields = { instance: domain, backup, from, parts, workflowId, runId };
  const left = (code: number) => {
    context.exitWith(code);
    context.out.result({ ...fields, status: 'running' }, [
      `It goes on by itself: ${whereToLook(configuration.temporal, workflowId, runId)}`,
    ]);
    return undefined;
  };
  if (detach) return left(0);
  const { leaseMs } = instance.quiesce;
  const end = await followSteps<RestoreReport>({ context, temporal, handle, title, leaseMs });
  switch (end.end) {
    case 'result':
      return end.result;
    case 'failed':
      throw endedBadly(end, { instance: domain, fields });
    case 'detached':
      return left(LEFT);
  }
}

async function toFolder(
  context: Context,
  configuration: Configuration,
  instance: InstanceConfig,
  backup: string,
  to: string,
  { from, parts, format }: RestoreOptions,
): Promise<void> {
  await restoreToFolder(context, configuration, instance, {
    ...{ backup, to },
    ...(from === undefined ? {} : { from: oneOf('--from', from, instance.offsites) }),
    ...(parts === undefined ? {} : { parts: someOf<PartName>('--parts', parts, partNames) }),
    ...(format === undefined ? {} : { format: oneOf('--format', format, ['custom', 'plain'] as const) }),
  });
}

if (isMain(import.meta.url)) await runScript(restoreCommand);
