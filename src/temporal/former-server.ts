import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { isOurs } from './schedule-plan.js';
import type { Tool } from '../hosts/tools.js';
import type { Log } from './log.js';
import type { CarriedSchedule, ServerFiles } from './server-files.js';
import { freePort, startServer } from './server-process.js';

/** As many open runs as a message names. */
const NAMED_RUNS = 10;

/** A run that was missed while no server ran was started 30 ms after the next start. */
const CATCH_UP_MS = 1_000;

/** Asks a server which runs are open. Workflow ids, at most ten. */
export async function openRuns(address: string): Promise<string[]> {
  return withClient(address, listOpenRuns);
}

/**
 * Whether a former version's server, which does not run now, may be left for a new one: not while a run is open. It is
 * asked on a port that nobody knows, so that nothing can be started between the answer and what is done about it. When
 * it may be left, its schedules are noted, for the new version's database to be furnished with.
 */
export async function mayRetire(
  former: Tool,
  newVersion: string,
  files: ServerFiles,
  log: Log,
): Promise<boolean> {
  const { database, logFile, home } = files;
  const server = await startServer({ binary: former.path, database, logFile, home, port: await freePort() });
  try {
    const { open, schedules } = await withClient(server.address, lookInto);
    if (open.length > 0) {
      log.warn(
        `Temporal ${former.version} goes on until these runs have ended, then ${newVersion} takes over: ${open.join(', ')}`,
      );
      return false;
    }
    const foreign = schedules.filter((schedule) => !schedule.ours).map((schedule) => schedule.scheduleId);
    if (foreign.length > 0) {
      log.warn(
        `Schedules that Permafrost did not make stay behind with Temporal ${former.version}: ${foreign.join(', ')}`,
      );
    }
    // A former database that was never furnished itself only passes on what it was to be furnished with.
    const unfurnished = await files.furnishing();
    const carried = unfurnished?.version === former.version ? unfurnished.schedules : schedules;
    await files.writeFurnishing({ version: newVersion, schedules: carried });
    return true;
  } finally {
    await server.stop();
  }
}

/** A schedule that missed its time is given the time to start its run first, so that catching up is not lost. */
async function lookInto(client: Client): Promise<{ open: string[]; schedules: CarriedSchedule[] }> {
  await sleep(CATCH_UP_MS);
  return { open: await listOpenRuns(client), schedules: await listSchedules(client) };
}

async function listSchedules(client: Client): Promise<CarriedSchedule[]> {
  const carried: CarriedSchedule[] = [];
  for await (const { scheduleId } of client.schedule.list()) {
    const { state, memo } = await client.schedule.getHandle(scheduleId).describe();
    const note = state.note === undefined || state.note === '' ? {} : { note: state.note };
    carried.push({ scheduleId, paused: state.paused, ...note, ours: isOurs(memo) });
  }
  return carried;
}

async function listOpenRuns(client: Client): Promise<string[]> {
  const ids: string[] = [];
  for await (const run of client.workflow.list({ query: 'ExecutionStatus = "Running"' })) {
    ids.push(run.workflowId);
    if (ids.length === NAMED_RUNS) break;
  }
  return ids;
}

async function withClient<T>(address: string, ask: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address });
  try {
    return await ask(new Client({ connection }));
  } finally {
    await connection.close();
  }
}
