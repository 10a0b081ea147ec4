import { formatBytes, formatCount, formatNumber } from '../../src/terminal/format.js';
import { type Night, type WayName, wayNames, wayTitles } from '../ways/way.js';
import type { RestoreTrial, TimedStep } from '../restores/trial.js';
import type { ProfiledStep, Profile } from './profile.js';
import type { Results, Round } from './results.js';
import { type Spread, spreadOf } from './spread.js';
import { downBeyondOwn, targets } from './targets.js';

/** What a bench has found, for a page. */
export function markdown(results: Results): string {
  return [
    ...setting(results),
    '',
    ...judged(results),
    '',
    ...compared(results),
    '',
    ...profiles(results),
  ].join('\n');
}

function setting({ command, at, machine, data, rounds }: Results): string[] {
  return [
    `\`${command}\`, ${at.slice(0, 10)}; ${formatCount(rounds.length, 'round')}; median (least to most).`,
    '',
    `Data: a database of ${formatBytes(data.databaseBytes)} on disk (${formatNumber(data.statuses)} statuses, ` +
      `${String(data.tables)} tables, ${String(data.indexes)} indexes and keys), ` +
      `${formatNumber(data.mediaFiles)} media files of ${formatBytes(data.mediaBytes)} together.`,
    '',
    `Machine: ${Object.entries(machine)
      .map(([name, value]) => `${name} ${value}`)
      .join('; ')}.`,
  ];
}

function judged(results: Results): string[] {
  const rows = targets(results).map(({ what, value, show, most, good }) => [
    what,
    shown(value, show),
    most === undefined ? '' : show(most),
    good === undefined ? '' : good ? 'yes' : '**no**',
  ]);
  return rows.length === 0 ? [] : table(['', 'measured', 'at most', 'reached'], rows);
}

function compared({ rounds }: Results): string[] {
  const all = rounds.flatMap(({ nights }) => Object.values(nights));
  const most = Math.max(0, ...all.map(({ length }) => length));
  const own = spreadOf(rounds.flatMap(({ ownMs }) => ownMs));
  return [
    ...Array.from({ length: most }, (_, at) =>
      nightTable(`Night ${String(at + 1)}`, rounds, ({ nights }, name) => nights[name]?.[at]),
    ).flat(),
    ...nightTable('A night after which nothing has changed', rounds, ({ quiet }, name) => quiet[name]),
    ...restoreTable(rounds),
    `The services' own stop and start, with nothing between them: ${shown(own, seconds)}.`,
  ];
}

/** A column for each way that has had this night. */
function nightTable(
  title: string,
  rounds: readonly Round[],
  nightOf: (round: Round, name: WayName) => Night | undefined,
): string[] {
  const columns = wayNames.flatMap((name) => {
    const nights = rounds.flatMap((round) => {
      const night = nightOf(round, name);
      return night === undefined ? [] : [{ night, round }];
    });
    return nights.length === 0 ? [] : [{ name, nights }];
  });
  if (columns.length === 0) return [];
  const row = (
    what: string,
    of: (night: Night, round: Round) => number | undefined,
    show: (value: number) => string,
  ) => [
    what,
    ...columns.map(({ nights }) => {
      const values = nights.flatMap(({ night, round }) => of(night, round) ?? []);
      return values.length === 0 ? '' : shown(spreadOf(values), show);
    }),
  ];
  const rows = [
    row('whole night', ({ wallMs }) => wallMs, seconds),
    row('… sent and read back', ({ permafrost }) => permafrost?.deliveryMs, seconds),
    row('… media looked at and sent', ({ permafrost }) => permafrost?.mediaMs, seconds),
    row('services down', ({ outageMs }) => outageMs, seconds),
    row('… beyond their own stop and start', downBeyondOwn, seconds),
    row('bytes stored', ({ bytesAdded }) => bytesAdded, formatBytes),
    row('orchestration', ({ permafrost }) => ms(permafrost?.profile.orchestrationSeconds), seconds),
    row('… with nothing running at all', ({ permafrost }) => ms(permafrost?.profile.idleSeconds), seconds),
    row("worker's memory before", ({ permafrost }) => permafrost?.workerRestBytes, formatBytes),
    row("worker's peak memory", ({ permafrost }) => permafrost?.workerPeakBytes, formatBytes),
    row("Temporal server's peak memory", ({ permafrost }) => permafrost?.serverPeakBytes, formatBytes),
    row('events in the history', ({ permafrost }) => permafrost?.historyEvents, formatNumber),
  ];
  const filled = rows.filter(([, ...cells]) => cells.some((cell) => cell !== ''));
  return [`### ${title}`, '', ...table(['', ...columns.map(({ name }) => wayTitles[name])], filled), ''];
}

function restoreTable(rounds: readonly Round[]): string[] {
  const trials = rounds.flatMap(({ restores }) => restores ?? []);
  if (trials.length === 0) return [];
  const row = (what: string, of: (trial: RestoreTrial) => number) => [
    what,
    shown(spreadOf(trials.map(of)), seconds),
  ];
  const rows = [
    row('bare: restic restore of the small parts', ({ bare }) => bare.fetchMs),
    row('bare: pg_restore -j1', ({ bare }) => bare.loadOneMs),
    row('bare: pg_restore -j2', ({ bare }) => bare.loadTwoMs),
    row('drill of the database, proofs and all', ({ drill }) => drill.wallMs),
    row('… from the off-site to the disk', ({ drill }) => drill.fetchMs),
    row('… pg_restore and ANALYZE', ({ drill }) => drill.loadMs),
    row('restore in place', ({ restore }) => restore.wallMs),
    row('… pg_restore and ANALYZE', ({ restore }) => restore.loadMs),
    row('… services down', ({ restore }) => restore.outageMs),
    row('undo of it', ({ undo }) => undo.wallMs),
    row('… services down', ({ undo }) => undo.outageMs),
  ];
  const last = trials.at(-1);
  return [
    ...['### Drill and restore', '', ...table(['', 'took'], rows), ''],
    ...(last === undefined ? [] : stepTables(last)),
  ];
}

/** Where the seconds of the last round went. */
function stepTables({ drill, restore }: RestoreTrial): string[] {
  const stepped = (title: string, steps: readonly TimedStep[]) => [
    ...table(
      [title, 'at', 'took'],
      steps.map(({ name, fromMs, tookMs }) => [name, seconds(fromMs), seconds(tookMs)]),
    ),
    '',
  ];
  const checked = drill.checks.map(({ name, tookMs }) => [name, seconds(tookMs)]);
  return [
    ...stepped('step of the drill', drill.steps),
    ...[...table(['check of the drill', 'took'], checked), ''],
    ...stepped('step of the restore', restore.steps),
  ];
}

/** Where the seconds of the last round's nights went: with restic of each, elsewhere of the last, which is like all others. */
function profiles({ rounds }: Results): string[] {
  const last = rounds.at(-1);
  if (last === undefined) return [];
  return wayNames.flatMap((name) => {
    const nights = (last.nights[name] ?? []).map(({ permafrost }, at) => ({ at, permafrost }));
    return nights.slice(name === 'permafrost' ? 0 : -1).flatMap(({ at, permafrost }) => {
      if (permafrost === undefined) return [];
      const title = `### ${wayTitles[name]}, night ${String(at + 1)} of the last round`;
      return [title, '', ...profileLines(permafrost.profile), ''];
    });
  });
}

export function profileLines(profile: Profile): string[] {
  return [
    `The run took ${profile.runSeconds.toFixed(2)} s: in ${profile.workSeconds.toFixed(2)} s of them a job or a command of ` +
      `the backup was at work on the host, the other ${profile.orchestrationSeconds.toFixed(2)} s are orchestration: ` +
      `${profile.betweenSeconds.toFixed(2)} s between steps (Temporal and the workflow), the rest within steps (the worker, ` +
      `and the scripts that start, watch and remove jobs). In ${profile.idleSeconds.toFixed(2)} s nothing ran on the host at all.`,
    '',
    ...table(
      ['phase', 'step', 'at', 'took', 'alone', 'in jobs', 'in commands', 'job handling', 'nothing'],
      profile.steps.map((step, index) => stepRow(step, profile.steps[index - 1])),
      2,
    ),
    '',
    ...table(['job', 'at', 'took'], profile.jobs.map(ranRow)),
    '',
    ...table(
      [`command of ${longCommand.toFixed(1)} s or more`, 'at', 'took'],
      profile.commands.filter(({ took }) => took >= longCommand).map(ranRow),
    ),
  ];
}

/** Seconds from which on a command is worth a line. */
const longCommand = 0.3;

function ranRow({ name, from, took }: Profile['jobs'][number]): string[] {
  return [name, from.toFixed(2), took.toFixed(2)];
}

function stepRow(step: ProfiledStep, before: ProfiledStep | undefined): string[] {
  const { from, took, alone, inJobs, inCommands, inHandling } = step;
  const nothing = Math.max(0, took - inJobs - inCommands - inHandling);
  return [
    step.phase === before?.phase ? '' : step.phase,
    step.attempts > 1 ? `${step.name} (${String(step.attempts)} attempts)` : step.name,
    ...[from, took, alone, inJobs, inCommands, inHandling, nothing].map((value) => value.toFixed(2)),
  ];
}

function shown({ median, least, most, count }: Spread, show: (value: number) => string): string {
  return count === 1 ? show(median) : `${show(median)} (${show(least)} to ${show(most)})`;
}

function seconds(milliseconds: number): string {
  const value = milliseconds / 1000;
  return `${value.toFixed(Math.abs(value) < 10 ? 2 : 1)} s`;
}

function ms(value: number | undefined): number | undefined {
  return value === undefined ? undefined : value * 1000;
}

/** @param numbersFrom the first column with numbers, which stand at the right. */
function table(titles: readonly string[], rows: readonly (readonly string[])[], numbersFrom = 1): string[] {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(titles), line(titles.map((_, at) => (at < numbersFrom ? '---' : '--:'))), ...rows.map(line)];
}
