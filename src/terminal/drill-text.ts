import type { DrillReport } from '../backups/drill-report.js';
import { formatBytes, formatDuration, formatFields, formatTable, wrap } from './format.js';
import type { Paint } from './paint.js';
import { plainText } from './plain-text.js';

/** What a drill came to: each thing that was proven or found, what was not looked at, and how long a recovery takes. */
export function drillText(report: DrillReport, paint: Paint, width = 80, next?: string): string[] {
  const { backup, instance, from, host, depth, passed, status } = report;
  const name = `Backup ${backup} of ${instance}, from ${from}`;
  const [end, colour] = ends[status];
  return [
    ...wrap(`${name}: ${end}`, width).map((text) => paint[colour](paint.bold(text))),
    '',
    ...checkLines(report, paint, width),
    ...formatFields(
      [
        ...report.notProven.map((why, at) => [at === 0 ? 'not proven' : '', line(why)] as const),
        ...report.warnings.map((warning) => ['warning', line(warning)] as const),
        ['depth', `${depth}, on ${host}`],
        ...(passed && depth !== 'files' ? recoveryFields(report) : []),
        ['took', formatDuration(report.durationMs)],
        ...(next === undefined ? [] : [['what to do', next] as const]),
      ],
      width,
    ),
  ];
}

const ends = {
  passed: ['it is the instance', 'good'],
  findings: ['IT WOULD NOT RESTORE', 'bad'],
  failed: ['the drill failed', 'bad'],
  cancelled: ['the drill was cancelled', 'bad'],
} as const;

function checkLines({ checks }: DrillReport, paint: Paint, width: number): string[] {
  if (checks.length === 0) return [];
  const rows = checks.map(({ name, passed, detail, durationMs }) => [
    `${passed ? '✓' : '✗'} ${name}`,
    line(detail),
    formatDuration(durationMs),
  ]);
  const columns = [
    { title: 'check' },
    { title: 'what was seen' },
    { title: 'took', align: 'right' as const },
  ];
  let bad = false;
  return [
    ...formatTable(columns, rows, width).map((text) => {
      if (/^[✓✗]/.test(text)) bad = text.startsWith('✗');
      return bad ? paint.bad(text) : text;
    }),
    '',
  ];
}

/** What a person wants to know who has to say when the instance is back. */
function recoveryFields({ times, recoveryTimeMs, forecast }: DrillReport): [string, string][] {
  const { fetchMs, fetchedBytes, loadMs, bootMs } = times;
  const stretches = [
    `fetched ${formatBytes(fetchedBytes)} in ${formatDuration(fetchMs)}`,
    `loaded in ${formatDuration(loadMs)}`,
    ...(bootMs === undefined ? [] : [`booted in ${formatDuration(bootMs)}`]),
  ];
  return [
    ['recovery time', `${formatDuration(recoveryTimeMs)}: ${stretches.join(', ')}`],
    ...(forecast === undefined
      ? []
      : [
          ['a full restore', `about ${formatDuration(forecast.totalMs)}: ${forecast.detail}`] as [
            string,
            string,
          ],
        ]),
  ];
}

function line(text: string): string {
  return plainText(text).replace(/\s+/g, ' ');
}
