#!/usr/bin/env node
import type { Configuration } from '../src/config/configuration.js';
import { Failure } from '../src/errors.js';
import { showBackup } from '../src/offsite/read.js';
import { manifestText } from '../src/terminal/backup-list.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { chooseInstance } from './cli/instance.js';
import { suggestion } from './cli/suggest.js';

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
  const { instance, backup } = partition(configuration, words);
  const { domain } = chooseInstance(configuration, instance);
  const { manifest, offsites } = await showBackup(configuration, domain, backup);
  out.result(
    { ...manifest, offsites },
    manifestText(manifest, offsites, out.paintFor(io.stdout), out.widthFor(io.stdout)),
  );
}

/** One word is a backup, unless it is the name of an instance; of two, the first is the instance. */
function partition(configuration: Configuration, words: readonly string[]) {
  const [first, second] = words;
  if (second !== undefined) return { instance: first, backup: second };
  const known = Object.keys(configuration.instances);
  const isInstance = first !== undefined && known.includes(first.toLowerCase());
  if (first !== undefined && !isInstance && first !== 'latest' && !/^\d[\dTZ]*$/.test(first)) {
    throw new Failure('NotFound', `'${first}' is neither a backup's id nor an instance`, {
      next: suggestion(first, ['latest', ...known]),
    });
  }
  return isInstance
    ? { instance: first, backup: 'latest' }
    : { instance: undefined, backup: first ?? 'latest' };
}

if (isMain(import.meta.url)) await runScript(showCommand);
