import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  ActivityExecutionFailedError,
  ApplicationFailure,
  type Client,
  WorkflowFailedError,
} from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createActivities } from '../../src/activities/index.js';
import { recentRefusals } from '../../src/records/refusals.js';
import { connectClient } from '../../src/temporal/connection.js';
import { backupWorkflowId, guardWorkflowId, TASK_QUEUE, WORKFLOWS } from '../../src/workflows/names.js';
import { type Installation, setUpInstallation } from './installation.js';

/**
 * Temporal's port is no way in: whoever reaches it, as every local user does, has nothing but its address here, and
 * may start whatever he likes with whatever he likes.
 */

vi.setConfig({ testTimeout: 300_000 });

let here: Installation;
let intruder: Client;
let before: unknown;
const closing: (() => Promise<void>)[] = [];
beforeAll(async () => {
  here = await setUpInstallation({ name: 'hostile' });
  const { port } = here.server.ports;
  const connected = await connectClient({
    kind: 'address',
    address: `127.0.0.1:${String(port)}`,
    namespace: 'default',
  });
  intruder = connected.client;
  closing.push(
    () => connected.close(),
    () => here.remove(),
  );
  before = await everything();
});
afterAll(async () => {
  for (const close of closing) await close();
});

const loot = '/tmp/permafrost-hostile-was-here';

const words = [
  ...[
    '',
    '--help',
    '-rf',
    '../../etc/passwd',
    '/etc/passwd',
    '..',
    '.',
    'root@127.0.0.1',
    'http://127.0.0.1/',
  ],
  ...[`$(touch ${loot})`, `; touch ${loot} #`, `\`touch ${loot}\``, 'a\nb', 'a\u0000b', '%s%n', '*', '~'],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'other.example',
    'hostile.example/../x',
    'ünï.example',
    'x'.repeat(900),
  ],
];
const huge = 'x'.repeat(1_000_000);
const things: unknown[] = [null, 42, true, [], {}, [['touch', loot]], words, { instance: {} }, huge];

/** Activities and workflows are refused in one of these ways, and in no other. */
const refusals = ['InvalidInput', 'ConfigInvalid', 'Refused'];

/** All that an intruder might have changed: services, the state folder, the host's, memory. */
async function everything() {
  const files = readdirSync(here.state, { recursive: true, encoding: 'utf8' }).filter(
    // What was refused for want of a permit is noted for the operator.
    (path) => !path.startsWith('temporal') && !path.startsWith('refusals'),
  );
  return {
    services: await here.services.pids(),
    running: await here.services.running(),
    lease: (await here.lease()).held,
    remains: await here.remains(),
    files: files.sort().filter((path) => statSync(join(here.state, path)).isFile()),
    vault: readdirSync(join(here.folder, 'vault/snapshots')),
    loot: existsSync(loot),
  };
}

const noPermit = '0'.repeat(48);
const wanted = () => ({
  ...{
    instance: here.domain,
    backup: '20260101T000000Z',
    from: 'vault',
    parts: ['database'],
    permit: noPermit,
  },
});
const wantedBack = () => ({ instance: here.domain, restore: '20260101T000000Z', permit: noPermit });

const run = () => ({ instance: here.domain, backup: '20260101T000000Z', token: randomUUID() });

/**
 * Inputs of every form that activities take, with something in them that does not belong there. All against all would
 * be many thousands: each activity gets its share of the words for every form, another one each time.
 */
function hostileInputs(share: number): unknown[] {
  const forms: ((value: unknown) => unknown)[] = [
    (value) => ({ instance: value }),
    (value) => ({ workflowId: { value } }),
    (value) => ({ run: value }),
    (value) => ({ run: { ...run(), instance: value } }),
    (value) => ({ run: { ...run(), backup: value } }),
    (value) => ({ run: { ...run(), token: value } }),
    (value) => ({ run: run(), offsite: value }),
    (value) => ({ run: run(), offsite: 'vault', part: value }),
    (value) => ({ run: run(), parts: value, offsites: ['vault'] }),
    (value) => ({ run: run(), parts: ['database'], offsites: [value] }),
    (value) => ({ instance: here.domain, token: value }),
    (value) => ({ instance: here.domain, quiesce: value }),
    (value) => ({ instance: here.domain, only: [value] }),
    (value) => ({ instance: here.domain, offsites: [value] }),
    (value) => ({ instance: here.domain, backup: value, depth: 'new', turn: 0, offsite: 'vault' }),
    (value) => ({ instance: here.domain, backup: 'latest', from: value }),
    (value) => ({ instance: value, backup: '20260101T000000Z', status: 'sealed' }),
    (value) => ({ instance: here.domain, backup: value, status: 'sealed' }),
    (value) => ({ instance: here.domain, drill: value }),
    (value) => ({ instance: here.domain, drill: '20260101T000000Z', backup: value, from: 'vault' }),
    (value) => ({
      instance: here.domain,
      drill: '20260101T000000Z',
      backup: '20260101T000000Z',
      from: value,
    }),
    (value) => ({ instance: here.domain, drill: '20260101T000000Z', backup: 'latest', depth: value }),
    (value) => ({ run: run(), restore: { ...wanted(), from: value } }),
    (value) => ({ run: run(), restore: { ...wanted(), permit: value } }),
    (value) => ({ run: run(), restore: { ...wanted(), parts: [value] }, stilled: false }),
    (value) => ({ run: run(), restore: { ...wanted(), target: value }, stilled: false }),
    (value) => ({ run: run(), restore: wanted(), name: value }),
    (value) => ({ run: run(), restore: wanted(), mediaAdded: value }),
    (value) => ({ run: run(), restore: wanted(), services: [value] }),
    (value) => ({ run: run(), undo: { instance: here.domain, restore: value, permit: noPermit } }),
    (value) => ({ run: run(), undo: { ...wantedBack(), permit: value }, stilled: true }),
    (value) => ({ run: run(), undo: wantedBack(), report: value }),
  ];
  const smuggled = [
    { run: run(), command: ['touch', loot] },
    { run: { ...run(), folder: '/etc' } },
    { instance: here.domain, token: randomUUID(), host: { ssh: 'root@127.0.0.1' } },
    JSON.parse(`{"run": {"__proto__": {"instance": "${here.domain}"}}}`) as unknown,
  ];
  const some = [...words, ...things];
  const word = (at: number) => some[(share * 7 + at * 3) % some.length];
  return [...things, ...smuggled, ...forms.map((form, at) => form(word(at)))];
}

/** The type of the failure that it ended with; `done` when it did what it was asked, `open` when it has not ended. */
async function outcome(work: Promise<unknown>): Promise<string> {
  // Long: so many at once keep a small machine busy.
  const never = new Promise<string>((resolve) =>
    setTimeout(() => {
      resolve('open');
    }, 120_000).unref(),
  );
  const ended = work.then(
    () => 'done',
    (error: unknown) => {
      for (let at = error; at instanceof Error; at = at.cause) {
        if (at instanceof ApplicationFailure) return at.type ?? 'untyped';
      }
      if (error instanceof WorkflowFailedError || error instanceof ActivityExecutionFailedError)
        return 'failed';
      return String(error);
    },
  );
  return Promise.race([ended, never]);
}

/** What was not refused, in words that name it. */
async function notRefused(
  attempts: readonly { what: string; attempt: () => Promise<unknown> }[],
): Promise<string[]> {
  const waiting = [...attempts];
  const found: string[] = [];
  const intrude = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const ended = await outcome(next.attempt());
      if (!refusals.includes(ended)) found.push(`${next.what.slice(0, 200)}: ${ended}`);
    }
  };
  await Promise.all(Array.from({ length: 20 }, intrude));
  return found;
}

const start = (type: string, workflowId: string, ...args: unknown[]) =>
  intruder.workflow.execute(type, { taskQueue: TASK_QUEUE, workflowId, args });

describe('activities', () => {
  const names = Object.keys(
    createActivities({ configuration: () => Promise.reject(new Error()), client: {} as Client }),
  );

  // Those take nothing, and do what their schedules have them do every few minutes.
  const harmless = ['reconcileServices', 'sweepScratch', 'expireUndos'];

  test.each(names.filter((name) => !harmless.includes(name)))(
    '%s refuses what does not belong there',
    async (name) => {
      const attempts = hostileInputs(names.indexOf(name)).map((input) => ({
        what: `${name}(${JSON.stringify(input)})`,
        attempt: () =>
          intruder.activity.execute(name, {
            id: `intruder-${randomUUID()}`,
            taskQueue: TASK_QUEUE,
            args: [input],
            // A refusal is not tried again; an answer that got lost on a busy machine is.
            startToCloseTimeout: '30 seconds',
            retry: { maximumAttempts: 3, initialInterval: '1 second' },
          }),
      }));
      expect(await notRefused(attempts)).toEqual([]);
    },
  );

  test('have left everything as it was', async () => {
    expect(await everything()).toEqual(before);
  });
});

describe('workflows', () => {
  test.each(Object.values(WORKFLOWS).filter((type) => type !== 'reconcile'))(
    '%s refuses any other input',
    async (type) => {
      const attempts = hostileInputs(type.length).map((input) => ({
        what: `${type}(${JSON.stringify(input)})`,
        attempt: () => start(type, `intruder-${randomUUID()}`, input),
      }));
      attempts.push({ what: `${type}()`, attempt: () => start(type, `intruder-${randomUUID()}`) });
      expect(await notRefused(attempts)).toEqual([]);
    },
  );

  test('backup refuses it under an id that fits, too', async () => {
    const requests = [
      ...words.flatMap((word) => [{ instance: word }, { instance: here.domain, quiesce: word }]),
      ...words.flatMap((word) => [
        { instance: here.domain, only: [word] },
        { instance: here.domain, offsites: [word] },
      ]),
      ...things.flatMap((thing) => [
        { instance: here.domain, quiesce: thing },
        { instance: here.domain, only: thing },
      ]),
      { instance: here.domain, host: { ssh: 'root@127.0.0.1' } },
    ];
    const attempts = requests.map((request) => ({
      what: JSON.stringify(request),
      attempt: () =>
        start(
          'backup',
          `${backupWorkflowId(request.instance)}-${randomUUID()}`.replaceAll('\0', ''),
          request,
        ),
    }));
    expect(await notRefused(attempts)).toEqual([]);
  });

  test('restore and undo refuse it under ids that fit, and the operator hears of those without a permit', async () => {
    const changed = [...words, ...things].slice(0, 24);
    const requests = [
      ...changed.flatMap((thing) => [
        { type: 'restore', input: { ...wanted(), from: thing } },
        { type: 'restore', input: { ...wanted(), permit: thing } },
        { type: 'undo', input: { ...wantedBack(), restore: thing } },
      ]),
      { type: 'restore', input: wanted() },
      { type: 'restore', input: { ...wanted(), target: { kind: 'ssh', user: 'root' } } },
      { type: 'undo', input: wantedBack() },
    ];
    // One of an id at a time.
    for (const { type, input } of requests) {
      const attempt = () => start(type, `${type}/${here.domain}`, input);
      expect(await notRefused([{ what: JSON.stringify(input), attempt }])).toEqual([]);
    }
    const heard = await recentRefusals(here.state, here.domain);
    expect(new Set(heard.map(({ what }) => what))).toEqual(new Set(['restore', 'undo']));
  });

  test('none takes the id of another', async () => {
    const input = { instance: here.domain, token: randomUUID(), workflowId: 'nobody' };
    const attempts = [
      { what: 'a backup as the guard', attempt: () => start('backup', guardWorkflowId(here.domain), input) },
      { what: 'a guard as a backup', attempt: () => start('guard', backupWorkflowId(here.domain), input) },
      {
        what: "a guard as another instance's",
        attempt: () => start('guard', guardWorkflowId('other.example'), input),
      },
    ];
    expect(await notRefused(attempts)).toEqual([]);
  });

  test('have left everything as it was', async () => {
    const { files, ...rest } = (await everything()) as { files: string[] };
    const { files: filesBefore, ...restBefore } = before as { files: string[] };
    expect(rest).toEqual(restBefore);
    // Refused runs of the instance itself are on record, under its own name.
    const added = files.filter((path) => !filesBefore.includes(path));
    const noted = [`runs/${here.domain}/`, `refusals/${here.domain}`];
    expect(added.filter((path) => !noted.some((name) => path.startsWith(name)))).toEqual([]);
  });

  test('and a backup still works as before', async () => {
    expect(await here.backup('--only', 'secrets')).toMatchObject({
      exitCode: 0,
      report: { status: 'sealed' },
    });
  });
});
