import { exitCodeOf, type FailureType, isRetryable } from '../../src/errors.js';
import type { Activities } from '../../src/activities/index.js';

/**
 * Builds the history that Temporal would have of a run, for a replay without a server: in turns, what happened outside
 * (`completed`, `failed`, `cancelRequested`, …) and what the workflow decided upon it (`decides(…)`, a workflow task).
 *
 * A replay passes only if the workflow decides exactly this, in this order; replay.ts adds what was said with it.
 */

/** An activity, told apart from others of its name where several are under way: `uploadPart to vault`. */
export type ActivityName = keyof Activities | `${keyof Activities} to ${string}`;
type Attributes = Record<string, unknown>;

/** One thing that a workflow asks Temporal for. */
export type Command =
  | { readonly do: 'activity' | 'cancelActivity'; readonly name: ActivityName }
  | { readonly do: 'child'; readonly type: string; readonly workflowId: string }
  | { readonly do: 'signal'; readonly workflowId: string; readonly name: string }
  | { readonly do: 'timer' | 'cancelTimer'; readonly name: string }
  | { readonly do: 'notAsked'; readonly activities: number; readonly timers: number }
  | { readonly do: 'patch'; readonly id: string }
  | { readonly do: 'upsert' | 'complete' | 'fail' | 'cancelled' };

/** Search attributes: what the run can be found by has changed. */
export const upsert: Command = { do: 'upsert' };
export const complete: Command = { do: 'complete' };
export const fail: Command = { do: 'fail' };
export const cancelled: Command = { do: 'cancelled' };
export const activity = (name: ActivityName): Command => ({ do: 'activity', name });
export const cancelActivity = (name: ActivityName): Command => ({ do: 'cancelActivity', name });
export const child = (type: string, workflowId: string): Command => ({ do: 'child', type, workflowId });
export const signal = (workflowId: string, name: string): Command => ({ do: 'signal', workflowId, name });
export const timer = (name: string): Command => ({ do: 'timer', name });
export const cancelTimer = (name: string): Command => ({ do: 'cancelTimer', name });

/** A change of the workflow that old runs do not have: noted before what it changes. */
export const patch = (id: string): Command => ({ do: 'patch', id });

/** Steps that the workflow came to when it was cancelled already: Temporal never hears of them, they are counted though. */
export const notAsked = (activities: number, timers = 0): Command => ({ do: 'notAsked', activities, timers });

/** When the first event of every built history happened. */
export const beganAt = Date.UTC(2026, 10, 22, 3, 17, 0);

/** The behaviour of today's SDK (its own flags, and those of its core); without them a replay is of older ones. */
const sdkMetadata = { coreUsedFlags: [1, 2, 3], langUsedFlags: [1, 2, 3, 4, 5, 6] };

const queue = { name: 'permafrost', kind: 'TASK_QUEUE_KIND_NORMAL' };
const runId = '0199a0b0-0000-7000-8000-000000000001';

export class History {
  readonly workflowId: string;
  readonly events: Attributes[] = [];
  /** How many things were asked for in each workflow task, by the event that started it. */
  readonly asked = new Map<number, number>();
  readonly #type: string;
  readonly #activities = new Map<ActivityName, { scheduled: string; cancel?: string }>();
  readonly #timers = new Map<string, { id: string; started: string }>();
  #child: { workflowId: string; type: string; initiated: string; started?: string } | undefined;
  #signal: { workflowId: string; initiated: string } | undefined;
  #decided = '';
  #activityCount = 0;
  #timerCount = 0;

  constructor(type: string, workflowId: string, input?: unknown) {
    this.workflowId = workflowId;
    this.#type = type;
    this.#push('WORKFLOW_EXECUTION_STARTED', {
      ...{ workflowType: { name: type }, taskQueue: queue, workflowId },
      ...(input === undefined ? {} : { input: payloads(input) }),
      ...{ originalExecutionRunId: runId, firstExecutionRunId: runId, attempt: 1 },
      workflowTaskTimeout: '10s',
    });
  }

  /** What the workflow asks for upon all that has happened: one workflow task. */
  decides(...commands: Command[]): this {
    const scheduledEventId = this.#push('WORKFLOW_TASK_SCHEDULED', { taskQueue: queue, attempt: 1 });
    const startedEventId = this.#push('WORKFLOW_TASK_STARTED', { scheduledEventId });
    this.#decided = this.#push('WORKFLOW_TASK_COMPLETED', {
      ...{ scheduledEventId, startedEventId, sdkMetadata },
    });
    for (const command of commands) this.#record(command);
    const heardOf = commands.filter((command) => command.do !== 'notAsked');
    this.asked.set(Number(startedEventId), heardOf.length);
    return this;
  }

  completed(name: ActivityName, result: unknown = null): this {
    this.#push('ACTIVITY_TASK_COMPLETED', { ...this.#startedAttempt(name), result: payloads(result) });
    return this;
  }

  /** The last attempt failed, as activities of ours fail. */
  failed(name: ActivityName, type: FailureType, message = `${name} failed`): this {
    const nonRetryable = !isRetryable(type);
    const details = payloads({ next: 'do this', host: 'the host', code: exitCodeOf(type) });
    this.#push('ACTIVITY_TASK_FAILED', {
      ...this.#startedAttempt(name),
      failure: { message, source: 'TypeScriptSDK', applicationFailureInfo: { type, nonRetryable, details } },
      retryState: nonRetryable ? 'RETRY_STATE_NON_RETRYABLE_FAILURE' : 'RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED',
    });
    return this;
  }

  /** No worker answered for longer than a heartbeat may take, as often as it may be tried. */
  timedOut(name: ActivityName): this {
    this.#push('ACTIVITY_TASK_TIMED_OUT', {
      ...this.#startedAttempt(name),
      failure: {
        message: 'activity Heartbeat timeout',
        timeoutFailureInfo: { timeoutType: 'TIMEOUT_TYPE_HEARTBEAT' },
      },
      retryState: 'RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED',
    });
    return this;
  }

  /** The activity has heard that it was cancelled, and has ended. */
  activityCancelled(name: ActivityName): this {
    const { cancel } = this.#scheduled(name);
    if (cancel === undefined) throw new Error(`nobody asked for the cancellation of ${name}`);
    const attempt = this.#startedAttempt(name);
    this.#push('ACTIVITY_TASK_CANCELED', { ...attempt, latestCancelRequestedEventId: cancel });
    return this;
  }

  /** Somebody cancels the run. */
  cancelRequested(): this {
    this.#push('WORKFLOW_EXECUTION_CANCEL_REQUESTED', { identity: 'an operator' });
    return this;
  }

  signalled(signalName: string): this {
    this.#push('WORKFLOW_EXECUTION_SIGNALED', { signalName, input: { payloads: [] } });
    return this;
  }

  fired(name: string): this {
    const { id, started } = this.#timer(name);
    this.#push('TIMER_FIRED', { timerId: id, startedEventId: started });
    return this;
  }

  childStarted(): this {
    const of = known(this.#child, 'a child was started');
    of.started = this.#push('CHILD_WORKFLOW_EXECUTION_STARTED', childAttributes(of));
    return this;
  }

  childCompleted(): this {
    const of = known(this.#child, 'a child was started');
    this.#push('CHILD_WORKFLOW_EXECUTION_COMPLETED', {
      ...childAttributes(of),
      ...{ startedEventId: known(of.started, 'the child has begun'), result: payloads(null) },
    });
    return this;
  }

  /** A workflow of the child's id is open already. */
  childRefused(): this {
    const { workflowId, type, initiated } = known(this.#child, 'a child was started');
    this.#push('START_CHILD_WORKFLOW_EXECUTION_FAILED', {
      ...{ namespace: 'default', workflowId, workflowType: { name: type }, initiatedEventId: initiated },
      ...{ cause: 'START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS' },
      workflowTaskCompletedEventId: this.#decided,
    });
    return this;
  }

  signalDelivered(): this {
    const { workflowId, initiated } = known(this.#signal, 'a signal was sent');
    this.#push('EXTERNAL_WORKFLOW_EXECUTION_SIGNALED', {
      ...{ namespace: 'default', initiatedEventId: initiated, workflowExecution: { workflowId } },
    });
    return this;
  }

  /** Nobody of that id is there any more. */
  signalLost(): this {
    const { workflowId, initiated } = known(this.#signal, 'a signal was sent');
    this.#push('SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED', {
      ...{ namespace: 'default', initiatedEventId: initiated, workflowExecution: { workflowId } },
      ...{ cause: 'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND' },
      workflowTaskCompletedEventId: this.#decided,
    });
    return this;
  }

  /** A piece of the story that is told elsewhere. */
  told(tell: (history: this) => void): this {
    tell(this);
    return this;
  }

  #record(command: Command): void {
    const decided = { workflowTaskCompletedEventId: this.#decided };
    switch (command.do) {
      case 'activity': {
        this.#activityCount += 1;
        const scheduled = this.#push('ACTIVITY_TASK_SCHEDULED', {
          ...{ activityId: String(this.#activityCount), activityType: { name: command.name.split(' ')[0] } },
          ...{ taskQueue: queue, input: payloads(null), ...decided },
        });
        this.#activities.set(command.name, { scheduled });
        return;
      }
      case 'cancelActivity': {
        const of = this.#scheduled(command.name);
        of.cancel = this.#push('ACTIVITY_TASK_CANCEL_REQUESTED', {
          ...{ scheduledEventId: of.scheduled, ...decided },
        });
        return;
      }
      case 'child': {
        const { type, workflowId } = command;
        const initiated = this.#push('START_CHILD_WORKFLOW_EXECUTION_INITIATED', {
          ...{ namespace: 'default', workflowId, workflowType: { name: type }, taskQueue: queue },
          ...{ parentClosePolicy: 'PARENT_CLOSE_POLICY_ABANDON', ...decided },
        });
        this.#child = { type, workflowId, initiated };
        return;
      }
      case 'signal': {
        const { workflowId, name } = command;
        const initiated = this.#push('SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED', {
          ...{
            namespace: 'default',
            workflowExecution: { workflowId },
            signalName: name,
            ...decided,
            childWorkflowOnly: true,
          },
        });
        this.#signal = { workflowId, initiated };
        return;
      }
      case 'timer': {
        this.#timerCount += 1;
        const id = String(this.#timerCount);
        const started = this.#push('TIMER_STARTED', { timerId: id, startToFireTimeout: '1s', ...decided });
        this.#timers.set(command.name, { id, started });
        return;
      }
      case 'cancelTimer': {
        const { id, started } = this.#timer(command.name);
        this.#push('TIMER_CANCELED', { timerId: id, startedEventId: started, ...decided });
        return;
      }
      case 'notAsked':
        this.#activityCount += command.activities;
        this.#timerCount += command.timers;
        return;
      case 'patch': {
        const data = payloads({ id: command.id, deprecated: false });
        this.#push('MARKER_RECORDED', {
          ...{ markerName: 'core_patch', details: { 'patch-data': data }, ...decided },
        });
        this.#push('UPSERT_WORKFLOW_SEARCH_ATTRIBUTES', { searchAttributes: {}, ...decided });
        return;
      }
      case 'upsert':
        this.#push('UPSERT_WORKFLOW_SEARCH_ATTRIBUTES', { searchAttributes: {}, ...decided });
        return;
      case 'complete':
        this.#push('WORKFLOW_EXECUTION_COMPLETED', decided);
        return;
      case 'fail': {
        const failure = { message: 'it failed', applicationFailureInfo: {} };
        const retryState = 'RETRY_STATE_RETRY_POLICY_NOT_SET';
        this.#push('WORKFLOW_EXECUTION_FAILED', { failure, retryState, ...decided });
        return;
      }
      case 'cancelled':
        this.#push('WORKFLOW_EXECUTION_CANCELED', decided);
    }
  }

  #push(type: string, attributes: Attributes): string {
    const eventId = String(this.events.length + 1);
    const eventTime = new Date(beganAt + this.events.length * 1000).toISOString();
    const key = type.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
    this.events.push({
      ...{ eventId, taskId: eventId, eventTime, eventType: `EVENT_TYPE_${type}` },
      [`${key}EventAttributes`]: attributes,
    });
    return eventId;
  }

  #startedAttempt(name: ActivityName): { scheduledEventId: string; startedEventId: string } {
    const { scheduled } = this.#scheduled(name);
    const started = this.#push('ACTIVITY_TASK_STARTED', { scheduledEventId: scheduled, attempt: 1 });
    return { scheduledEventId: scheduled, startedEventId: started };
  }

  #scheduled(name: ActivityName): { scheduled: string; cancel?: string } {
    return known(this.#activities.get(name), `${this.#type} asked for ${name}`);
  }

  #timer(name: string): { id: string; started: string } {
    return known(this.#timers.get(name), `${this.#type} has a timer '${name}'`);
  }
}

function known<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`the history is told in the wrong order: not yet: ${what}`);
  return value;
}

function childAttributes({
  type,
  workflowId,
  initiated,
}: {
  type: string;
  workflowId: string;
  initiated: string;
}) {
  return {
    ...{ namespace: 'default', initiatedEventId: initiated, workflowType: { name: type } },
    workflowExecution: { workflowId, runId: '0199a0b0-0000-7000-8000-000000000002' },
  };
}

function payloads(value: unknown): { payloads: { metadata: { encoding: string }; data: string }[] } {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const data = base64(JSON.stringify(value));
  return { payloads: [{ metadata: { encoding: base64('json/plain') }, data }] };
}
