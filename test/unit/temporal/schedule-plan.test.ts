import { expect, test } from 'vitest';
import type { Configuration } from '../../../src/config/configuration.js';
import { plannedSchedules, scheduleOptions } from '../../../src/temporal/schedule-plan.js';

function plans(backup?: object, drill?: object) {
  const schedule = { ...(backup && { backup }), ...(drill && { drill }) };
  const instances = { 'one.example': { domain: 'one.example', schedule } };
  return plannedSchedules({ instances: instances as unknown as Configuration['instances'] }).map(
    scheduleOptions,
  );
}

test('a night is started at the configured time, one at a time, and caught up for as long as configured', () => {
  const backup = { hour: 3, minute: 17, timezone: 'Europe/Berlin', jitterMs: 300_000, catchUpMs: 21_600_000 };
  expect(plans(backup)[0]).toMatchObject({
    scheduleId: 'backup/one.example',
    spec: { calendars: [{ hour: 3, minute: 17 }], timezone: 'Europe/Berlin', jitter: 300_000 },
    policies: { overlap: 'SKIP', catchupWindow: 21_600_000, pauseOnFailure: false },
    action: {
      workflowType: 'backup',
      workflowId: 'backup/one.example',
      taskQueue: 'permafrost',
      args: [{ instance: 'one.example' }],
      staticSummary: 'Nightly backup of one.example',
      staticDetails: expect.stringContaining('every day at 03:17 (Europe/Berlin)'),
    },
  });
});

test('a drill is started on its day of the month', () => {
  const drill = { day: 28, hour: 5, minute: 0, timezone: 'UTC', jitterMs: 0, catchUpMs: 21_600_000 };
  expect(plans(undefined, drill)[0]).toMatchObject({
    scheduleId: 'drill/one.example',
    spec: { calendars: [{ dayOfMonth: 28, hour: 5, minute: 0 }], timezone: 'UTC' },
    policies: { overlap: 'SKIP', catchupWindow: 21_600_000, pauseOnFailure: false },
    action: {
      ...{ workflowType: 'drill', workflowId: 'drill/one.example', args: [{ instance: 'one.example' }] },
      staticDetails: expect.stringContaining('on day 28 of every month at 05:00 (UTC)'),
    },
  });
});

test('without a time there is no night, and services and scratch are looked after all the same', () => {
  expect(plans()).toMatchObject([
    { scheduleId: 'reconcile', spec: { intervals: [{ every: 300_000 }] } },
    { scheduleId: 'expire', spec: { intervals: [{ every: 600_000 }] } },
  ]);
});
