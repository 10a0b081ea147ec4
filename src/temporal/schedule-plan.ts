import { isDeepStrictEqual } from 'node:util';
import { type ScheduleDescription, type ScheduleOptions, ScheduleOverlapPolicy } from '@temporalio/client';
import type { BackupSchedule, Configuration, DrillSchedule } from '../config/configuration.js';
import {
  backupScheduleId,
  backupWorkflowId,
  drillScheduleId,
  drillWorkflowId,
  EXPIRE_ID,
  RECONCILE_ID,
  TASK_QUEUE,
  WORKFLOWS,
} from '../workflows/names.js';
import { PermafrostInstance } from './search-attributes.js';

const MINUTE_MS = 60_000;

/** Services that nobody holds are found within this time. */
const RECONCILE_EVERY_MS = 5 * MINUTE_MS;

/** What a dead drill has left is gone within this time; its own lease needs an hour. */
const EXPIRE_EVERY_MS = 10 * MINUTE_MS;

/** What was missed of these is of no use later: the next look sees the same. */
const LOOK_CATCH_UP_MS = MINUTE_MS;

/** The memo by which a schedule is known to be made from the configuration, and so may be deleted with its instance. */
const MARK = { permafrost: 'schedule' } as const;

type Action = ScheduleOptions['action'];

/** A schedule as the configuration wants it, in the units and the full form in which a server describes one. */
export interface PlannedSchedule {
  readonly scheduleId: string;
  /** Daily at this time, or on one day of the month; or every so many milliseconds. */
  readonly when:
    | { readonly hour: number; readonly minute: number; readonly dayOfMonth?: number }
    | { readonly everyMs: number };
  readonly timezone: string;
  readonly jitterMs: number;
  readonly catchUpMs: number;
  readonly action: Action;
}

/** The schedules that the configuration asks for. Pure. */
export function plannedSchedules(configuration: Pick<Configuration, 'instances'>): PlannedSchedule[] {
  const backups = Object.values(configuration.instances).flatMap(({ domain, schedule }) =>
    schedule.backup === undefined ? [] : [backupOf(domain, schedule.backup)],
  );
  const drills = Object.values(configuration.instances).flatMap(({ domain, schedule }) =>
    schedule.drill === undefined ? [] : [drillOf(domain, schedule.drill)],
  );
  return [...backups, ...drills, reconcilePlan, expirePlan];
}

function backupOf(
  domain: string,
  { hour, minute, timezone, jitterMs, catchUpMs }: BackupSchedule,
): PlannedSchedule {
  return {
    scheduleId: backupScheduleId(domain),
    when: { hour, minute },
    timezone,
    jitterMs,
    catchUpMs,
    action: {
      type: 'startWorkflow',
      workflowType: WORKFLOWS.backup,
      workflowId: backupWorkflowId(domain),
      taskQueue: TASK_QUEUE,
      args: [{ instance: domain }],
      typedSearchAttributes: [{ key: PermafrostInstance, value: domain }],
      memo: { instance: domain, startedBy: 'schedule' },
      staticSummary: `Nightly backup of ${domain}`,
      staticDetails:
        `Started every day at ${clock(hour, minute)} (${timezone}) by the schedule \`${backupScheduleId(domain)}\`, ` +
        'which Permafrost makes from its configuration.\n\n' +
        `To pause it: \`permafrost schedule pause ${domain}\`. ` +
        `To end this run safely: \`permafrost cancel ${domain}\`; do not terminate it, that skips its clean-up.`,
    },
  };
}

function drillOf(
  domain: string,
  { day, hour, minute, timezone, jitterMs, catchUpMs }: DrillSchedule,
): PlannedSchedule {
  return {
    scheduleId: drillScheduleId(domain),
    when: { hour, minute, dayOfMonth: day },
    timezone,
    jitterMs,
    catchUpMs,
    action: {
      type: 'startWorkflow',
      workflowType: WORKFLOWS.drill,
      workflowId: drillWorkflowId(domain),
      taskQueue: TASK_QUEUE,
      args: [{ instance: domain }],
      typedSearchAttributes: [{ key: PermafrostInstance, value: domain }],
      memo: { instance: domain, startedBy: 'schedule' },
      staticSummary: `Monthly drill of ${domain}`,
      staticDetails:
        `Started on day ${String(day)} of every month at ${clock(hour, minute)} (${timezone}) by the schedule ` +
        `\`${drillScheduleId(domain)}\`, which Permafrost makes from its configuration: restores the newest backup of ` +
        'one off-site in a scratch place, another one each month, and proves that it is the instance.\n\n' +
        `To pause it: \`permafrost schedule pause ${domain} --drill\`. To end this run: \`permafrost cancel\` with ` +
        'its workflow id.',
    },
  };
}

const reconcilePlan: PlannedSchedule = {
  scheduleId: RECONCILE_ID,
  when: { everyMs: RECONCILE_EVERY_MS },
  timezone: 'UTC',
  jitterMs: 0,
  catchUpMs: LOOK_CATCH_UP_MS,
  action: {
    type: 'startWorkflow',
    workflowType: WORKFLOWS.reconcile,
    workflowId: RECONCILE_ID,
    taskQueue: TASK_QUEUE,
    args: [],
    memo: { startedBy: 'schedule' },
    staticSummary: 'Looks after services that nobody holds',
    staticDetails:
      'Every five minutes: starts services that a run left stopped and that no open run or guard is responsible for.',
  },
};

const expirePlan: PlannedSchedule = {
  scheduleId: EXPIRE_ID,
  when: { everyMs: EXPIRE_EVERY_MS },
  timezone: 'UTC',
  jitterMs: 0,
  catchUpMs: LOOK_CATCH_UP_MS,
  action: {
    type: 'startWorkflow',
    workflowType: WORKFLOWS.expire,
    workflowId: EXPIRE_ID,
    taskQueue: TASK_QUEUE,
    args: [],
    memo: { startedBy: 'schedule' },
    staticSummary: 'Removes what has had its time',
    staticDetails:
      'Every ten minutes: what drills that died have left on their host, and undos of restores after seven days.',
  },
};

/** What Temporal is told when a schedule is made. */
export function scheduleOptions(plan: PlannedSchedule): ScheduleOptions {
  return {
    scheduleId: plan.scheduleId,
    spec: {
      ...('everyMs' in plan.when
        ? { intervals: [{ every: plan.when.everyMs }] }
        : { calendars: [{ ...plan.when }] }),
      timezone: plan.timezone,
      jitter: plan.jitterMs,
    },
    policies: {
      overlap: ScheduleOverlapPolicy.SKIP,
      catchupWindow: plan.catchUpMs,
      // A failed night must not stop the next one.
      pauseOnFailure: false,
    },
    action: plan.action,
    memo: MARK,
  };
}

export function isOurs(memo: Record<string, unknown> | undefined): boolean {
  return memo?.['permafrost'] === MARK.permafrost;
}

/**
 * In what a schedule on the server differs from the plan, in words; empty when it does what the plan says. An
 * operator's pause and note are no difference.
 */
export function scheduleDiffers(plan: PlannedSchedule, found: ScheduleDescription): string[] {
  const aspects: readonly [string, unknown, unknown][] = [
    ['when', whenOf(plan), foundWhen(found)],
    ['timezone', plan.timezone, found.spec.timezone ?? 'UTC'],
    ['jitter', plan.jitterMs, found.spec.jitter ?? 0],
    ['catch-up window', plan.catchUpMs, found.policies.catchupWindow],
    ['overlap', ScheduleOverlapPolicy.SKIP, found.policies.overlap],
    ['pause on failure', false, found.policies.pauseOnFailure],
    ['workflow', plan.action.workflowType, found.action.workflowType],
    ['workflow id', plan.action.workflowId, found.action.workflowId],
    ['task queue', plan.action.taskQueue, found.action.taskQueue],
    ['input', plan.action.args ?? [], found.action.args ?? []],
    ['memo', plan.action.memo ?? {}, found.action.memo ?? {}],
    ['search attributes', attributes(plan.action), attributes(found.action)],
    ['summary', plan.action.staticSummary, found.action.staticSummary],
    ['details', plan.action.staticDetails, found.action.staticDetails],
  ];
  return aspects.filter(([, wanted, is]) => !isDeepStrictEqual(wanted, is)).map(([aspect]) => aspect);
}

function whenOf({ when }: PlannedSchedule): unknown {
  if ('everyMs' in when) return { calendars: [], intervals: [{ every: when.everyMs, offset: 0 }], skip: 0 };
  const only = (value: number) => [{ start: value, end: value, step: 1 }];
  const daily = {
    second: only(0),
    minute: only(when.minute),
    hour: only(when.hour),
    dayOfMonth: when.dayOfMonth === undefined ? [{ start: 1, end: 31, step: 1 }] : only(when.dayOfMonth),
    month: [{ start: 'JANUARY', end: 'DECEMBER', step: 1 }],
    year: [],
    dayOfWeek: [{ start: 'SUNDAY', end: 'SATURDAY', step: 1 }],
  };
  return { calendars: [daily], intervals: [], skip: 0 };
}

function foundWhen({ spec }: ScheduleDescription): unknown {
  return {
    calendars: (spec.calendars ?? []).map(({ second, minute, hour, dayOfMonth, month, year, dayOfWeek }) => ({
      second,
      minute,
      hour,
      dayOfMonth,
      month,
      year,
      dayOfWeek,
    })),
    // An offset of nothing is described as no offset.
    intervals: (spec.intervals ?? []).map(({ every, offset }) => ({ every, offset: offset ?? 0 })),
    skip: (spec.skip ?? []).length,
  };
}

function attributes({ typedSearchAttributes }: Pick<Action, 'typedSearchAttributes'>): unknown {
  const pairs = Array.isArray(typedSearchAttributes)
    ? typedSearchAttributes
    : (typedSearchAttributes?.getAll() ?? []);
  return Object.fromEntries(pairs.map(({ key, value }) => [key.name, value]));
}

function clock(hour: number, minute: number): string {
  return `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`;
}
