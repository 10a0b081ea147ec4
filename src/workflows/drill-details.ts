import type { DrillReport } from '../backups/drill-report.js';
import { formatDuration } from '../backups/duration.js';
import type { BackupProgress } from '../backups/report.js';
import { detailsOf } from './details.js';

/** A drill as Temporal's UI shows it under "current details". */
export function drillDetails(
  report: DrillReport,
  progress: BackupProgress,
  page: string | undefined,
): string {
  const { checks, notProven, error, forecast, recoveryTimeMs } = report;
  const times =
    report.status === 'passed' && report.depth !== 'files'
      ? [
          '',
          `Recovery time: **${formatDuration(recoveryTimeMs)}**${forecast === undefined ? '' : `; a full restore: about ${formatDuration(forecast.totalMs)} (${forecast.detail})`}`,
        ]
      : [];
  return [
    detailsOf(progress, error, 'Drill of backup'),
    ...times,
    ...(checks.length === 0 ? [] : ['', ...checks.map(checkLine)]),
    ...(notProven.length === 0 ? [] : ['', 'Not proven:', '', ...notProven.map((why) => `- ${line(why)}`)]),
    ...(page === undefined ? [] : ['', `[The whole report](${page})`]),
  ].join('\n');
}

function checkLine({ name, passed, detail }: DrillReport['checks'][number]): string {
  return passed ? `- ✓ ${name}: ${line(detail)}` : `- **✗ ${name}: ${line(detail)}**`;
}

function line(text: string): string {
  return text.replace(/\s+/g, ' ').slice(0, 300);
}
