import type { RestorePlan, RestoreReport, RestoreRequest, UndoReport } from '../backups/restore-report.js';
import { formatBytes, formatCount, formatDuration, formatFields, formatTable, formatTime } from './format.js';
import type { Paint } from './paint.js';
import { plainText } from './plain-text.js';
import { servicesText } from './progress.js';

/** What a restore would do: where, from where, how much, what is lost and what is kept. */
export function restorePlanText(
  plan: RestorePlan,
  { instance, backup, from }: Pick<RestoreRequest, 'instance' | 'backup' | 'from'>,
  paint: Paint,
  width = 80,
): string[] {
  const replaces = plan.parts.some(({ name }) => name !== 'media');
  const parts = formatTable(
    [{ title: 'part' }, { title: 'size', align: 'right' }, { title: 'what happens' }],
    plan.parts.map(({ name, bytes, what }) => [name, formatBytes(bytes), line(what)]),
    width,
  );
  const services =
    plan.services.length > 0
      ? `${plan.services.join(', ')} stand still for the swap alone; a lease of ${formatDuration(plan.leaseMs)} on the host starts them if nothing else does`
      : replaces
        ? 'none runs now; those that belong up are started at the end'
        : 'running, not touched';
  return [
    paint.bold(
      `This would put the backup ${backup} of ${instance} from ${from} on ${line(plan.to)}${plan.inPlace ? ', in place of what is there' : ', which is empty'}.`,
    ),
    'Nothing was touched.',
    '',
    ...parts,
    '',
    ...formatFields(
      [
        ['services', services],
        ...(plan.inPlace && plan.parts.some(({ name }) => name === 'database')
          ? [['lost', line(plan.lost.detail)] as const]
          : []),
        [
          'time',
          plan.expectedMs === undefined
            ? 'not known: no drill has measured it yet (permafrost drill)'
            : `about ${formatDuration(plan.expectedMs)} by the last drill, almost all of it while the services run`,
        ],
        ['space', `needs about ${formatBytes(plan.needBytes)} of ${formatBytes(plan.freeBytes)} free`],
        ...(plan.changedSecrets.length === 0
          ? []
          : [['secrets', `these change: ${plan.changedSecrets.join(', ')}`] as const]),
        ...(plan.changedFiles.length === 0
          ? []
          : [['files', `these change: ${line(plan.changedFiles.join(', '))}`] as const]),
        ...(plan.redis === undefined ? [] : [['redis', line(plan.redis)] as const]),
        [
          'undo',
          plan.inPlace && replaces
            ? 'what is replaced is kept for seven days: permafrost undo puts it back'
            : 'there is nothing that could be taken back',
        ],
      ],
      width,
    ),
    ...warningLines(plan.warnings, paint, width),
  ];
}

/** What a restore came to, and what is left to do by hand. */
export function restoredText(report: RestoreReport, paint: Paint, width = 80): string[] {
  const { instance, backup, from, to, media, ran, next } = report;
  const ok = report.error === undefined;
  const head = `${instance} on ${line(to)}: restored from ${backup} on ${from}`;
  return [
    ok ? paint.good(paint.bold(head)) : paint.warn(paint.bold(head)),
    '',
    ...formatFields(
      [
        ['parts', report.parts.join(', ')],
        ['proven', provenText(report)],
        ...report.notProven.map((why) => ['not proven', line(why)] as const),
        ...(media === undefined
          ? []
          : [
              [
                'media',
                `${formatCount(media.added, 'file')} added (${formatBytes(media.bytes)}), ${String(media.present)} were there`,
              ] as const,
            ]),
        ...(report.changedSecrets.length === 0
          ? []
          : [['secrets', `changed: ${report.changedSecrets.join(', ')}`] as const]),
        [
          'downtime',
          report.services === 'untouched'
            ? 'none: the services were not stopped'
            : `${formatDuration(report.downtimeMs)}; the services are ${servicesText(report.services)}`,
        ],
        ['took', formatDuration(Date.parse(report.finishedAt) - Date.parse(report.startedAt))],
        ...ran.map(
          ({ name, ok: done, detail }) =>
            ['ran', `${name}: ${done ? 'done' : 'FAILED'}; ${line(detail)}`] as const,
        ),
        ['undo', undoText(report)],
      ],
      width,
    ),
    ...warningLines(report.warnings, paint, width),
    // Lines that are to be copied are not wrapped.
    ...(next.length === 0
      ? []
      : ['', 'To be run by hand:', ...next.map((command) => `  ${plainText(command)}`)]),
  ];
}

function provenText({ checks }: RestoreReport): string {
  if (checks.length === 0) return "every file's hash, against the signed manifest";
  const passed = checks.filter((check) => check.passed).length;
  return `every file's hash, and ${String(passed)} of ${formatCount(checks.length, 'check')} of the database before the swap`;
}

function undoText({ undoUntil, instance, restore }: RestoreReport): string {
  return undoUntil === null
    ? 'nothing was replaced that could be taken back'
    : `until ${formatTime(undoUntil)}: permafrost undo ${instance} ${restore}`;
}

/** What an undo came to. */
export function undoneText(report: UndoReport, paint: Paint, width = 80): string[] {
  const head = `${report.instance} on ${line(report.to)}: the restore ${report.restore} is taken back`;
  return [
    report.error === undefined ? paint.good(paint.bold(head)) : paint.warn(paint.bold(head)),
    '',
    ...formatFields(
      [
        ...report.undone.map((what, at) => [at === 0 ? 'undone' : '', line(what)] as const),
        [
          'downtime',
          report.services === 'untouched'
            ? 'none: the services were not stopped'
            : `${formatDuration(report.downtimeMs)}; the services are ${servicesText(report.services)}`,
        ],
      ],
      width,
    ),
    ...warningLines(report.warnings, paint, width),
    ...(report.next.length === 0
      ? []
      : ['', 'To be run by hand:', ...report.next.map((one) => `  ${plainText(one)}`)]),
  ];
}

function warningLines(warnings: readonly string[], paint: Paint, width: number): string[] {
  if (warnings.length === 0) return [];
  return [
    '',
    ...formatFields(
      warnings.map((warning) => ['warning', line(warning)] as const),
      width,
    ).map(paint.warn),
  ];
}

function line(text: string): string {
  return plainText(text).replace(/\s+/g, ' ');
}
