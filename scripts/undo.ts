#!/usr/bin/env node
import { backupIdPattern } from '../src/backups/id.js';
import type { UndoReport } from '../src/backups/restore-report.js';
import type { Configuration, InstanceConfig } from '../src/config/configuration.js';
import { Failure } from '../src/errors.js';
import { leavePermitFor } from '../src/records/permits.js';
import { type RememberedRestore, rememberedRestores } from '../src/records/restores.js';
import { formatBytes, formatTime } from '../src/terminal/format.js';
import { undoneText } from '../src/terminal/restore-text.js';
import { TASK_QUEUE, undoWorkflowId, WORKFLOWS } from '../src/workflows/names.js';
import { PermafrostInstance } from '../src/workflows/search-attributes.js';
import { backupAndInstance } from './cli/backup-word.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { followSteps, LEFT } from './cli/follow-steps.js';
import { endedBadly, servicesNotUp } from './cli/restore-end.js';
import { whereToLook, withTemporal } from './cli/temporal.js';
import { askerFor } from './init/ask.js';

interface UndoOptions {
  yes?: boolean;
  detach?: boolean;
}

export function undoCommand(run: Run) {
  return run
    .command('undo', 'take a finished restore back: what was there before it, as it was then')
    .usage('[options] [instance] [restore]')
    .argument('[words...]', 'a restore: its id or a unique prefix of it; else the newest')
    .option('--yes', 'do not ask')
    .option('--detach', 'start it and return')
    .action(async (words: string[], options: UndoOptions, command) => {
      await undo(run.context(command), words, options);
    });
}

async function undo(context: Context, words: readonly string[], options: UndoOptions): Promise<void> {
  const { out, io } = context;
  const configuration = await context.configuration();
  const { instance, backup: wanted } = backupAndInstance(configuration, words);
  const { domain } = instance;
  const restore = await choose(configuration, instance, wanted);
  if (options.yes !== true) {
    const asker = askerFor(out, false);
    if (asker === undefined) {
      throw new Failure('ConfigInvalid', 'nobody can be asked whether the restore may be taken back', {
        next: `give --yes to take back ${described(restore)}`,
      });
    }
    out.say(...whatHappens(restore), '');
    const typed = await asker.line(`Type ${domain} to take it back, anything else to leave it as it is:`);
    if (typed !== domain)
      throw new Failure('Refused', 'nothing was taken back', { next: `type ${domain}, or give --yes` });
  }
  await withTemporal(configuration, async (temporal) => {
    const request = { instance: domain, restore: restore.restore };
    const permit = await leavePermitFor(configuration, {
      ...{ what: 'undo', instance: domain, choices: [restore.restore] },
    });
    const handle = await temporal.client.workflow.start(WORKFLOWS.undo, {
      taskQueue: TASK_QUEUE,
      workflowId: undoWorkflowId(domain),
      args: [{ ...request, permit }],
      typedSearchAttributes: [{ key: PermafrostInstance, value: domain }],
      staticSummary: `Takes the restore ${restore.restore} of ${domain} back`,
      staticDetails: `- restore: ${described(restore)}`,
    });
    const { workflowId, firstExecutionRunId: runId } = handle;
    const fields = { ...request, workflowId, runId };
    const left = (code: number) => {
      context.exitWith(code);
      out.result({ ...fields, status: 'running' }, [
        `It goes on by itself: ${whereToLook(configuration.temporal, workflowId, runId)}`,
      ]);
    };
    if (options.detach === true) return left(0);
    const title = `Undo of a restore of ${domain}`;
    const { leaseMs } = instance.quiesce;
    const end = await followSteps<UndoReport>({ context, temporal, handle, title, leaseMs });
    if (end.end === 'detached') return left(LEFT);
    if (end.end === 'failed') throw endedBadly(end, { instance: domain, fields });
    const bad = servicesNotUp(end.result);
    const lines = ['', ...undoneText(end.result, out.paintFor(io.stdout), out.widthFor(io.stdout))];
    if (bad === undefined) return out.result(end.result, lines);
    if (!out.options.json) out.say(...lines);
    throw bad;
  });
}

/** Of a restore that this machine does not remember, its id alone is known. */
type ChosenUndo = RememberedRestore | { restore: string };

function described(chosen: ChosenUndo): string {
  return 'backup' in chosen
    ? `${chosen.restore} (${chosen.parts.join(', ')} of ${chosen.backup} on ${chosen.to})`
    : chosen.restore;
}

function whatHappens(chosen: ChosenUndo): string[] {
  if (!('backup' in chosen))
    return [
      `The restore ${chosen.restore} is not one that this machine remembers; the host is asked for it.`,
    ];
  const { restore, backup, parts, to, finishedAt, keptBytes } = chosen;
  return [
    `The restore ${restore} put ${parts.join(', ')} of ${backup} on ${to} at ${formatTime(finishedAt)}.`,
    'Taking it back puts what was there before in its place, in one short standstill of the services. What was written',
    `since goes out of sight${keptBytes === undefined ? '' : ` (the databases change places; ${formatBytes(keptBytes)} are kept)`}; media stay.`,
  ];
}

/** The restore that is meant: an id, a unique prefix of one, or the newest that can be taken back. */
async function choose(
  { state }: Configuration,
  { domain }: InstanceConfig,
  wanted: string,
): Promise<ChosenUndo> {
  const all = await rememberedRestores(state, domain);
  const possible = all.filter(
    ({ undo: stands, undoUntil, gone }) =>
      stands === 'possible' && !gone && Date.parse(undoUntil) > Date.now(),
  );
  const matching =
    wanted === 'latest' ? possible.slice(0, 1) : possible.filter(({ restore }) => restore.startsWith(wanted));
  const [one, ...others] = matching;
  // Of another machine's restores, or of one that nobody came to note: the host itself knows.
  if (backupIdPattern.test(wanted) && !all.some(({ restore }) => restore === wanted))
    return { restore: wanted };
  if (one !== undefined && others.length === 0) return one;
  const known = possible.map(({ restore }) => restore).join(', ');
  const over = all.find(({ restore }) => restore.startsWith(wanted));
  const why =
    others.length > 0
      ? `'${wanted}' could be any of ${matching.map(({ restore }) => restore).join(', ')}`
      : over?.undo === 'undone'
        ? `the restore ${over.restore} was taken back already`
        : over !== undefined && wanted !== 'latest'
          ? `the restore ${over.restore} could be taken back until ${formatTime(over.undoUntil)}`
          : `there is no restore${wanted === 'latest' ? '' : ` ${wanted}`} of ${domain} that could be taken back`;
  throw new Failure('NotFound', why, {
    next: known === '' ? 'an older state comes back by a restore: permafrost list' : `there are: ${known}`,
  });
}

if (isMain(import.meta.url)) await runScript(undoCommand);
