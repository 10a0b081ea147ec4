#!/usr/bin/env node
import { fileURLToPath } from 'node:url';
import { Argument, type Command } from 'commander';
import { plainText } from '../src/terminal/plain-text.js';
import { isMain, Run, runScript, withGlobalOptions } from './cli/command.js';
import { knownNames } from './cli/completion-names.js';
import { completionScript, type Shell, shells } from './cli/completion-scripts.js';
import { completeWords } from './cli/completion-words.js';

/** The program that a shell asks, beside this one. */
const program = fileURLToPath(new URL('permafrost.js', import.meta.url));

export function completionCommand(run: Run) {
  const completion = run.command('completion', 'print the completion script of a shell');
  completion
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .addHelpText(
      'after',
      [
        '\nFor good:',
        "  bash  echo 'source <(permafrost completion bash)' >> ~/.bashrc",
        "  zsh   echo 'source <(permafrost completion zsh)' >> ~/.zshrc   (after compinit)",
        '  fish  permafrost completion fish > ~/.config/fish/completions/permafrost.fish',
      ].join('\n'),
    )
    .action((shell: Shell, _options, command) => {
      const script = completionScript(shell, [process.execPath, program]);
      run.context(command).out.result({ shell, script }, script.trimEnd().split('\n'));
    });
  completion
    .command('words', { hidden: true })
    .description('what may stand where a command line ends, a line each; the shells ask this')
    .argument('[word...]', 'after the name of the program')
    .action(async (words: string[], _options, command) => {
      for (const line of await answer(run, command, words)) run.context(command).out.say(line);
    });
  return completion;
}

async function answer(run: Run, command: Command, words: readonly string[]): Promise<string[]> {
  const root = await programOf(run, command);
  const config = words.findIndex((word) => word === '--config');
  const file = words.find((word) => word.startsWith('--config='))?.slice('--config='.length);
  const names = await knownNames(file ?? (config < 0 ? undefined : words[config + 1]), run.io.env);
  const completion = completeWords(root, words, names);
  if (completion.files) return [':files'];
  return completion.candidates.map(({ word, about }) => `${word}\t${plainText(about).replaceAll('\n', ' ')}`);
}

/** The whole program: what holds this command, or, when this is a script of its own, what would. */
async function programOf(run: Run, command: Command): Promise<Command> {
  let root = command;
  while (root.parent !== null) root = root.parent;
  if (root.name() === 'permafrost') return root;
  const { permafrostCommand } = await import('./permafrost.js');
  return withGlobalOptions(permafrostCommand(new Run(run.io)));
}

if (isMain(import.meta.url)) await runScript(completionCommand);
