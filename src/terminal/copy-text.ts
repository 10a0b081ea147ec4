import type { CopyReport } from '../backups/copy-report.js';
import { formatBytes, formatCount, formatDuration, formatFields } from './format.js';
import type { Paint } from './paint.js';

/** What a copy from one off-site to another came to. */
export function copyText(report: CopyReport, paint: Paint, width = 80): string[] {
  const { backup, instance, from, to, status, copied, startedAt, finishedAt } = report;
  const name = `Backup ${backup} of ${instance}`;
  if (status === 'there already') return [paint.good(paint.bold(`${name}: ${to} has it already`))];
  const took = formatDuration(new Date(finishedAt).getTime() - new Date(startedAt).getTime());
  return [
    paint.good(paint.bold(`${name}: copied from ${from} to ${to}`)),
    '',
    ...formatFields(
      [
        ...copied.map((one): [string, string] => [
          one.backup,
          [
            ...(one.backup === backup ? [] : ['with the full dump that it needs']),
            `added ${formatBytes(one.bytesAdded)}`,
            `read back ${formatCount(one.checked.files, 'file')}, ${formatBytes(one.checked.bytes)}`,
          ].join('; '),
        ]),
        ['took', took],
      ],
      width,
    ),
  ];
}
