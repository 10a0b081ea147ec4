import type { BackupRow } from './backup-list.js';
import { formatBytes, formatDistance, formatDuration, formatFields, formatTime } from './format.js';
import type { Paint } from './paint.js';
import { plainText } from './plain-text.js';
import { nextRunText } from './schedules.js';

/** How an off-site stands: what is there, as far as it could be read. */
export interface OffsiteStatus {
  name: string;
  /** The newest backup that is there; null when there is none, or when it could not be read. */
  newest: string | null;
  /** ISO time at which that one was read back. */
  verifiedAt: string | null;
  /** Of what would be restored, milliseconds. */
  ageMs: number | null;
  /** A night has gone by without its backup. */
  late: boolean;
  error?: string;
}

/** What a drill came to. */
export interface DrillStatus {
  drill: string;
  backup: string;
  /** The off-site. */
  from: string;
  depth: string;
  passed: boolean;
  /** ISO time. */
  finishedAt: string;
  /** Until the instance would have been back, but for its media. Milliseconds. */
  recoveryTimeMs: number;
  /** With all media; null when it was not measured. */
  forecastMs: number | null;
}

/** A restore that something is kept of, so that it can be taken back. */
export interface UndoStatus {
  restore: string;
  backup: string;
  /** The host. */
  to: string;
  /** ISO time: then what is kept is dropped. */
  undoUntil: string;
  /** False when it was taken back already. */
  possible: boolean;
  /** Of the old database, as it was then. */
  keptBytes?: number;
}

/** How an instance stands. What could not be found out is empty, and a problem says why. */
export interface InstanceStatus {
  instance: string;
  services: { name: string; running: boolean }[];
  lastBackup: (BackupRow & { createdAt: string }) | null;
  offsites: OffsiteStatus[];
  /** The newest drill that has looked at a backup, by what this machine remembers. */
  lastDrill: DrillStatus | null;
  /** The newest first. */
  undos: UndoStatus[];
  running: { workflowId: string; runId: string; type: string; phase: string | null; since: string }[];
  /** ISO times. */
  next: { backup: string | null; drill: string | null };
  problems: string[];
}

export function statusText(status: InstanceStatus, now: Date, paint: Paint, width = 80): string[] {
  const { services, lastBackup, lastDrill, running, next, problems } = status;
  const fields: [string, string][] = [['services', servicesLine(services)]];
  fields.push([
    'last backup',
    lastBackup === null
      ? 'none'
      : `${lastBackup.backup}, ${formatDistance(lastBackup.createdAt, now)}, ${formatBytes(lastBackup.bytes)} on ` +
        lastBackup.offsites.join(', '),
  ]);
  for (const offsite of status.offsites) fields.push([offsite.name, offsiteLine(offsite)]);
  for (const undo of status.undos) fields.push(['restored', undoLine(undo, now)]);
  fields.push(['last drill', lastDrill === null ? 'none' : drillLine(lastDrill, now)]);
  for (const run of running) {
    const phase = run.phase === null ? '' : `, at ${run.phase}`;
    fields.push([
      'running',
      `${run.workflowId}${phase}, for ${formatDuration(now.getTime() - new Date(run.since).getTime())}`,
    ]);
  }
  if (running.length === 0) fields.push(['running', 'nothing']);
  fields.push(['next backup', next.backup === null ? 'none' : nextRunText(next.backup, now)]);
  fields.push(['next drill', next.drill === null ? 'none' : nextRunText(next.drill, now)]);
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

/** The age is that of the newest; when the last backup is there, its id needs no second line. */
function offsiteLine({ newest, ageMs, late, error }: OffsiteStatus): string {
  if (error !== undefined) return 'could not be read';
  if (newest === null || ageMs === null) return 'no backup';
  return `${newest}, ${formatDuration(ageMs)} old${late ? ': LATE' : ''}`;
}

function drillLine(
  { backup, from, depth, passed, finishedAt, recoveryTimeMs, forecastMs }: DrillStatus,
  now: Date,
): string {
  const what = `${backup} from ${from} (${depth}), ${formatDistance(finishedAt, now)}`;
  if (!passed) return `${what}: WOULD NOT RESTORE`;
  if (depth === 'files') return `${what}: passed`;
  const full = forecastMs === null ? '' : `, with all media in about ${formatDuration(forecastMs)}`;
  return `${what}: passed; back in ${formatDuration(recoveryTimeMs)}${full}`;
}

function servicesLine(services: InstanceStatus['services']): string {
  if (services.length === 0) return 'unknown';
  const down = services.filter((service) => !service.running).map((service) => service.name);
  const up = services.filter((service) => service.running).map((service) => service.name);
  if (down.length === 0) return `all running: ${up.join(', ')}`;
  return `NOT RUNNING: ${down.join(', ')}${up.length === 0 ? '' : `; running: ${up.join(', ')}`}`;
}

function undoLine({ restore, backup, to, undoUntil, possible, keptBytes }: UndoStatus, now: Date): string {
  const what = `${restore}: ${backup} on ${to}`;
  const size =
    keptBytes === undefined ? 'what is kept for it is' : `${formatBytes(keptBytes)} of database are`;
  const until = `${formatTime(undoUntil)} (${formatDistance(undoUntil, now)})`;
  return possible
    ? `${what}; permafrost undo is possible until ${until}, then ${size} dropped`
    : `${what}; taken back; ${size} dropped at ${until}`;
}
