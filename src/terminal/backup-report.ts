import type { BackupPlan, BackupReport } from '../backups/report.js';
import { formatBytes, formatCount, formatDuration, formatFields, formatTable } from './format.js';
import type { Paint } from './paint.js';
import { servicesText } from './progress.js';
import { plainText } from './plain-text.js';

/** What a run came to, for a person: the parts, the downtime, every off-site with what was read back. */
export function reportText(report: BackupReport, paint: Paint, more: { address?: string } = {}): string[] {
  const duration = new Date(report.finishedAt).getTime() - new Date(report.startedAt).getTime();
  const parts = formatTable(
    [{ title: 'part' }, { title: 'size', align: 'right' }, { title: 'files', align: 'right' }],
    report.parts.map((part) => [part.name, formatBytes(part.bytes), String(part.files)]),
  );
  const fields: [string, string][] = [
    ['took', formatDuration(duration)],
    ['downtime', downtimeText(report)],
  ];
  if (more.address !== undefined) fields.push(['history', more.address]);
  return [
    titleOf(report, paint),
    '',
    ...(report.parts.length === 0 ? [] : [...parts.map((line) => `  ${line}`), '']),
    ...report.offsites.flatMap((offsite) =>
      formatFields([[offsite.name, offsiteText(offsite)]]).map((line) =>
        offsite.sealed ? line : paint.bad(line),
      ),
    ),
    '',
    ...formatFields(fields),
    ...warningsText(report.warnings, paint),
  ];
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
export function planText(plan: BackupPlan, paint: Paint): string[] {
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
    ...formatFields([
      ['host', plainText(plan.host)],
      ['quiesce', plainText(quiesce)],
      ['parts', parts],
      ['off-sites', plan.offsites.map(offsiteInPlan).join(', ')],
      [
        'space',
        `needs about ${formatBytes(plan.spoolNeedBytes)} of ${formatBytes(plan.spoolFreeBytes)} free`,
      ],
    ]),
    ...warningsText(plan.warnings, paint),
  ];
}

function offsiteInPlan({ name, kind, problem }: BackupPlan['offsites'][number]): string {
  return problem === undefined ? `${name} (${kind})` : `${name} (NOT USABLE: ${plainText(problem.message)})`;
}

function warningsText(warnings: readonly string[], paint: Paint): string[] {
  if (warnings.length === 0) return [];
  return ['', ...formatFields(warnings.map((warning) => ['warning', plainText(warning)])).map(paint.warn)];
}
