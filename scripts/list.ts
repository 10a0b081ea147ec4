#!/usr/bin/env node
import { type ListedBackup, listBackups } from '../src/offsite/read.js';
import { listText } from '../src/terminal/backup-list.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { chooseInstances } from './cli/instance.js';
import { problemLines } from './cli/problems.js';

export function listCommand(run: Run) {
  return run
    .command('list', 'list the backups that the off-sites hold')
    .argument('[instance]', 'its LOCAL_DOMAIN; all, when it is left out')
    .action(async (name: string | undefined, _options, command) => {
      await list(run.context(command), name);
    });
}

async function list({ out, ...context }: Context, name: string | undefined): Promise<void> {
  const configuration = await context.configuration();
  const instances = chooseInstances(configuration, name);
  const backups: ListedBackup[] = [];
  for (const { domain } of instances) {
    const found = await listBackups(configuration, domain);
    backups.push(...found.backups);
    out.complain(...problemLines(found.problems, out.widthFor(out.io.stderr)));
  }
  out.result(
    backups,
    listText(
      backups,
      instances.map(({ domain }) => domain),
      new Date(),
      out.widthFor(out.io.stdout),
    ),
  );
}

if (isMain(import.meta.url)) await runScript(listCommand);
