import { Command, InvalidArgumentError, Option } from 'commander';
import { type WayName, wayNames } from './ways/way.js';

export interface Options {
  readonly databaseBytes: number;
  readonly mediaFiles: number;
  readonly mediaBytes: number;
  readonly rounds: number;
  readonly nights: number;
  readonly folder: string;
  readonly keep: boolean;
  readonly only: readonly WayName[];
  /** Drill and restore a backup, too. */
  readonly restores: boolean;
  readonly json: string | undefined;
}

/** What the README's figures are measured on, and a quick look that proves nothing but that the bench works. */
const full = { databaseSize: '1.5GB', mediaFiles: '60000', mediaSize: '3GB' };
const small = { databaseSize: '60MB', mediaFiles: '2000', mediaSize: '100MB' };

/** @throws CommanderError for what cannot be understood; its message is written already. */
export function readOptions(words: readonly string[]): Options {
  const command = new Command('bench')
    .description(
      'measure Permafrost against the classic recipe, on this machine, with a data set made for it',
    )
    .option('--database-size <size>', `of the database on disk (default ${full.databaseSize})`, bytes)
    .option('--media-files <count>', `(default ${full.mediaFiles})`, count)
    .option('--media-size <size>', `of all media files together (default ${full.mediaSize})`, bytes)
    .option('--small', `a quick look: ${Object.values(small).join(', ')}`)
    .option('--rounds <count>', 'how often everything is measured', count, 3)
    .option(
      '--nights <count>',
      "Permafrost's nights in each round, with a day's changes between them",
      count,
      2,
    )
    .option(
      '--folder <folder>',
      'where it all lives; with all ways it needs ten times the data',
      '/var/tmp/permafrost-bench',
    )
    .option('--keep', 'keep the data set, and use it again the next time')
    .addOption(
      new Option(
        '--only <ways>',
        `of ${wayNames.join(', ')}, restore (default: all that are installed)`,
      ).argParser(ways),
    )
    .option('--json <file>', 'write every measurement here')
    .exitOverride();
  command.parse(words, { from: 'user' });
  const given = command.opts<{
    databaseSize?: number;
    mediaFiles?: number;
    mediaSize?: number;
    small?: boolean;
    rounds: number;
    nights: number;
    folder: string;
    keep?: boolean;
    only?: (WayName | 'restore')[];
    json?: string;
  }>();
  const defaults = given.small === true ? small : full;
  return {
    databaseBytes: given.databaseSize ?? bytes(defaults.databaseSize),
    mediaFiles: given.mediaFiles ?? count(defaults.mediaFiles),
    mediaBytes: given.mediaSize ?? bytes(defaults.mediaSize),
    ...{ rounds: given.rounds, nights: given.nights, folder: given.folder, json: given.json },
    keep: given.keep === true,
    only: given.only?.filter((name) => name !== 'restore') ?? wayNames,
    restores: given.only?.includes('restore') ?? true,
  };
}

/** `1.5GB`, `60MB`: decimal, as everywhere in Permafrost's output. */
function bytes(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)\s*(kB|MB|GB|B)?$/i.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError('a size looks like 1.5GB or 60MB');
  return Math.round(Number(number) * ({ kb: 1e3, mb: 1e6, gb: 1e9 }[unit.toLowerCase()] ?? 1));
}

function count(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('a count is a whole number from 1 on');
  return Number(text);
}

function ways(text: string): (WayName | 'restore')[] {
  const words = text.split(',');
  return words.map((word) => {
    const name = [...wayNames, 'restore' as const].find((known) => known === word);
    if (name === undefined)
      throw new InvalidArgumentError(`there is no ${word}, but: ${wayNames.join(', ')}, restore`);
    return name;
  });
}
