#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseConfiguration } from '../src/config/load.js';
import { Failure } from '../src/errors.js';
import type { LookedAt } from '../src/mastodon/look.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { type Asker, askerFor } from './init/ask.js';
import { findingsOf, troublesOf } from './init/describe.js';
import { makePrivateFolder, type NewFile, writeFiles } from './init/files.js';
import { type ChosenHost, withChosenHost } from './init/host.js';
import { findInstances } from './init/instances.js';
import { checkOffsiteFlags, chooseOffsites, type ChosenOffsite } from './init/offsites.js';
import { type InitOptions, readOptions, withInitOptions } from './init/options.js';
import { foundLines, type Step, writtenLines } from './init/text.js';
import { writeConfiguration } from './init/write.js';

export function initCommand(run: Run) {
  const init = run.command('init', 'look at a Mastodon server and write a configuration for it');
  return withInitOptions(init).action(async (_options, command) => {
    const context = run.context(command);
    const options = readOptions(command, context.io.env);
    refuseOverwriting(options);
    const asker = askerFor(context.out, options.yes);
    checkOffsiteFlags(options, asker);
    await withChosenHost(context.out, asker, options, (chosen) =>
      initialise(context, asker, options, chosen),
    );
  });
}

function refuseOverwriting({ output }: InitOptions): void {
  if (!existsSync(output)) return;
  throw new Failure('ConfigInvalid', `${output} is there already, and is never overwritten.`, {
    next: 'Check it: permafrost doctor. To start afresh, move it away; to write beside it, name another file with --output FILE.',
  });
}

async function initialise(
  { out }: Context,
  asker: Asker | undefined,
  options: InitOptions,
  chosen: ChosenHost,
): Promise<void> {
  const { host } = chosen;
  const where = host.name === 'local' ? 'this machine' : host.name;
  checkOffsiteFlags(options, asker, await host.facts());
  out.say(`Looking at ${where} …`);
  const { instances, leftOut } = await findInstances(host, asker, options);
  const paint = out.paintFor(out.progress);
  out.say(...foundLines(where, instances, paint));
  for (const one of leftOut) out.say('', `Left out: ${one}`);

  const offsites = await chooseOffsites(out, asker, options, { host, folders: instances.flatMap(foldersOf) });
  const state =
    options.state ?? (process.getuid?.() === 0 ? undefined : join(homedir(), '.local/state/permafrost'));
  const text = configurationText(options, chosen, instances, offsites, state);
  const { state: folder } = parseConfiguration(text, options.output, {});
  if (asker !== undefined && !(await asker.yesOrNo(`Write ${options.output}?`, true))) {
    throw new Failure('Cancelled', 'Nothing was written.');
  }
  const files = unique([
    ...chosen.files,
    ...offsites.flatMap((offsite) => offsite.files),
    { path: options.output, content: text, when: 'absent' },
  ]);
  await makePrivateFolder(folder);
  await writeFiles(files);

  const warnings = [...offsites.flatMap((offsite) => offsite.warnings), ...passwordWords(offsites, files)];
  const next = nextSteps(options);
  out.result(
    {
      file: options.output,
      instances: instances.map((found) => ({
        instance: found.domain,
        host: host.name,
        root: found.root,
        foundBy: found.foundBy,
        findings: findingsOf(found),
        problems: troublesOf(found),
      })),
      offsites: offsites.map(({ name, keys, sameDisk }) => ({
        name,
        repository: keys['repository'],
        sameDisk,
      })),
      files: [...new Set(files.map(({ path }) => path))],
      ...{ leftOut, warnings, next: next.map(({ command }) => command) },
    },
    writtenLines({ file: options.output, files, offsites, warnings, next }, paint),
  );
}

function foldersOf({ root, media }: LookedAt): string[] {
  return media instanceof Failure || 'storage' in media ? [root] : [root, media.path];
}

function configurationText(
  { output }: InitOptions,
  { configured, host }: ChosenHost,
  instances: readonly LookedAt[],
  offsites: readonly ChosenOffsite[],
  state: string | undefined,
): string {
  const here = dirname(output);
  const short = (value: unknown) =>
    typeof value === 'string' && dirname(value) === here && value.startsWith('/') ? basename(value) : value;
  const shortened = <Value>(given: Readonly<Record<string, Value>>) =>
    Object.fromEntries(
      Object.entries(given).map(([key, value]) => [
        key,
        /File$|^knownHosts$/.test(key) ? short(value) : value,
      ]),
    ) as Record<string, Value>;
  return writeConfiguration({
    head: [
      `Written by permafrost init on ${new Date().toISOString().slice(0, 10)}, from a look at ${host.name === 'local' ? 'this machine' : host.name}.`,
      'What is not here is found out at every run, or has a default: docs/configuration.md has every key, and permafrost config show prints them. A relative path is relative to this file. Check an edit with permafrost doctor.',
    ],
    instances: instances.map((found) => ({
      domain: found.domain,
      notes: notesOf(found),
      host: configured === 'local' ? configured : shortened(configured),
      root: found.root,
      keys: found.keys,
    })),
    offsites: offsites.map(({ name, keys, warnings }) => ({ name, notes: warnings, keys: shortened(keys) })),
    ...(state === undefined ? {} : { state }),
  });
}

function notesOf(found: LookedAt): string[] {
  const findings = findingsOf(found);
  const nameWidth = Math.max(...findings.map(({ name }) => name.length));
  return [
    ...findings.map(({ name, detail }) => `${name.padEnd(nameWidth)}  ${detail}`),
    ...troublesOf(found).map(
      ({ problem, next }) => `PROBLEM: ${problem}${next === undefined ? '' : ` ${next}`}`,
    ),
  ];
}

function passwordWords(offsites: readonly ChosenOffsite[], files: readonly NewFile[]): string[] {
  const made = [...new Set(offsites.map(({ passwordFile }) => passwordFile))].filter((path) =>
    files.some((file) => file.path === path),
  );
  return made.map(
    (path) =>
      `KEEP A COPY of ${path} away from this machine, now (a password manager, paper): without it nobody opens the backups, not you either.`,
  );
}

function nextSteps({ output, usualPlace }: InitOptions): Step[] {
  return [
    ...(usualPlace
      ? []
      : [{ command: `export PERMAFROST_CONFIG=${output}`, does: '(or --config, each time)' }]),
    { command: 'npx permafrost doctor', does: 'checks everything that a run needs' },
    { command: 'npx permafrost up &', does: 'Temporal, the worker and the schedule' },
    { command: 'npx permafrost offsite init', does: 'makes the empty repository' },
    { command: 'npx permafrost backup', does: 'the first backup' },
  ];
}

/** The first of several with the same path. */
function unique(files: readonly NewFile[]): NewFile[] {
  return files.filter(
    (file, at) =>
      files.findIndex(
        ({ path, content }) => path === file.path && (file.when === 'absent' || content === file.content),
      ) === at,
  );
}

if (isMain(import.meta.url)) await runScript(initCommand);
