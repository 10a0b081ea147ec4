import type { BackupProgress, Phase, ServicesState, StepProgress } from '../backups/report.js';
import { clip, formatBytes, formatDuration, formatNumber } from './format.js';
import { Pace } from './pace.js';
import type { Paint } from './paint.js';
import { plainText } from './plain-text.js';

/** What a running step tells, with the id of the activity that tells it. */
export interface RunningStep {
  id: string;
  progress: StepProgress;
}

/** What is known about a run at one moment. */
export interface Snapshot {
  /** The client's clock. */
  now: Date;
  /** Undefined until a worker has answered. */
  progress: BackupProgress | undefined;
  steps: readonly RunningStep[];
  startedAt: Date;
  /** What the command has to say itself: that no worker answers, that the run is being cancelled. */
  notes: readonly string[];
}

/** Remembers how fast every step goes; draws a run as the lines of a live view or as one line. */
export class ProgressView {
  private readonly paces = new Map<string, Pace>();

  constructor(private readonly title: string) {}

  /** Takes note of how far the steps are: call it with every snapshot, drawn or not. */
  observe(snapshot: Snapshot): void {
    const at = snapshot.now.getTime();
    for (const { id, progress } of snapshot.steps) {
      const key = paceKey(id, progress);
      const pace = this.paces.get(key) ?? new Pace();
      this.paces.set(key, pace);
      pace.add(at, progress.bytes ?? progress.files ?? 0);
    }
  }

  /** The live view: one line a phase, the running steps, services and off-sites; no line wider than `width`. */
  lines(snapshot: Snapshot, paint: Paint, width = 80): string[] {
    const { progress, now, startedAt } = snapshot;
    const id = progress === undefined ? '' : ` ${progress.backup}`;
    const elapsed = formatDuration(now.getTime() - startedAt.getTime());
    const head = clip(`${this.title}${id}`, width - elapsed.length - 2);
    const lines = [`${paint.bold(head.padEnd(width - elapsed.length))}${elapsed}`, ''];
    if (progress === undefined) {
      lines.push('  waiting for a worker');
    } else {
      lines.push(...progress.phases.map((phase) => phaseLine(phase, now, paint, width)));
      const steps = snapshot.steps.map((step) => clip(`    ${this.step(step, now)}`, width));
      if (steps.length > 0) lines.push('', ...steps);
      lines.push('', clip(`  services   ${servicesText(progress.services)}`, width));
      if (progress.offsites.length > 0) lines.push(clip(`  off-sites  ${offsitesText(progress)}`, width));
      const count = progress.warnings.length;
      if (count > 0) lines.push(paint.warn(`  warnings   ${count}, shown at the end`));
    }
    if (snapshot.notes.length > 0)
      lines.push('', ...snapshot.notes.map((note) => paint.warn(clip(`  ${note}`, width))));
    return lines;
  }

  /** The run in one plain line: what is running, how far, and whether the services are up. */
  line(snapshot: Snapshot): string {
    const { progress, now } = snapshot;
    if (progress === undefined) return ['waiting for a worker', ...snapshot.notes].join('; ');
    const running = progress.phases
      .filter((phase) => phase.state === 'running')
      .map((phase) => `${phase.name} running${since(phase, now)}`);
    const steps = snapshot.steps.map((step) => this.step(step, now));
    return [...running, ...steps, `services ${servicesText(progress.services)}`, ...snapshot.notes].join(
      '; ',
    );
  }

  private step({ id, progress }: RunningStep, now: Date): string {
    const name = [progress.step, progress.subject].filter((word) => word !== undefined).join(' ');
    const pace = this.paces.get(paceKey(id, progress));
    const facts: string[] = [];
    const { bytes, totalBytes, files, totalFiles } = progress;
    if (bytes !== undefined) facts.push(amount(formatBytes(bytes), totalBytes, formatBytes));
    if (files !== undefined) facts.push(`${amount(formatNumber(files), totalFiles, formatNumber)} files`);
    const [done, total] = bytes === undefined ? [files, totalFiles] : [bytes, totalBytes];
    if (done !== undefined && total !== undefined && total > 0) facts.push(`${percent(done, total)} %`);
    const speed = pace?.perSecond(now.getTime());
    if (speed !== undefined && bytes !== undefined) facts.push(`${formatBytes(speed)}/s`);
    const left = total === undefined ? undefined : pace?.leftMs(now.getTime(), total);
    if (left !== undefined) facts.push(`${formatDuration(left)} left`);
    return plainText(facts.length === 0 ? name : `${name}: ${facts.join(', ')}`);
  }
}

/** What changed between two snapshots, one plain line each: phases, services, off-sites, warnings. */
export function changes(before: BackupProgress | undefined, after: BackupProgress, now: Date): string[] {
  const lines: string[] = [];
  for (const phase of after.phases) {
    const was = before?.phases.find((other) => other.name === phase.name)?.state ?? 'waiting';
    if (phase.state === was || phase.state === 'skipped') continue;
    const took = phase.state === 'done' || phase.state === 'failed' ? inTime(phase, now) : '';
    const detail = phase.detail === undefined ? '' : `: ${plainText(phase.detail)}`;
    lines.push(`${phase.name} ${phase.state}${took}${detail}`);
  }
  if (after.services !== (before?.services ?? 'untouched'))
    lines.push(`services ${servicesText(after.services)}`);
  for (const offsite of after.offsites) {
    const was = before?.offsites.find((other) => other.name === offsite.name)?.state ?? 'waiting';
    if (offsite.state === was) continue;
    const reason = offsite.error === undefined ? '' : `: ${plainText(offsite.error)}`;
    lines.push(`off-site ${offsite.name} ${offsite.state}${reason}`);
  }
  const known = new Set(before?.warnings);
  lines.push(
    ...after.warnings
      .filter((warning) => !known.has(warning))
      .map((warning) => `warning: ${plainText(warning)}`),
  );
  return lines;
}

/** The services' state in words that leave no doubt whether users reach the instance. */
export function servicesText(state: ServicesState): string {
  switch (state) {
    case 'untouched':
      return 'running, not touched yet';
    case 'stopping':
      return 'being stopped';
    case 'stopped':
      return 'STOPPED while the moment is taken';
    case 'starting':
      return 'being started again';
    case 'up':
      return 'up';
  }
}

function phaseLine(phase: Phase, now: Date, paint: Paint, width: number): string {
  const took = phase.startedAt === undefined ? '' : formatDuration(elapsedMs(phase, now));
  const detail = phase.detail === undefined ? '' : `  ${plainText(phase.detail)}`;
  const line = clip(
    `  ${phase.name.padEnd(10)} ${phase.state.padEnd(8)} ${took.padEnd(12)}${detail}`,
    width,
  ).trimEnd();
  switch (phase.state) {
    case 'running':
      return paint.bold(line);
    case 'done':
      return paint.good(line);
    case 'failed':
      return paint.bad(line);
    default:
      return paint.dim(line);
  }
}

function offsitesText(progress: BackupProgress): string {
  return progress.offsites
    .map(({ name, state, error }) =>
      error === undefined ? `${name} ${state}` : `${name} ${state}: ${plainText(error)}`,
    )
    .join(', ');
}

/** Whole percent, never 100 before the step has ended: what is still running is not done. */
function percent(done: number, total: number): number {
  return Math.max(0, Math.min(99, Math.floor((done / total) * 100)));
}

function amount(done: string, total: number | undefined, format: (value: number) => string): string {
  return total === undefined ? done : `${done} of ${format(total)}`;
}

function elapsedMs(phase: Phase, now: Date): number {
  const start = new Date(phase.startedAt ?? now).getTime();
  return Math.max(
    0,
    (phase.finishedAt === undefined ? now.getTime() : new Date(phase.finishedAt).getTime()) - start,
  );
}

function since(phase: Phase, now: Date): string {
  return phase.startedAt === undefined ? '' : ` for ${formatDuration(elapsedMs(phase, now))}`;
}

function inTime(phase: Phase, now: Date): string {
  return phase.startedAt === undefined ? '' : ` after ${formatDuration(elapsedMs(phase, now))}`;
}

function paceKey(id: string, progress: StepProgress): string {
  return JSON.stringify([id, progress.step, progress.subject, progress.bytes === undefined]);
}
