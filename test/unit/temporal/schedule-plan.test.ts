import { expect, test } from 'vitest';
import type { Configuration } from '../../../src/config/configuration.js';
import { plannedSchedules, scheduleOptions } from '../../../src/temporal/schedule-plan.js';

function plans(backup?: object) {
  const instances = {
    'one.example': { domain: 'one.example', schedule: backup === undefined ? {} : { backup } },
  };
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

test('without a time there is no night, and services are looked after all the same', () => {
  expect(plans()).toMatchObject([{ scheduleId: 'reconcile', spec: { intervals: [{ every: 300_000 }] } }]);
});
