#!/usr/bin/env node
import { showBackup } from '../src/offsite/read.js';
import { manifestText } from '../src/terminal/backup-list.js';
import { backupAndInstance } from './cli/backup-word.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';

export function showCommand(run: Run) {
  return run
    .command('show', 'show what is in a backup')
    .usage('[options] [instance] [backup]')
    .argument('[words...]', 'a backup: its id, a unique prefix of it, or latest (the default)')
    .action(async (words: string[], _options, command) => {
      await show(run.context(command), words);
    });
}

async function show({ io, out, ...context }: Context, words: readonly string[]): Promise<void> {
  const configuration = await context.configuration();
  const {
    instance: { domain },
    backup,
  } = backupAndInstance(configuration, words);
  const { manifest, offsites } = await showBackup(configuration, domain, backup);
  out.result(
    { ...manifest, offsites },
    manifestText(manifest, offsites, out.paintFor(io.stdout), out.widthFor(io.stdout)),
  );
}

if (isMain(import.meta.url)) await runScript(showCommand);
