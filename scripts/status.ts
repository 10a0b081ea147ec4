#!/usr/bin/env node
import { statusText } from '../src/terminal/status.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { chooseInstances } from './cli/instance.js';
import { statusOf } from './cli/instance-status.js';

export function statusCommand(run: Run) {
  return run
    .command('status', 'show how an instance stands: services, last backup, open and next runs')
    .argument('[instance]', 'its LOCAL_DOMAIN; all, when it is left out')
    .action(async (name: string | undefined, _options, command) => {
      await status(run.context(command), name);
    });
}

async function status({ io, out, ...context }: Context, name: string | undefined): Promise<void> {
  const configuration = await context.configuration();
  const instances = chooseInstances(configuration, name);
  const all = await Promise.all(instances.map((instance) => statusOf(configuration, instance, new Date())));
  const [only, ...others] = all;
  const paint = out.paintFor(io.stdout);
  out.result(
    others.length === 0 ? only : all,
    all.flatMap((one, index) => [
      ...(index === 0 ? [] : ['']),
      ...statusText(one, new Date(), paint, out.widthFor(io.stdout)),
    ]),
  );
}

if (isMain(import.meta.url)) await runScript(statusCommand);
