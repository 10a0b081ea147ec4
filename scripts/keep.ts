#!/usr/bin/env node
import type { BackupId } from '../src/backups/id.js';
import { dayOf } from '../src/backups/retention.js';
import type { Configuration, InstanceConfig } from '../src/config/configuration.js';
import { exitCodeOf, Failure } from '../src/errors.js';
import type { Offsite, StoredBackup } from '../src/offsite/offsite.js';
import { timezoneOf } from '../src/offsite/prune-plan.js';
import { chooseBackup, offsiteOf, withOffsite } from '../src/offsite/read.js';
import { commaList, someOf } from './cli/backup-choices.js';
import { backupAndInstance } from './cli/backup-word.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { failureOf } from './cli/failures.js';
import { problemLines } from './cli/problems.js';

interface KeepOptions {
  until?: string;
  offsite?: string[];
  release?: boolean;
}

export function keepCommand(run: Run) {
  return run
    .command('keep', 'keep a backup whatever retention says, for ever or until a day')
    .usage('[options] <backup> [instance]')
    .argument('<words...>', 'a backup: its id, a unique prefix of it, or latest')
    .option('--until <day>', 'to the end of this day, e.g. 2027-01-31')
    .option('--offsite <names>', 'on these off-sites alone', commaList)
    .option('--release', 'take the mark off again')
    .action(async (words: string[], options: KeepOptions, command) => {
      await keep(run.context(command), words, options);
    });
}

async function keep(context: Context, words: readonly string[], options: KeepOptions): Promise<void> {
  const { out } = context;
  const configuration = await context.configuration();
  const { instance, backup: wanted } = backupAndInstance(configuration, words);
  const until = untilOf(instance, options, new Date());
  const names =
    options.offsite === undefined
      ? instance.offsites
      : someOf('--offsite', options.offsite, instance.offsites);
  const { domain } = instance;

  const lists = await eachOffsite(configuration, instance, names, async (offsite) => {
    return (await offsite.list()).sealed;
  });
  const held = lists.flatMap(({ name, done }) => (done ?? []).map((stored) => ({ name, stored })));
  const unread = lists.flatMap(({ name, failure }) =>
    failure === undefined ? [] : [{ offsite: name, failure }],
  );
  if (held.length === 0 && unread[0] !== undefined) throw unread[0].failure;
  const backup = chooseBackup(
    held.map(({ stored }) => stored.backup),
    wanted,
    { domain, unread: unread.map(({ offsite }) => offsite) },
  );
  const holding = held.filter(({ stored }) => stored.backup === backup).map(({ name }) => name);
  const marks = await eachOffsite(configuration, instance, holding, (offsite) =>
    options.release === true ? release(offsite, backup) : mark(offsite, backup, until),
  );
  const failed = [
    ...unread,
    ...marks.flatMap(({ name, failure }) => (failure === undefined ? [] : [{ offsite: name, failure }])),
    // Who names an off-site wants it there.
    ...(options.offsite ?? [])
      .filter((name) => !holding.includes(name) && !unread.some(({ offsite }) => offsite === name))
      .map((name) => ({
        offsite: name,
        failure: new Failure('NotFound', `${name} does not have ${backup}`),
      })),
  ];
  const done = marks.flatMap(({ name, done: mark }) => (mark === undefined ? [] : [{ name, mark }]));
  // The latest of several marks holds: one that was there may go further than the new one.
  const kept =
    done
      .map(({ mark }) => mark)
      .sort()
      .at(-1) ?? null;
  out.complain(...problemLines(failed, out.widthFor(out.io.stderr), 'was left as it is'));
  const document = {
    ...{ backup, instance: domain, kept: kept === '' ? null : kept },
    offsites: [
      ...done.map(({ name }) => ({ name })),
      ...failed.map(({ offsite, failure }) => ({ name: offsite, error: failure.message })),
    ],
  };
  out.result(
    document,
    done.length === 0
      ? []
      : [
          keptText(
            backup,
            kept,
            done.map(({ name }) => name),
          ),
        ],
  );
  if (failed.length > 0) context.exitWith(exitCodeOf('Partial'));
}

/** @throws Failure `ConfigInvalid` for what is no day to come. */
function untilOf(instance: InstanceConfig, { until, release }: KeepOptions, now: Date): string | null {
  if (until === undefined) return null;
  if (release === true)
    throw new Failure('ConfigInvalid', '--until and --release do not go together', {
      next: 'give one of them',
    });
  const isDay = /^\d{4}-\d\d-\d\d$/.test(until) && !Number.isNaN(Date.parse(until));
  if (!isDay || new Date(until).toISOString().slice(0, 10) !== until)
    throw new Failure('ConfigInvalid', `--until: '${until}' is not a day`, { next: 'such as 2027-01-31' });
  const today = dayOf(now, timezoneOf(instance));
  if (until < today)
    throw new Failure(
      'ConfigInvalid',
      `--until: ${until} is over; today is ${today} for ${instance.domain}`,
      {
        next: 'give a day to come, or leave it out: then it is kept until it is released',
      },
    );
  return until;
}

/** Marks it, and looks: a prune may have removed it meanwhile. @returns what holds now: `forever`, or the day. */
async function mark(offsite: Offsite, backup: BackupId, until: string | null): Promise<string> {
  await offsite.keep(backup, until);
  const stored = await sealedThere(offsite, backup);
  return stored.kept ?? until ?? 'forever';
}

async function release(offsite: Offsite, backup: BackupId): Promise<string> {
  await offsite.release(backup);
  const { kept } = await sealedThere(offsite, backup);
  if (kept === undefined) return '';
  throw new Failure('OffsiteUnavailable', `${offsite.name} lets nothing be removed: the mark stays`, {
    next: 'where nothing is ever removed, a mark changes nothing',
  });
}

async function sealedThere(offsite: Offsite, backup: BackupId): Promise<StoredBackup> {
  const stored = (await offsite.list()).sealed.find((one) => one.backup === backup);
  if (stored !== undefined) return stored;
  throw new Failure('NotFound', `${backup} was removed from ${offsite.name} meanwhile`, {
    next: 'see what is there: permafrost list',
  });
}

/** Side by side, each on its own. */
async function eachOffsite<T>(
  configuration: Configuration,
  instance: InstanceConfig,
  names: readonly string[],
  use: (offsite: Offsite) => Promise<T>,
): Promise<{ name: string; done?: T; failure?: Failure }[]> {
  return Promise.all(
    names.map(async (name) => {
      try {
        return {
          name,
          done: await withOffsite(configuration, instance, offsiteOf(configuration, name), use),
        };
      } catch (error) {
        return { name, failure: failureOf(error) };
      }
    }),
  );
}

function keptText(backup: BackupId, kept: string | null, names: readonly string[]): string {
  const where = names.join(', ');
  if (kept === '') return `${backup} is no longer kept on ${where}: retention decides.`;
  return kept === null || kept === 'forever'
    ? `${backup} is kept on ${where} until it is released.`
    : `${backup} is kept on ${where} to the end of ${kept}.`;
}

if (isMain(import.meta.url)) await runScript(keepCommand);
