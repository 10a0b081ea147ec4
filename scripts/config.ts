#!/usr/bin/env node
import { configurationInput, explainConfiguration } from '../src/config/explain.js';
import { configurationJsonSchema } from '../src/config/json-schema.js';
import { formatCount } from '../src/terminal/format.js';
import { openHost } from '../src/hosts/open.js';
import { sudoersFor } from '../src/mastodon/sudo-rules.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { chooseInstance } from './cli/instance.js';

export function configCommand(run: Run) {
  const config = run.command('config', 'check the configuration, and show what it comes to');
  config
    .command('schema')
    .description('print the JSON Schema of the configuration file, for editors')
    .action((_options, command) => {
      const schema = configurationJsonSchema();
      run.context(command).out.result(schema, [JSON.stringify(schema, null, 2)]);
    });
  config
    .command('validate')
    .description('check the configuration file')
    .action(async (_options, command) => {
      const { out, ...context } = run.context(command);
      const { file, instances, offsites } = await context.configuration();
      const domains = Object.keys(instances);
      const names = Object.keys(offsites);
      out.result({ valid: true, file, instances: domains, offsites: names }, [
        `${file} is valid: ${formatCount(domains.length, 'instance')} (${domains.join(', ')}), ` +
          `${formatCount(names.length, 'off-site')} (${names.join(', ')}).`,
      ]);
    });
  config
    .command('show')
    .description('print the configuration with every default filled in')
    .action(async (_options, command) => {
      const { out, ...context } = run.context(command);
      const configuration = await context.configuration();
      out.result(
        configurationInput(configuration),
        explainConfiguration(configuration).trimEnd().split('\n'),
      );
    });
  config
    .command('sudoers')
    .description(
      "print the sudoers file for an instance's host: what its user may do there, and nothing else",
    )
    .argument('[instance]', 'its LOCAL_DOMAIN; may be left out when there is only one')
    .action(async (name: string | undefined, _options, command) => {
      await sudoers(run.context(command), name);
    });
  return config;
}

async function sudoers({ out, ...context }: Context, name: string | undefined): Promise<void> {
  const instance = chooseInstance(await context.configuration(), name);
  const host = openHost(instance.host);
  try {
    const { text, complete } = await sudoersFor(host, instance);
    out.result(
      { instance: instance.domain, host: host.name, complete, sudoers: text },
      text.trimEnd().split('\n'),
    );
    if (complete) return;
    out.complain(
      `That is the first half: put it into /etc/sudoers.d/permafrost on ${host.name} (visudo -f), then run this again for the whole file.`,
    );
  } finally {
    await host.close();
  }
}

if (isMain(import.meta.url)) await runScript(configCommand);
