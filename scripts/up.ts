#!/usr/bin/env -S node --optimize-for-size --max-semi-space-size=2
import type { Configuration } from '../src/config/configuration.js';
import { toolPath } from '../src/hosts/tools.js';
import { connectClient, type TemporalClient } from '../src/temporal/connection.js';
import { EmbeddedServer } from '../src/temporal/embedded.js';
import { ensureNamespace } from '../src/temporal/namespace.js';
import { listSchedules, reconcileSchedules, type ScheduleView } from '../src/temporal/schedules.js';
import { formatFields } from '../src/terminal/format.js';
import { nextRunText } from '../src/terminal/schedules.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { keepWorking } from './cli/keep-working.js';
import type { Output } from './cli/output.js';
import { requireRoom, watchRoom } from './cli/state-disk.js';
import { stopSignal } from './cli/stop-signal.js';
import { backupsPage, uiAddress, withTemporal } from './cli/temporal.js';

type Schedules = Parameters<typeof reconcileSchedules>[2];

export function upCommand(run: Run) {
  return run
    .command('up', 'run the Temporal server (where it is ours), the worker and the UI')
    .action(async (_options, command) => up(run.context(command)));
}

async function up(context: Context): Promise<void> {
  const { io, out } = context;
  const configuration = await context.configuration();
  const stop = stopSignal(io, out);
  const server = serverOf(configuration, out);
  if (server !== undefined) await requireRoom(configuration.state);
  const room = server && watchRoom(configuration.state, out);
  try {
    await server?.start();
    await furnish(configuration, out);
    await keepWorking(configuration, {
      stop: stop.signal,
      out,
      onReady: () => tellReady(configuration, out),
    });
  } finally {
    await server?.stop();
    room?.close();
    stop.close();
  }
  out.say('Stopped. Open runs go on with the next start.');
}

function serverOf(configuration: Configuration, out: Output): EmbeddedServer | undefined {
  const { temporal, state } = configuration;
  if (temporal.kind !== 'embedded') return undefined;
  return new EmbeddedServer({
    state,
    port: temporal.port,
    uiPort: temporal.uiPort,
    temporal: toolPath('temporal'),
    onFresh: ({ schedules }) => furnish(configuration, out, schedules),
    log: {
      info: (message) => out.say(message),
      warn: (message) => out.complain(message),
      error: (message) => out.complain(`TEMPORAL: ${message}`),
    },
  });
}

/** Namespace and schedules as the configuration wants them: safe to repeat, done at every start. */
async function furnish(configuration: Configuration, out: Output, carried: Schedules = []): Promise<void> {
  const temporal: TemporalClient = await connectClient(configuration.temporal);
  try {
    const { changes, warnings } = await ensureNamespace(temporal.connection, temporal.namespace);
    out.say(...changes);
    out.complain(...warnings);
    for (const { scheduleId, outcome } of await reconcileSchedules(temporal.client, configuration, carried)) {
      if (outcome !== 'unchanged') out.say(`schedule ${scheduleId}: ${outcome}`);
    }
  } finally {
    await temporal.close();
  }
}

async function tellReady(configuration: Configuration, out: Output): Promise<void> {
  const schedules = await withTemporal(configuration, ({ client }) => listSchedules(client));
  const ui = uiAddress(configuration.temporal);
  const backups = backupsPage(configuration.temporal);
  const next = schedules.filter((schedule) => schedule.ours);
  out.result(
    {
      ready: true,
      ...(ui === undefined ? {} : { ui }),
      next: next.map(({ scheduleId, paused, nextRuns }) => ({ scheduleId, paused, at: nextRuns[0] ?? null })),
    },
    [
      '',
      'Permafrost is up.',
      ...formatFields([
        ...(ui === undefined ? [] : [['Temporal UI', ui] as const]),
        ...(backups === undefined ? [] : [['its backups', backups] as const]),
        ...next.map((schedule) => [schedule.scheduleId, nextText(schedule)] as const),
      ]),
    ],
  );
}

function nextText({ paused, nextRuns }: ScheduleView): string {
  const [next] = nextRuns;
  return paused ? 'PAUSED' : next === undefined ? 'no next run' : nextRunText(next, new Date());
}

if (isMain(import.meta.url)) await runScript(upCommand);
