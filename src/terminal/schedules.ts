import { formatDistance, formatFields, formatTime } from './format.js';
import { plainText } from './plain-text.js';

/** A schedule as Temporal describes it. */
export interface ScheduleRow {
  scheduleId: string;
  paused: boolean;
  note: string | undefined;
  nextRuns: readonly Date[];
  lastRuns: readonly { startedAt: Date; workflowId: string }[];
  running: readonly string[];
  skipped: number;
  missed: number;
}

/** Schedules for a person: when each runs next, and whether anything kept it from running. */
export function schedulesText(schedules: readonly ScheduleRow[], now: Date, width = 80): string[] {
  if (schedules.length === 0) return ['There are no schedules. Make them: permafrost schedule apply'];
  return schedules.flatMap((schedule, index) => [
    ...(index === 0 ? [] : ['']),
    schedule.scheduleId,
    ...formatFields(fieldsOf(schedule, now), width),
  ]);
}

function fieldsOf(schedule: ScheduleRow, now: Date): [string, string][] {
  const [next] = schedule.nextRuns;
  const [last] = schedule.lastRuns;
  const note = schedule.note === undefined ? '' : `: ${plainText(schedule.note)}`;
  const fields: [string, string][] = [
    ['next run', schedule.paused ? `PAUSED${note}` : next === undefined ? 'none' : nextRunText(next, now)],
    [
      'last run',
      last === undefined
        ? 'none yet'
        : `${formatTime(last.startedAt)}, ${formatDistance(last.startedAt, now)}`,
    ],
  ];
  if (schedule.running.length > 0) fields.push(['running', schedule.running.join(', ')]);
  if (schedule.skipped > 0)
    fields.push(['skipped', `${schedule.skipped}, because the run before was still open`]);
  if (schedule.missed > 0) fields.push(['missed', `${schedule.missed}, because no server was there in time`]);
  return fields;
}

/** `2026-11-23 03:17 UTC, in 20 h`. */
export function nextRunText(next: Date | string, now: Date): string {
  return `${formatTime(next)}, ${formatDistance(next, now)}`;
}
