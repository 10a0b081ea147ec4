import {
  type Client,
  ScheduleAlreadyRunning,
  type ScheduleDescription,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import type { Configuration } from '../config/configuration.js';
import { Failure } from '../errors.js';
import {
  isOurs,
  type PlannedSchedule,
  plannedSchedules,
  scheduleDiffers,
  scheduleOptions,
} from './schedule-plan.js';
import type { CarriedSchedule } from './server-files.js';

/** The most recent runs that a schedule's view lists; a server keeps ten. */
const LAST_RUNS = 10;

export interface ScheduleChange {
  readonly scheduleId: string;
  readonly outcome: 'created' | 'updated' | 'unchanged' | 'deleted';
  /** Of an update: what differed. */
  readonly differences: readonly string[];
}

/**
 * Makes the server's schedules those of the configuration: creates what is missing, updates what differs, deletes what
 * Permafrost made and the configuration no longer asks for. An operator's pause and note stay. Safe to repeat.
 *
 * @param carried schedules of a server that this one replaces: what is created takes their pause and note.
 */
export async function reconcileSchedules(
  client: Client,
  configuration: Pick<Configuration, 'instances'>,
  carried: readonly CarriedSchedule[] = [],
): Promise<ScheduleChange[]> {
  const plans = plannedSchedules(configuration);
  const wanted = new Set(plans.map((plan) => plan.scheduleId));
  const changes: ScheduleChange[] = [];
  for (const plan of plans) {
    const before = carried.find((schedule) => schedule.scheduleId === plan.scheduleId);
    changes.push((await created(client, plan, before)) ?? (await updated(client, plan)));
  }
  for await (const { scheduleId, memo } of client.schedule.list()) {
    if (wanted.has(scheduleId) || !isOurs(memo)) continue;
    await client.schedule.getHandle(scheduleId).delete().catch(ignoreAbsent);
    changes.push({ scheduleId, outcome: 'deleted', differences: [] });
  }
  return changes;
}

async function created(
  client: Client,
  plan: PlannedSchedule,
  before: CarriedSchedule | undefined,
): Promise<ScheduleChange | undefined> {
  const state =
    before === undefined
      ? {}
      : { state: { paused: before.paused, ...(before.note === undefined ? {} : { note: before.note }) } };
  try {
    await client.schedule.create({ ...scheduleOptions(plan), ...state });
    return { scheduleId: plan.scheduleId, outcome: 'created', differences: [] };
  } catch (error) {
    if (error instanceof ScheduleAlreadyRunning) return undefined;
    throw error;
  }
}

async function updated(client: Client, plan: PlannedSchedule): Promise<ScheduleChange> {
  const { scheduleId } = plan;
  const handle = client.schedule.getHandle(scheduleId);
  const differences = scheduleDiffers(plan, await handle.describe());
  if (differences.length === 0) return { scheduleId, outcome: 'unchanged', differences };
  const { spec, action, policies } = scheduleOptions(plan);
  await handle.update(({ state }) => ({
    spec,
    action,
    state,
    ...(policies === undefined ? {} : { policies }),
  }));
  return { scheduleId, outcome: 'updated', differences };
}

/** A schedule, as an operator wants to see it. */
export interface ScheduleView {
  readonly scheduleId: string;
  /** Made by Permafrost from its configuration. */
  readonly ours: boolean;
  readonly paused: boolean;
  readonly note: string | undefined;
  /** None while it is paused. */
  readonly nextRuns: readonly Date[];
  /** Newest first. */
  readonly lastRuns: readonly {
    readonly scheduledAt: Date;
    readonly startedAt: Date;
    readonly workflowId: string;
  }[];
  /** Workflow ids. */
  readonly running: readonly string[];
  /** Runs that were not started because the one before was still open. */
  readonly skipped: number;
  /** Runs that were not started because no server was there within the catch-up window. */
  readonly missed: number;
}

export async function listSchedules(client: Client): Promise<ScheduleView[]> {
  const views: ScheduleView[] = [];
  for await (const { scheduleId } of client.schedule.list()) {
    const description = await client.schedule.getHandle(scheduleId).describe().catch(ignoreAbsent);
    if (description !== undefined) views.push(viewOf(description));
  }
  return views.sort((one, other) => one.scheduleId.localeCompare(other.scheduleId, 'en'));
}

/** @throws Failure `NotFound`. */
export async function showSchedule(client: Client, scheduleId: string): Promise<ScheduleView> {
  return viewOf(await known(scheduleId, client.schedule.getHandle(scheduleId).describe()));
}

/** Pauses a schedule until it is resumed: a pause survives reconciling and a new Temporal version. @throws Failure `NotFound`. */
export async function pauseSchedule(client: Client, scheduleId: string, note?: string): Promise<void> {
  await known(
    scheduleId,
    client.schedule.getHandle(scheduleId).pause(note ?? 'Paused with permafrost schedule pause'),
  );
}

/** @throws Failure `NotFound`. */
export async function resumeSchedule(client: Client, scheduleId: string, note?: string): Promise<void> {
  const handle = client.schedule.getHandle(scheduleId);
  await known(scheduleId, handle.unpause(note ?? 'Resumed with permafrost schedule resume'));
}

/** Starts a run now, also when paused; skipped when the one before is still open. @throws Failure `NotFound`. */
export async function triggerSchedule(client: Client, scheduleId: string): Promise<void> {
  await known(scheduleId, client.schedule.getHandle(scheduleId).trigger(ScheduleOverlapPolicy.SKIP));
}

function viewOf({ scheduleId, memo, state, info }: ScheduleDescription): ScheduleView {
  return {
    scheduleId,
    ours: isOurs(memo),
    paused: state.paused,
    note: state.note === '' ? undefined : state.note,
    nextRuns: state.paused ? [] : info.nextActionTimes,
    lastRuns: info.recentActions
      .map(({ scheduledAt, takenAt, action }) => ({
        scheduledAt,
        startedAt: takenAt,
        workflowId: action.workflow.workflowId,
      }))
      .reverse()
      .slice(0, LAST_RUNS),
    running: info.runningActions.map((action) => action.workflow.workflowId),
    skipped: info.numActionsSkippedOverlap,
    missed: info.numActionsMissedCatchupWindow,
  };
}

async function known<T>(scheduleId: string, request: Promise<T>): Promise<T> {
  try {
    return await request;
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
    throw new Failure('NotFound', `Temporal has no schedule ${scheduleId}`, {
      next: 'Schedules are made from the configuration when it has a time for them: permafrost up, then permafrost schedule list.',
      cause: error,
    });
  }
}

function ignoreAbsent(error: unknown): undefined {
  if (!(error instanceof ScheduleNotFoundError)) throw error;
  return undefined;
}
