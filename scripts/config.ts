#!/usr/bin/env node
import { configurationInput, explainConfiguration } from '../src/config/explain.js';
import { configurationJsonSchema } from '../src/config/json-schema.js';
import { formatCount } from '../src/terminal/format.js';
import { isMain, type Run, runScript } from './cli/command.js';

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
  return config;
}

if (isMain(import.meta.url)) await runScript(configCommand);
