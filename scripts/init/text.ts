import { basename, dirname } from 'node:path';
import type { LookedAt } from '../../src/mastodon/look.js';
import { formatFields, wrap } from '../../src/terminal/format.js';
import type { Paint } from '../../src/terminal/paint.js';
import { plainText } from '../../src/terminal/plain-text.js';
import { findingsOf, troublesOf } from './describe.js';
import type { NewFile } from './files.js';
import type { ChosenOffsite } from './offsites.js';

/** What `init` says to a person. */

const width = 80;

export function foundLines(where: string, instances: readonly LookedAt[], paint: Paint): string[] {
  return [
    '',
    `Found on ${where}:`,
    ...instances.flatMap((found) => {
      const fields = findingsOf(found).map(({ name, detail }) => [name, plainText(detail)] as const);
      return [
        '',
        `  ${paint.bold(plainText(found.domain))}`,
        ...formatFields(fields, width - 2).map((line) => `  ${line}`),
        ...troublesOf(found).flatMap(({ problem, next }) => [
          '',
          ...formatFields(
            [
              ['PROBLEM', plainText(problem)],
              ...(next === undefined ? [] : [['what to do', plainText(next)] as const]),
            ],
            width - 2,
          ).map((line) => `  ${line}`),
        ]),
      ];
    }),
  ];
}

export interface Written {
  readonly file: string;
  readonly files: readonly NewFile[];
  readonly offsites: readonly ChosenOffsite[];
  /** Sentences. */
  readonly warnings: readonly string[];
  readonly next: readonly Step[];
}

export interface Step {
  readonly command: string;
  readonly does: string;
}

export function writtenLines({ file, files, offsites, warnings, next }: Written, paint: Paint): string[] {
  const folder = dirname(file);
  const commandWidth = Math.max(
    ...next.filter(({ command }) => command.length < 40).map(({ command }) => command.length),
  );
  return [
    '',
    `Written to ${folder}:`,
    ...formatFields(
      [...new Map(files.map((one) => [one.path, one])).values()].map(({ path }) => [
        dirname(path) === folder ? basename(path) : path,
        contentOf(path, file, offsites),
      ]),
      width,
    ),
    ...warnings.flatMap((warning) => [
      '',
      ...wrap(plainText(warning), width - 4).map((line, at) => `${at === 0 ? paint.warn('!') : ' '} ${line}`),
    ]),
    '',
    'Next:',
    ...next.map(({ command, does }) => `  ${paint.bold(command.padEnd(commandWidth))}  ${does}`),
  ];
}

function contentOf(path: string, file: string, offsites: readonly ChosenOffsite[]): string {
  if (path === file) return 'the configuration, with what was found as comments';
  const password = offsites.filter(({ passwordFile }) => passwordFile === path);
  if (password.length > 0) return `the password of ${password.map(({ name }) => name).join(' and ')}`;
  if (path.endsWith('.pub')) return 'the public half of that key';
  if (path.endsWith('.key')) return 'a private SSH key';
  if (path.endsWith('.env')) return 'what opens the off-site';
  return 'the keys of the hosts that you have accepted';
}
