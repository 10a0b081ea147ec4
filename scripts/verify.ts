#!/usr/bin/env node
import {
  type VerifyDepth,
  verifyDepths,
  type VerifyReport,
  type VerifyRequest,
} from '../src/backups/verify-report.js';
import type { Failure } from '../src/errors.js';
import type { TemporalClient } from '../src/temporal/connection.js';
import { verifiedText } from '../src/terminal/verify-text.js';
import { TASK_QUEUE, verifyWorkflowId, WORKFLOWS } from '../src/workflows/names.js';
import { PermafrostInstance } from '../src/workflows/search-attributes.js';
import { oneOf } from './cli/backup-choices.js';
import { backupAndInstance } from './cli/backup-word.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { failureOf, reportIn, VerbFailed } from './cli/failures.js';
import { followSteps, LEFT } from './cli/follow-steps.js';
import { whereToLook, withTemporal } from './cli/temporal.js';

interface VerifyOptions {
  from?: string;
  depth?: string;
}

export function verifyCommand(run: Run) {
  return run
    .command('verify', 'read a backup back and compare it with its manifest')
    .usage('[options] [instance] [backup]')
    .argument('[words...]', 'a backup: its id, a unique prefix of it, or latest (the default)')
    .option('--from <name>', 'from this off-site alone; else from each that has it')
    .option('--depth <depth>', 'how much of the media is read: new, sample (the default) or all')
    .action(async (words: string[], options: VerifyOptions, command) => {
      await verify(run.context(command), words, options);
    });
}

async function verify(context: Context, words: readonly string[], options: VerifyOptions): Promise<void> {
  const configuration = await context.configuration();
  const { instance, backup } = backupAndInstance(configuration, words);
  const { domain } = instance;
  const request: VerifyRequest = {
    ...{ instance: domain, backup },
    depth: oneOf<VerifyDepth>('--depth', options.depth ?? 'sample', verifyDepths),
    ...(options.from === undefined ? {} : { from: oneOf('--from', options.from, instance.offsites) }),
  };
  await withTemporal(configuration, async (temporal) => {
    const handle = await start(temporal, request);
    const title = `Verify for ${domain}`;
    const end = await followSteps<VerifyReport>({ context, temporal, handle, title });
    if (end.end === 'detached') {
      context.exitWith(LEFT);
      const { workflowId, firstExecutionRunId: runId } = handle;
      return context.out.result({ instance: domain, status: 'running', workflowId, runId }, [
        `It goes on by itself: ${whereToLook(configuration.temporal, workflowId, runId)}`,
      ]);
    }
    if (end.end === 'result') return tell(context, request, end.result);
    const report = reportIn(end.error) as VerifyReport | undefined;
    if (report === undefined) throw end.error;
    tellFailed(context, request, report, failureOf(end.error));
  });
}

async function start({ client }: TemporalClient, request: VerifyRequest) {
  const { instance, backup, from, depth } = request;
  return client.workflow.start(WORKFLOWS.verify, {
    taskQueue: TASK_QUEUE,
    workflowId: verifyWorkflowId(instance),
    args: [request],
    typedSearchAttributes: [{ key: PermafrostInstance, value: instance }],
    staticSummary: `Reads ${backup === 'latest' ? 'the latest backup' : backup} of ${instance} back`,
    staticDetails: [
      `- backup: ${backup}`,
      `- from: ${from ?? 'each off-site that has it'}`,
      `- depth: ${depth}`,
    ].join('\n'),
  });
}

function tell({ out, io }: Context, request: VerifyRequest, report: VerifyReport): void {
  const lines = verifiedText(report, out.paintFor(io.stdout), out.widthFor(io.stdout));
  out.result(documentOf(request, report), ['', ...lines]);
}

/** Findings are a result, told as one; only with nothing but errors there is no result. */
function tellFailed(context: Context, request: VerifyRequest, report: VerifyReport, failure: Failure): void {
  if (report.status !== 'findings')
    throw new VerbFailed(failure, undefined, { ...documentIn(request, report) });
  const { out, io } = context;
  const paint = out.paintFor(io.stdout);
  const lines = verifiedText(report, paint, out.widthFor(io.stdout), failure.next);
  out.result(documentOf(request, report), ['', ...lines]);
  context.exitWith(6);
}

/** One document for each off-site; when one was asked for, it alone. */
function documentOf({ from }: VerifyRequest, { copies: all, notOn = [] }: VerifyReport) {
  const copies = notOn.length === 0 ? all : all.map((copy) => ({ ...copy, notOn }));
  const [only] = copies;
  return only !== undefined && (from !== undefined || copies.length === 1) ? only : copies;
}

/** Beside an error: what each off-site said. */
function documentIn(request: VerifyRequest, report: VerifyReport): object {
  const document = documentOf(request, report);
  return Array.isArray(document) ? { backup: report.backup, copies: document } : document;
}

if (isMain(import.meta.url)) await runScript(verifyCommand);
