#!/usr/bin/env node
import type { Client } from '@temporalio/client';
import { ensureNamespace } from '../src/temporal/namespace.js';
import {
  listSchedules,
  pauseSchedule,
  reconcileSchedules,
  resumeSchedule,
  showSchedule,
  triggerSchedule,
} from '../src/temporal/schedules.js';
import { schedulesText } from '../src/terminal/schedules.js';
import { backupScheduleId, drillScheduleId } from '../src/workflows/names.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { chooseInstance } from './cli/instance.js';
import { withTemporal } from './cli/temporal.js';

export function scheduleCommand(run: Run) {
  const schedule = run.command('schedule', 'when backups and drills run by themselves');
  schedule
    .command('apply')
    .description("make Temporal's schedules those of the configuration; a pause stays")
    .action(async (_options, command) => apply(run.context(command)));
  schedule
    .command('list')
    .description('show the schedules, their next runs and what they skipped')
    .action(async (_options, command) => list(run.context(command)));
  const verbs = [
    ['pause', 'stop starting backups (or drills) until they are resumed', pauseSchedule, 'paused'],
    ['resume', 'start backups (or drills) by schedule again', resumeSchedule, 'resumed'],
    ['trigger', 'start the scheduled backup (or drill) now', triggerSchedule, 'triggered'],
  ] as const;
  for (const [verb, summary, change, done] of verbs) {
    const command = schedule
      .command(verb)
      .description(summary)
      .argument('[instance]', 'its LOCAL_DOMAIN; may be left out when there is only one')
      .option('--drill', 'the schedule of drills, not that of backups');
    if (verb === 'pause') command.option('--note <text>', 'why, for those who find it paused');
    command.action(async (name: string | undefined, options: ChangeOptions, self) => {
      await changeOne(run.context(self), name, options, done, (client, id) =>
        change(client, id, options.note),
      );
    });
  }
  return schedule;
}

interface ChangeOptions {
  drill?: boolean;
  note?: string;
}

async function apply({ out, ...context }: Context): Promise<void> {
  const configuration = await context.configuration();
  await withTemporal(configuration, async ({ client, connection, namespace }) => {
    const { warnings } = await ensureNamespace(connection, namespace);
    out.complain(...warnings);
    const changes = await reconcileSchedules(client, configuration);
    const lines = changes.map(({ scheduleId, outcome, differences }) =>
      differences.length === 0
        ? `${scheduleId}: ${outcome}`
        : `${scheduleId}: ${outcome} (${differences.join(', ')})`,
    );
    out.result(changes, lines);
  });
}

async function list({ out, ...context }: Context): Promise<void> {
  await withTemporal(await context.configuration(), async ({ client }) => {
    const schedules = await listSchedules(client);
    out.result(schedules, schedulesText(schedules, new Date(), out.widthFor(out.io.stdout)));
  });
}

async function changeOne(
  { out, ...context }: Context,
  name: string | undefined,
  { drill = false }: ChangeOptions,
  done: string,
  change: (client: Client, scheduleId: string) => Promise<void>,
): Promise<void> {
  const configuration = await context.configuration();
  const { domain } = chooseInstance(configuration, name);
  await withTemporal(configuration, async ({ client }) => {
    const scheduleId = drill ? drillScheduleId(domain) : backupScheduleId(domain);
    await change(client, scheduleId);
    const view = await showSchedule(client, scheduleId);
    out.result({ ...view, done }, [
      `The schedule of ${drill ? 'drills' : 'backups'} of ${domain} is ${done}.`,
      ...schedulesText([view], new Date()),
    ]);
  });
}

if (isMain(import.meta.url)) await runScript(scheduleCommand);
