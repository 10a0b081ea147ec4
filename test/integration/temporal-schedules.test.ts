import type { Client } from '@temporalio/client';
import { expect, test, vi } from 'vitest';
import { ensureNamespace } from '../../src/temporal/namespace.js';
import {
  listSchedules,
  pauseSchedule,
  reconcileSchedules,
  resumeSchedule,
  showSchedule,
  triggerSchedule,
} from '../../src/temporal/schedules.js';
import { clientOf, nightly, startedServer } from './temporal-server.js';

const far = (new Date().getUTCHours() + 12) % 24;
const soon = { timeout: 15_000, interval: 100 };

async function furnishedClient(): Promise<Client> {
  const { client, connection, namespace } = await clientOf(await startedServer());
  await ensureNamespace(connection, namespace);
  return client;
}

test('schedules follow the configuration, and an operator’s pause stays', async () => {
  const client = await furnishedClient();
  expect(await reconcileSchedules(client, nightly({ 'one.example': far, 'two.example': far }))).toEqual([
    { scheduleId: 'backup/one.example', outcome: 'created', differences: [] },
    { scheduleId: 'backup/two.example', outcome: 'created', differences: [] },
    { scheduleId: 'drill/one.example', outcome: 'created', differences: [] },
    { scheduleId: 'drill/two.example', outcome: 'created', differences: [] },
    { scheduleId: 'reconcile', outcome: 'created', differences: [] },
    { scheduleId: 'expire', outcome: 'created', differences: [] },
  ]);
  await pauseSchedule(client, 'backup/one.example', 'moving house');
  await client.schedule.create({
    scheduleId: 'of-somebody-else',
    spec: { intervals: [{ every: '1d' }] },
    action: { type: 'startWorkflow', workflowType: 'x', taskQueue: 'nobody' },
  });

  const same = await reconcileSchedules(client, nightly({ 'one.example': far, 'two.example': far }));
  expect(new Set(same.map(({ outcome }) => outcome))).toEqual(new Set(['unchanged']));

  const earlier = (far + 23) % 24;
  await vi.waitFor(async () => expect((await listSchedules(client)).length).toBe(7), soon);
  const changes = await reconcileSchedules(client, nightly({ 'one.example': earlier, 'two.example': null }));
  expect(changes.slice(0, 4)).toEqual([
    { scheduleId: 'backup/one.example', outcome: 'updated', differences: ['when', 'details'] },
    { scheduleId: 'drill/one.example', outcome: 'updated', differences: ['when', 'details'] },
    { scheduleId: 'reconcile', outcome: 'unchanged', differences: [] },
    { scheduleId: 'expire', outcome: 'unchanged', differences: [] },
  ]);
  expect(
    changes
      .slice(4)
      .map(({ scheduleId, outcome }) => `${scheduleId} ${outcome}`)
      .sort(),
  ).toEqual(['backup/two.example deleted', 'drill/two.example deleted']);
  const drills = (await showSchedule(client, 'drill/one.example')).nextRuns;
  expect(drills.map((next) => next.getUTCDate())).toEqual(drills.map(() => 2));

  expect(await showSchedule(client, 'backup/one.example')).toMatchObject({
    ours: true,
    paused: true,
    note: 'moving house',
    nextRuns: [],
  });
  await resumeSchedule(client, 'backup/one.example');
  const { nextRuns, skipped, missed } = await showSchedule(client, 'backup/one.example');
  const minutesAfterMidnight = [nextRuns[0]?.getUTCHours(), (nextRuns[0]?.getUTCMinutes() ?? 0) >= 17];
  expect(minutesAfterMidnight).toEqual([earlier, true]);
  expect({ skipped, missed }).toEqual({ skipped: 0, missed: 0 });
  expect((await showSchedule(client, 'of-somebody-else')).ours).toBe(false);
});

test('a schedule that was edited elsewhere is put right', async () => {
  const client = await furnishedClient();
  const configuration = nightly({ 'one.example': far });
  await reconcileSchedules(client, configuration);
  await client.schedule.getHandle('backup/one.example').update((found) => ({
    ...found,
    policies: { ...found.policies, overlap: 'ALLOW_ALL', pauseOnFailure: true },
    action: { ...found.action, args: [{ instance: 'other.example' }] },
  }));

  const [change] = await reconcileSchedules(client, configuration);
  expect(change?.differences).toEqual(['overlap', 'pause on failure', 'input']);
  const [again] = await reconcileSchedules(client, configuration);
  expect(again?.outcome).toBe('unchanged');
});

test('what a schedule starts can be found and understood, and never runs twice at once', async () => {
  const client = await furnishedClient();
  await reconcileSchedules(client, nightly({ 'one.example': far }));
  await triggerSchedule(client, 'backup/one.example');
  const workflowId = await vi.waitFor(async () => {
    const { lastRuns } = await showSchedule(client, 'backup/one.example');
    expect(lastRuns).toHaveLength(1);
    return lastRuns[0]?.workflowId ?? '';
  }, soon);
  expect(workflowId).toMatch(/^backup\/one\.example-\d{4}-/);

  await vi.waitFor(async () => {
    const found: string[] = [];
    const query = "PermafrostInstance = 'one.example'";
    for await (const run of client.workflow.list({ query })) found.push(run.workflowId);
    expect(found).toEqual([workflowId]);
  }, soon);
  const description = await client.workflow.getHandle(workflowId).describe();
  expect(description.type).toBe('backup');
  expect(description.taskQueue).toBe('permafrost');
  expect(await description.staticSummary()).toBe('Nightly backup of one.example');

  await triggerSchedule(client, 'backup/one.example');
  await vi.waitFor(async () => {
    expect(await showSchedule(client, 'backup/one.example')).toMatchObject({
      skipped: 1,
      running: [workflowId],
    });
  }, soon);
});

test('a schedule that is not there is named', async () => {
  const client = await furnishedClient();
  for (const ask of [showSchedule, pauseSchedule, resumeSchedule, triggerSchedule]) {
    await expect(ask(client, 'backup/none.example')).rejects.toMatchObject({
      type: 'NotFound',
      message: 'Temporal has no schedule backup/none.example',
    });
  }
});
