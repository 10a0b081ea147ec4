import type { BackupPlan, BackupReport } from '../backups/report.js';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatFields,
  formatNumber,
  formatTable,
} from './format.js';
import type { Paint } from './paint.js';
import { servicesText } from './progress.js';
import { plainText } from './plain-text.js';
import { padEndTo, textWidth } from './text-width.js';

/** What a run came to, for a person: the parts, the downtime, every off-site with what was read back. */
export function reportText(
  report: BackupReport,
  paint: Paint,
  more: { address?: string; width?: number } = {},
): string[] {
  const { width = 80 } = more;
  const duration = new Date(report.finishedAt).getTime() - new Date(report.startedAt).getTime();
  const parts = formatTable(
    [{ title: 'part' }, { title: 'size', align: 'right' }, { title: 'files', align: 'right' }],
    report.parts.map((part) => [part.name, formatBytes(part.bytes), formatNumber(part.files)]),
  );
  const fields: [string, string][] = [
    ['took', formatDuration(duration)],
    ['downtime', downtimeText(report)],
  ];
  if (more.address !== undefined) fields.push(['details', more.address]);
  return [
    titleOf(report, paint),
    '',
    ...(report.parts.length === 0 ? [] : [...parts.map((line) => `  ${line}`), '']),
    ...offsiteLines(report, paint, width),
    '',
    ...formatFields([...fields, ...copyFields(report)], width),
    ...warningsText(report.warnings, paint, width),
  ];
}

/** One below the other, what is said of each in one column. */
function offsiteLines({ offsites }: BackupReport, paint: Paint, width: number): string[] {
  const names = Math.max(0, ...offsites.map(({ name }) => textWidth(name)));
  return offsites.flatMap((offsite) => {
    const lines = formatFields([[padEndTo(offsite.name, names), offsiteText(offsite)]], width);
    return offsite.sealed ? lines : lines.map(paint.bad);
  });
}

/** How an off-site that was missed gets this very backup: the next run fills it with its own. */
function copyFields({ backup, instance, offsites }: BackupReport): [string, string][] {
  const from = offsites.find(({ sealed }) => sealed);
  if (from === undefined) return [];
  return offsites
    .filter(({ sealed }) => !sealed)
    .map(({ name }, at) => [
      at === 0 ? 'later' : '',
      `permafrost copy ${backup} ${instance} --from ${from.name} --to ${name}`,
    ]);
}

function titleOf(report: BackupReport, paint: Paint): string {
  const name = `Backup ${report.backup} of ${report.instance}`;
  switch (report.status) {
    case 'sealed':
      return paint.good(paint.bold(`${name}: sealed`));
    case 'partial':
      return paint.warn(paint.bold(`${name}: sealed, but not on every off-site`));
    default:
      return paint.bad(paint.bold(`${name}: ${report.status}`));
  }
}

function downtimeText(report: BackupReport): string {
  const { services, quiesce, downtimeMs } = report;
  if (services === 'untouched') return 'none: the services were not stopped';
  return `${formatDuration(downtimeMs)} (${quiesce}); the services are ${servicesText(services)}`;
}

function offsiteText(offsite: BackupReport['offsites'][number]): string {
  if (!offsite.sealed) {
    const reason = offsite.error === undefined ? '' : `: ${plainText(offsite.error.message)}`;
    const next = offsite.error === undefined ? '' : `\n${plainText(offsite.error.next)}`;
    return `NOT sealed${reason}${next}`;
  }
  const readBack =
    offsite.checked === undefined
      ? offsite.verified
        ? 'read back'
        : 'not read back'
      : `read back ${formatCount(offsite.checked.files, 'file')}, ${formatBytes(offsite.checked.bytes)}`;
  return `sealed; added ${formatBytes(offsite.bytesAdded)}; ${readBack}`;
}

/** What a run would do: preflight's findings. */
export function planText(plan: BackupPlan, paint: Paint, width = 80): string[] {
  const quiesce =
    plan.quiesce === 'none'
      ? 'none: the services keep running'
      : `${plan.quiesce}: stop ${plan.services.join(', ') || 'nothing (no service runs)'}; budget ` +
        `${formatDuration(plan.budgetMs)}, lease ${formatDuration(plan.leaseMs)}`;
  const parts = plan.parts
    .map((part) =>
      part.sourceBytes === undefined ? part.name : `${part.name} (${formatBytes(part.sourceBytes)})`,
    )
    .join(', ');
  return [
    paint.bold(`A backup of ${plan.instance} would do this. Nothing was touched.`),
    '',
    ...formatFields(
      [
        ['host', plainText(plan.host)],
        ['quiesce', plainText(quiesce)],
        ['parts', parts],
        ['off-sites', plan.offsites.map(offsiteInPlan).join(', ')],
        [
          'space',
          `needs about ${formatBytes(plan.spoolNeedBytes)} of ${formatBytes(plan.spoolFreeBytes)} free`,
        ],
      ],
      width,
    ),
    ...warningsText(plan.warnings, paint, width),
  ];
}

function offsiteInPlan({ name, kind, problem }: BackupPlan['offsites'][number]): string {
  return problem === undefined ? `${name} (${kind})` : `${name} (NOT USABLE: ${plainText(problem.message)})`;
}

function warningsText(warnings: readonly string[], paint: Paint, width: number): string[] {
  if (warnings.length === 0) return [];
  const fields = warnings.map((warning) => ['warning', plainText(warning)] as const);
  return ['', ...formatFields(fields, width).map(paint.warn)];
}
