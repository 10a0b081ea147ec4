#!/usr/bin/env node
import { reportNamePattern } from '../src/records/reports.js';
import { formatFields, formatTable, formatTime } from '../src/terminal/format.js';
import { plainText } from '../src/terminal/plain-text.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { fetchReports, type FoundReport, oneReport, reportsHere } from './cli/found-reports.js';
import { chooseInstance } from './cli/instance.js';

export function reportCommand(run: Run) {
  return run
    .command('report', 'list the reports of drills, restores and undos, or say where one is')
    .usage('[options] [instance] [report]')
    .argument('[words...]', 'a report: its name, such as drill-20261201T050000Z; all, when it is left out')
    .option('--fetch', 'also fetch those that lie beside the newest backups')
    .action(async (words: string[], options: { fetch?: boolean }, command) => {
      await report(run.context(command), words, options.fetch === true);
    });
}

async function report(context: Context, words: readonly string[], fetch: boolean): Promise<void> {
  const configuration = await context.configuration();
  const name = words.find((word) => reportNamePattern.test(word));
  const instance = chooseInstance(
    configuration,
    words.find((word) => word !== name),
  );
  const { out, io } = context;
  if (name !== undefined) {
    const { found, report: json } = await oneReport(configuration, instance, name);
    return out.result({ ...found, report: json }, oneText(found, out.widthFor(io.stdout)));
  }
  let reports = await reportsHere(configuration, instance);
  if (fetch || reports.length === 0) {
    const problems = await fetchReports(configuration, instance);
    out.complain(...problems.map((problem) => `Not looked at: ${plainText(problem)}`));
    reports = await reportsHere(configuration, instance);
  }
  out.result(reports, listText(reports, instance.domain, out.widthFor(io.stdout)));
}

function oneText({ name, status, backup, from, file, url }: FoundReport, width: number): string[] {
  return [
    name,
    ...formatFields(
      [
        ['result', plainText(status)],
        ...(backup === undefined ? [] : [['backup', plainText(backup)] as const]),
        ...(from === undefined ? [] : [['off-site', plainText(from)] as const]),
        ['page', file],
        ...(url === undefined ? [] : [['address', url] as const]),
      ],
      width,
    ),
  ];
}

function listText(reports: readonly FoundReport[], domain: string, width: number): string[] {
  if (reports.length === 0)
    return [`There is no report of ${domain} yet: the first drill writes one (permafrost drill ${domain}).`];
  const columns = ['report', 'result', 'backup', 'off-site', 'ended'].map((title) => ({ title }));
  const rows = reports.map(({ name, status, backup = '', from = '', finishedAt }) => [
    name,
    ...[status, backup, from].map(plainText),
    finishedAt === undefined ? '' : formatTime(finishedAt),
  ]);
  return [
    ...formatTable(columns, rows, width),
    '',
    `A page, with its address: permafrost report ${domain} NAME`,
  ];
}

if (isMain(import.meta.url)) await runScript(reportCommand);
