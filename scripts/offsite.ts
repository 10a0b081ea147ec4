#!/usr/bin/env node
import type { Configuration, InstanceConfig } from '../src/config/configuration.js';
import { Failure } from '../src/errors.js';
import { offsiteOf, withOffsite } from '../src/offsite/read.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { failureOf } from './cli/failures.js';
import { suggestion } from './cli/suggest.js';

export function offsiteCommand(run: Run) {
  const offsite = run.command('offsite', 'set up the places where backups are kept');
  offsite
    .command('init')
    .description('set up an off-site that holds nothing yet')
    .argument('[name]', 'its name in the configuration; all that have none, when it is left out')
    .action(async (name: string | undefined, _options, command) => {
      await initialise(run.context(command), name);
    });
  return offsite;
}

interface Initialised {
  name: string;
  created: boolean;
}

async function initialise({ out, ...context }: Context, name: string | undefined): Promise<void> {
  const configuration = await context.configuration();
  const names = Object.keys(configuration.offsites);
  if (name !== undefined && !names.includes(name)) {
    throw new Failure('ConfigInvalid', `${configuration.file} has no off-site ${name}`, {
      next: suggestion(name, names),
    });
  }
  const done: Initialised[] = [];
  for (const one of name === undefined ? names : [name]) {
    const created = await createWhereNoneIs(configuration, one);
    out.say(created ? `${one}: created, empty` : `${one}: there is one already; it was left as it is`);
    done.push({ name: one, created });
  }
  out.result(done, []);
}

/** @returns false when there was one already: that is no failure, and nothing was changed. */
async function createWhereNoneIs(configuration: Configuration, name: string): Promise<boolean> {
  return withOffsite(
    configuration,
    instanceUsing(configuration, name),
    offsiteOf(configuration, name),
    async (offsite) => {
      try {
        await offsite.check();
        return false;
      } catch (error) {
        if (failureOf(error).type !== 'NotFound') throw error;
      }
      await offsite.create();
      return true;
    },
  );
}

/** A folder is seen from the host of an instance that uses the off-site. */
function instanceUsing(configuration: Configuration, name: string): InstanceConfig {
  const user = Object.values(configuration.instances).find((instance) => instance.offsites.includes(name));
  if (user !== undefined) return user;
  throw new Failure('ConfigInvalid', `no instance uses the off-site ${name}`, {
    next: `Add ${name} to the offsites of an instance in ${configuration.file}`,
  });
}

if (isMain(import.meta.url)) await runScript(offsiteCommand);
