import type { BackupRow } from './backup-list.js';
import { formatBytes, formatDistance, formatDuration, formatFields } from './format.js';
import type { Paint } from './paint.js';
import { plainText } from './plain-text.js';
import { nextRunText } from './schedules.js';

/** How an instance stands. What could not be found out is empty, and a problem says why. */
export interface InstanceStatus {
  instance: string;
  services: { name: string; running: boolean }[];
  lastBackup: (BackupRow & { createdAt: string }) | null;
  /** Drills come with a later version. */
  lastDrill: null;
  running: { workflowId: string; runId: string; type: string; phase: string | null; since: string }[];
  /** ISO times. */
  next: { backup: string | null; drill: string | null };
  problems: string[];
}

export function statusText(status: InstanceStatus, now: Date, paint: Paint, width = 80): string[] {
  const { services, lastBackup, running, next, problems } = status;
  const fields: [string, string][] = [['services', servicesLine(services)]];
  fields.push([
    'last backup',
    lastBackup === null
      ? 'none'
      : `${lastBackup.backup}, ${formatDistance(lastBackup.createdAt, now)}, ${formatBytes(lastBackup.bytes)} on ` +
        lastBackup.offsites.join(', '),
  ]);
  for (const run of running) {
    const phase = run.phase === null ? '' : `, at ${run.phase}`;
    fields.push([
      'running',
      `${run.workflowId}${phase}, for ${formatDuration(now.getTime() - new Date(run.since).getTime())}`,
    ]);
  }
  if (running.length === 0) fields.push(['running', 'nothing']);
  fields.push(['next backup', next.backup === null ? 'none' : nextRunText(next.backup, now)]);
  return [
    paint.bold(status.instance),
    ...formatFields(fields, width),
    ...(problems.length === 0 ? [] : ['']),
    ...formatFields(
      problems.map((problem) => ['problem', plainText(problem)]),
      width,
    ).map(paint.warn),
  ];
}

function servicesLine(services: InstanceStatus['services']): string {
  if (services.length === 0) return 'unknown';
  const down = services.filter((service) => !service.running).map((service) => service.name);
  const up = services.filter((service) => service.running).map((service) => service.name);
  if (down.length === 0) return `all running: ${up.join(', ')}`;
  return `NOT RUNNING: ${down.join(', ')}${up.length === 0 ? '' : `; running: ${up.join(', ')}`}`;
}
