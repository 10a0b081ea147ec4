import type { temporal } from '@temporalio/proto';
import { defaultPayloadConverter } from '@temporalio/common';
import type { Stretch } from '../stretches.js';

type History = temporal.api.history.v1.IHistory;
type Event = temporal.api.history.v1.IHistoryEvent;

/** A step of a run: an activity, from its first start to its end. */
export interface Step extends Stretch {
  /** The activity's type, and what its summary says of it. */
  readonly name: string;
  /** When it was asked for. Milliseconds since the epoch, as all times here. */
  readonly askedAt: number;
  readonly attempts: number;
}

export interface RunHistory extends Stretch {
  readonly steps: Step[];
}

/** What Temporal recorded of a run that has ended, as far as a profile needs it. */
export function readHistory({ events }: History): RunHistory {
  const all = events ?? [];
  const scheduled = new Map<string, { name: string; askedAt: number; from?: number; attempts: number }>();
  const steps: Step[] = [];
  for (const event of all) {
    const asked = event.activityTaskScheduledEventAttributes;
    if (asked) {
      const name = [asked.activityType?.name ?? '', summaryOf(event)]
        .filter((text) => text !== '')
        .join(': ');
      scheduled.set(String(event.eventId), { name, askedAt: timeOf(event), attempts: 1 });
      continue;
    }
    const begun = event.activityTaskStartedEventAttributes;
    const step = scheduled.get(String(begun?.scheduledEventId ?? endOf(event)?.scheduledEventId));
    if (step === undefined) continue;
    if (begun) Object.assign(step, { from: timeOf(event), attempts: begun.attempt ?? 1 });
    else {
      const { name, askedAt, attempts } = step;
      // Of an activity that was tried again the last attempt is recorded: it has been at work since it was asked for.
      const from = attempts > 1 ? askedAt : (step.from ?? askedAt);
      steps.push({ name, askedAt, attempts, from, to: timeOf(event) });
    }
  }
  const [first, last] = [all[0], all.at(-1)];
  return { from: timeOf(first), to: timeOf(last), steps: steps.sort((a, b) => a.from - b.from) };
}

function endOf(event: Event) {
  return (
    event.activityTaskCompletedEventAttributes ??
    event.activityTaskFailedEventAttributes ??
    event.activityTaskTimedOutEventAttributes ??
    event.activityTaskCanceledEventAttributes
  );
}

function summaryOf(event: Event): string {
  const summary = event.userMetadata?.summary;
  return summary ? String(defaultPayloadConverter.fromPayload(summary)) : '';
}

function timeOf(event: Event | undefined): number {
  const time = event?.eventTime;
  return Number(time?.seconds ?? 0) * 1000 + (time?.nanos ?? 0) / 1e6;
}
