#!/usr/bin/env node
import { stopBooted } from '../src/hosts/lease.js';
import { openHost } from '../src/hosts/open.js';
import { inspectServices } from '../src/mastodon/inspect.js';
import { bringServicesBack } from '../src/mastodon/services.js';
import { settleOpenSwap } from '../src/restore/settle.js';
import { formatFields } from '../src/terminal/format.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { failureOf } from './cli/failures.js';
import { chooseInstance } from './cli/instance.js';
import { Failure } from '../src/errors.js';

export function servicesCommand(run: Run) {
  const services = run.command('services', "look after Mastodon's services");
  services
    .command('start')
    .description('bring the services back now, whatever else is going on; needs no Temporal')
    .argument('[instance]', 'its LOCAL_DOMAIN; may be left out when there is only one')
    .action(async (name: string | undefined, _options, command) => {
      await startServices(run.context(command), name);
    });
  return services;
}

async function startServices({ out, ...context }: Context, name: string | undefined): Promise<void> {
  const instance = chooseInstance(await context.configuration(), name);
  const host = openHost(instance.host);
  try {
    const facts = await inspectServices(host, instance);
    out.say(`Starting the services of ${instance.domain} on ${host.name} …`);
    await stopBooted(host, instance.domain);
    await settleOpenSwap(host, instance.domain).catch((error: unknown) => {
      const { message } = failureOf(error);
      out.complain(`A restore or an undo was cut off and could not be put right yet: ${message}`);
    });
    const states = await bringServicesBack(host, facts);
    const up = states.filter((service) => service.running).length;
    out.result({ instance: instance.domain, services: states }, [
      `${up} of ${states.length} services of ${instance.domain} are running.`,
      ...formatFields(states.map(({ name: unit, running }) => [unit, running ? 'running' : 'not running'])),
    ]);
  } catch (error) {
    throw asServicesDown(failureOf(error), host.name);
  } finally {
    await host.close();
  }
}

/** Whatever kept us from it: whoever types this needs to know that the services are not known to be up. */
function asServicesDown(failure: Failure, host: string): Failure {
  if (
    failure.type !== 'CommandFailed' &&
    failure.type !== 'CommandTimedOut' &&
    failure.type !== 'ServicesDown'
  ) {
    return failure;
  }
  return new Failure('ServicesDown', failure.message, {
    host: failure.host ?? host,
    next:
      `${failure.next ?? 'Look at the services on the host'}. ` +
      'There: systemctl status "mastodon-*"; journalctl -u mastodon-web -u mastodon-sidekiq -n 50',
    cause: failure,
  });
}

if (isMain(import.meta.url)) await runScript(servicesCommand);
