import type { Argument, Command, Option } from 'commander';
import { allowanceNames } from '../../src/backups/allowances.js';
import { partNames, quiesceModes } from '../../src/backups/parts.js';
import { verifyDepths } from '../../src/backups/verify-report.js';

/** The names of a configuration, as far as one may be read. */
export interface KnownNames {
  instances: readonly string[];
  offsites: readonly string[];
}

export interface Candidate {
  word: string;
  about: string;
}

/** Words that fit, or that a file's name fits here. */
export type Completion = { files: true } | { files: false; candidates: Candidate[] };

const nothing: Completion = { files: false, candidates: [] };

/**
 * What may stand where a command line ends: verbs, options, and the values of both. Backups are not asked for: that
 * would take an off-site.
 *
 * @param words after the program's own name; the last one is being typed, and may be empty.
 */
export function completeWords(root: Command, words: readonly string[], names: KnownNames): Completion {
  const given = joined(words);
  const typed = given.pop() ?? '';
  const place = walk(root, given);
  if (place.open !== undefined) return valuesOf(place.open, typed, names);
  const assigned = /^(--[\w-]+)=(.*)$/s.exec(typed);
  if (assigned !== null && !place.verbatim) {
    const [, long = '', value = ''] = assigned;
    const option = optionOf(place.command, long);
    if (option === undefined) return nothing;
    return prefixed(valuesOf(option, value, names), `${long}=`);
  }
  if (typed.startsWith('-') && !place.verbatim) return fitting(optionsOf(place.command), typed);
  const verbs = place.positionals === 0 ? verbsOf(place.command) : [];
  if (verbs.length > 0) return fitting(verbs, typed);
  const known = place.command.registeredArguments;
  const last = known.at(-1);
  const argument = known.at(place.positionals) ?? (last?.variadic === true ? last : undefined);
  return argument === undefined ? nothing : argumentValues(place.command, argument, typed, names);
}

/** bash takes `--only=x` apart into three words. */
function joined(words: readonly string[]): string[] {
  const given: string[] = [];
  for (const [index, word] of words.entries()) {
    const last = index === words.length - 1;
    if (word === '=' && given.at(-1)?.startsWith('--') === true) {
      if (last) given.push('');
    } else given.push(word);
  }
  return given;
}

interface Place {
  command: Command;
  /** Arguments of the command that are there already. */
  positionals: number;
  /** An option that waits for its value. */
  open: Option | undefined;
  /** After `--`, nothing is an option. */
  verbatim: boolean;
}

/** Where the words before the last one lead. */
function walk(root: Command, words: readonly string[]): Place {
  const place: Place = { command: root, positionals: 0, open: undefined, verbatim: false };
  for (const word of words) {
    if (place.open !== undefined) {
      place.open = undefined;
    } else if (!place.verbatim && word === '--') {
      place.verbatim = true;
    } else if (!place.verbatim && word.startsWith('-')) {
      const option = word.includes('=') ? undefined : optionOf(place.command, word);
      if (option?.required === true) place.open = option;
    } else {
      const verb =
        place.positionals === 0 ? visible(place.command).find((one) => one.name() === word) : undefined;
      if (verb === undefined) place.positionals += 1;
      else place.command = verb;
    }
  }
  return place;
}

function visible(command: Command): Command[] {
  return command.createHelp().visibleCommands(command);
}

function verbsOf(command: Command): Candidate[] {
  return visible(command).map((verb) => ({ word: verb.name(), about: verb.summary() || verb.description() }));
}

/** A command's own options and those of the commands above it, which commander takes anywhere. */
function optionsIn(command: Command): Option[] {
  const above = command.parent === null ? [] : optionsIn(command.parent);
  return [...command.createHelp().visibleOptions(command), ...above];
}

function optionsOf(command: Command): Candidate[] {
  const found = new Map(
    optionsIn(command).map((option) => [option.long ?? option.short ?? '', option.description]),
  );
  return [...found].map(([word, about]) => ({ word, about }));
}

function optionOf(command: Command, flag: string): Option | undefined {
  return optionsIn(command).find((option) => option.long === flag || option.short === flag);
}

function valuesOf(option: Option, typed: string, names: KnownNames): Completion {
  if (/<(file|folder|dir|place)>/i.test(option.flags)) return { files: true };
  switch (option.long) {
    case '--quiesce':
      return fitting(plain(quiesceModes), typed);
    case '--only':
    case '--parts':
      return listed(partNames, typed);
    case '--offsite':
      return listed(names.offsites, typed);
    case '--from':
    case '--to':
      return fitting(plain(names.offsites), typed);
    case '--depth':
      return fitting(plain(option.argChoices ?? verifyDepths), typed);
    case '--allow':
    case '--run':
      return listed(option.argChoices ?? allowanceNames, typed);
    default:
      return fitting(plain(option.argChoices ?? []), typed);
  }
}

function argumentValues(command: Command, argument: Argument, typed: string, names: KnownNames): Completion {
  if (argument.argChoices !== undefined) return fitting(plain(argument.argChoices), typed);
  const isOffsite = argument.name() === 'name' && command.parent?.name() === 'offsite';
  if (isOffsite) return fitting(plain(names.offsites), typed);
  const isInstance = ['instance', 'run', 'words'].includes(argument.name());
  return isInstance ? fitting(plain(names.instances), typed) : nothing;
}

/** Of a list with commas the last word is completed, by what is not in it yet. */
function listed(known: readonly string[], typed: string): Completion {
  const end = typed.lastIndexOf(',') + 1;
  const before = typed.slice(0, end);
  const taken = before.split(',');
  const left = known.filter((name) => !taken.includes(name));
  return prefixed(fitting(plain(left), typed.slice(end)), before);
}

function prefixed(completion: Completion, prefix: string): Completion {
  if (completion.files) return completion;
  const candidates = completion.candidates.map(({ word, about }) => ({ word: prefix + word, about }));
  return { files: false, candidates };
}

function plain(words: readonly string[]): Candidate[] {
  return words.map((word) => ({ word, about: '' }));
}

function fitting(candidates: readonly Candidate[], typed: string): Completion {
  return { files: false, candidates: candidates.filter(({ word }) => word.startsWith(typed)) };
}
