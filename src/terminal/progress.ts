import type { BackupProgress, Phase, ServicesState, StepProgress } from '../backups/report.js';
import { clip, formatDuration, formatFields, wrap } from './format.js';
import { Pace } from './pace.js';
import type { Paint } from './paint.js';
import { plainText } from './plain-text.js';
import { stepLine, stepTable, type StepText, stepText } from './step-text.js';
import { padEndTo } from './text-width.js';

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
  /** When each running step was first seen, on the client's clock. */
  private readonly seen = new Map<string, number>();

  constructor(private readonly title: string) {}

  /** Takes note of how far the steps are: call it with every snapshot, drawn or not. */
  observe(snapshot: Snapshot): void {
    const at = snapshot.now.getTime();
    const open = new Set(snapshot.steps.map(({ id }) => id));
    for (const id of this.seen.keys()) if (!open.has(id)) this.seen.delete(id);
    for (const { id, progress } of snapshot.steps) {
      this.seen.set(id, this.seen.get(id) ?? at);
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
    const lines = [`${paint.bold(padEndTo(head, width - elapsed.length))}${elapsed}`, ''];
    if (progress === undefined) {
      lines.push(`  waiting for a worker, for ${elapsed}`);
    } else {
      lines.push(...phaseLines(progress.phases, now, paint, width));
      const steps = stepTable(
        snapshot.steps.map((step) => this.step(step, now)),
        width - 4,
      );
      if (steps.length > 0) lines.push('', ...steps.map((step) => clip(`    ${step}`, width)));
      lines.push('', ...stateLines(progress, paint, width));
    }
    if (snapshot.notes.length > 0)
      lines.push('', ...snapshot.notes.flatMap((note) => noteLines(note, width)).map(paint.warn));
    return lines;
  }

  /** The run in one plain line: what is running, how far, and whether the services are up. */
  line(snapshot: Snapshot): string {
    const { progress, now } = snapshot;
    if (progress === undefined) return ['waiting for a worker', ...snapshot.notes].join('; ');
    const running = progress.phases
      .filter((phase) => phase.state === 'running')
      .map((phase) => `${phase.name} running${since(phase, now)}`);
    const steps = snapshot.steps.map((step) => stepLine(this.step(step, now)));
    return [
      ...running,
      ...steps,
      `services ${servicesText(progress.services, progress.phases)}`,
      ...snapshot.notes,
    ].join('; ');
  }

  private step({ id, progress }: RunningStep, now: Date): StepText {
    const at = now.getTime();
    return stepText(progress, this.paces.get(paceKey(id, progress)), at, at - (this.seen.get(id) ?? at));
  }
}

/** Lines that a note may take: a message of a tool can be a page. */
const NOTE_LINES = 3;

function noteLines(note: string, width: number): string[] {
  const [first = '', ...rest] = wrap(plainText(note).replace(/\s+/g, ' '), width - 2).slice(0, NOTE_LINES);
  return [first, ...rest].map((line) => clip(`  ${line}`, width));
}

/** Below the phases: what an operator asks first. */
function stateLines(progress: BackupProgress, paint: Paint, width: number): string[] {
  const field = (name: string, value: string) =>
    formatFields([[name.padEnd('off-sites'.length), value]], width).map((line) => clip(line, width));
  const services = field('services', servicesText(progress.services, progress.phases));
  const count = progress.warnings.length;
  return [
    ...(progress.services === 'stopped' ? services.map(paint.warn) : services),
    ...(progress.offsites.length === 0 ? [] : field('off-sites', offsitesText(progress))),
    ...(count === 0 ? [] : field('warnings', `${String(count)}, shown at the end`).map(paint.warn)),
  ];
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
    lines.push(`services ${servicesText(after.services, after.phases)}`);
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
export function servicesText(state: ServicesState, phases: readonly Pick<Phase, 'name'>[] = []): string {
  switch (state) {
    case 'untouched':
      return 'running, not touched';
    case 'stopping':
      return 'being stopped';
    case 'stopped':
      return phases.some(({ name }) => name === 'swap')
        ? 'STOPPED while everything is put in place'
        : 'STOPPED while the moment is taken';
    case 'starting':
      return 'being started again';
    case 'up':
      return 'up';
  }
}

/** Phases below each other; colour is for the state alone, so that what is said of it stays as calm as the rest. */
function phaseLines(phases: readonly Phase[], now: Date, paint: Paint, width: number): string[] {
  const times = phases.map((phase) =>
    phase.startedAt === undefined ? '' : formatDuration(elapsedMs(phase, now)),
  );
  const timeWidth = Math.max(...times.map((time) => time.length));
  const nameWidth = Math.max(9, ...phases.map(({ name }) => name.length));
  return phases.map((phase, index) => {
    const name = `  ${phase.name.padEnd(nameWidth)}`;
    const detail = phase.detail === undefined ? '' : plainText(phase.detail);
    const rest = `  ${(times[index] ?? '').padEnd(timeWidth)}  ${detail}`.trimEnd();
    const line = `${name}  ${phase.state.padEnd(7)}`;
    const more = clip(rest, width - line.length);
    switch (phase.state) {
      case 'running':
        return `${paint.bold(line)}${more}`;
      case 'done':
        return `${name}  ${paint.good(phase.state.padEnd(7))}${more}`;
      case 'failed':
        return `${paint.bad(line)}${more}`;
      default:
        return paint.dim(line.trimEnd());
    }
  });
}

function offsitesText(progress: BackupProgress): string {
  return progress.offsites
    .map(({ name, state, error }) =>
      error === undefined ? `${name} ${state}` : `${name} ${state} (${clip(plainText(error), 60)})`,
    )
    .join(', ');
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
