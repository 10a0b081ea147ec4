#!/usr/bin/env node
import { exitCodeOfChecks } from '../src/backups/checks.js';
import { examine } from '../src/doctor/doctor.js';
import { checkTemporal } from '../src/temporal/checks.js';
import { doctorText } from '../src/terminal/doctor.js';
import { formatCount } from '../src/terminal/format.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { chooseInstances } from './cli/instance.js';

export function doctorCommand(run: Run) {
  return run
    .command('doctor', 'check everything that a backup needs, and say what mends it; changes nothing')
    .argument('[instance]', 'its LOCAL_DOMAIN; all, when it is left out')
    .option('--thorough', 'look through large tables for duplicates too, however long it takes')
    .action(async (name: string | undefined, options: { thorough?: boolean }, command) => {
      await doctor(run.context(command), name, options.thorough === true);
    });
}

async function doctor(
  { io, out, ...context }: Context,
  name: string | undefined,
  thorough: boolean,
): Promise<void> {
  const configuration = await context.configuration();
  const instances = chooseInstances(configuration, name);
  const done = waiting(io.stderr, `Looking at ${formatCount(instances.length, 'instance')} …`);
  try {
    const [found, temporal] = await Promise.all([
      examine(configuration, instances, { thorough, now: new Date() }),
      checkTemporal(configuration, instances),
    ]);
    done();
    const checks = [...found, ...temporal];
    const exitCode = exitCodeOfChecks(checks);
    context.exitWith(exitCode);
    out.result(
      { ok: exitCode === 0, checks },
      doctorText(checks, out.paintFor(io.stdout), out.widthFor(io.stdout)),
    );
  } finally {
    done();
  }
}

/** Says on a terminal that something is going on, until it is told that it is over. */
function waiting(terminal: Context['io']['stderr'], text: string): () => void {
  if (terminal.isTTY !== true) return () => undefined;
  terminal.write(text);
  let over = false;
  return () => {
    if (!over) terminal.write('\r\u001b[K');
    over = true;
  };
}

if (isMain(import.meta.url)) await runScript(doctorCommand);
