import type { Decision } from '../backups/retention.js';
import type { PruneReport } from '../backups/prune-report.js';
import { formatBytes, formatCount, formatTable } from './format.js';
import type { Paint } from './paint.js';
import { plainText } from './plain-text.js';

/** What would become of one backup on one off-site: what `prune --dry-run --json` prints. */
export interface PruneRow extends Decision {
  offsite: string;
  /** Of the backup as it was captured; absent when it was never sealed, or its manifest cannot be read. */
  bytes?: number;
}

/** What would go and what would stay on each off-site, as a table for each. */
export function prunePlanText(
  offsites: readonly string[],
  rows: readonly PruneRow[],
  paint: Paint,
  width = 80,
): string[] {
  return offsites.flatMap((offsite, index) => {
    const own = rows.filter((row) => row.offsite === offsite);
    const going = own.filter(({ keep }) => !keep).length;
    const all = own.length === 0 ? 'no backup' : `of ${formatCount(own.length, 'backup')}`;
    const what =
      own.length === 0 ? '' : going === 0 ? ' none goes' : ` ${String(going)} ${going === 1 ? 'goes' : 'go'}`;
    return [
      ...(index === 0 ? [] : ['']),
      paint.bold(`${offsite}: ${all}${what}`),
      ...(own.length === 0 ? [] : table(own, paint, width)),
    ];
  });
}

function table(rows: readonly PruneRow[], paint: Paint, width: number): string[] {
  const lines = formatTable(
    [{ title: 'backup' }, { title: 'size', align: 'right' }, { title: '' }, { title: 'why' }],
    rows.map(({ backup, bytes, keep, reasons }) => [
      backup,
      bytes === undefined ? '' : formatBytes(bytes),
      keep ? 'stays' : 'GOES',
      reasons.length === 0 ? 'no rule keeps it' : plainText(reasons.join(', ')),
    ]),
    width,
  );
  return lines.map((line) => (line.includes(' GOES ') ? paint.warn(line) : line));
}

/** What a prune by hand has done. */
export function pruneReportText({ offsites }: PruneReport): string[] {
  return offsites.flatMap(({ name, removed, swept, kept, appendOnly, error }) => {
    if (error !== undefined) return [];
    if (appendOnly) return [`${name}: left alone: append-only; ${formatCount(kept, 'backup')} there.`];
    const leftovers =
      swept.length === 0 ? '' : `, and what ${formatCount(swept.length, 'dead run')} had left`;
    const list = removed.length === 0 ? [] : [`  ${removed.join(', ')}`];
    return [
      `${name}: ${formatCount(removed.length, 'backup')} removed${leftovers}; ${String(kept)} kept.`,
      ...list,
    ];
  });
}
