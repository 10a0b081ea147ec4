import {
  type Client,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  isGrpcServiceError,
  ScheduleNotFoundError,
  ServiceError,
} from '@temporalio/client';
import { bad, type Check, good, type Subject, warning } from '../backups/checks.js';
import type { Configuration, InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import { version } from '../version.js';
import { TASK_QUEUE } from '../workflows/names.js';
import { connectClient, type TemporalClient, temporalTarget } from './connection.js';
import { isOurs, plannedSchedules, scheduleDiffers } from './schedule-plan.js';
import { versionOfWorker } from './worker-identity.js';

/** A worker asks for work again within a minute (the server's long poll); one that has not is gone. Milliseconds. */
const pollMs = 75_000;

/** How long a worker may take to answer a question. Milliseconds. */
const answerMs = 6_000;

/** temporal.api.enums.v1.TaskQueueType: the queue of workflow tasks. */
const WORKFLOW_TASKS = 1;

/**
 * Temporal as the runs need it: it answers, a worker of our version answers, and the schedules are those of the
 * configuration. Changes nothing. When Temporal does not answer, that is the one finding.
 */
export async function checkTemporal(
  configuration: Configuration,
  instances: readonly InstanceConfig[],
): Promise<Check[]> {
  const temporal = about('temporal', 'server');
  let connected: TemporalClient;
  let address: string;
  try {
    ({ address } = temporalTarget(configuration.temporal).connectionOptions);
    connected = await connectClient(configuration.temporal);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return [bad(temporal, `${error.message}.`.replace('..', '.'), error.next ?? 'permafrost up')];
  }
  try {
    const found = await Promise.all([
      safely(about('worker', 'worker'), () => worker(about('worker', 'worker'), connected)),
      safely(about('schedules', 'schedules'), () =>
        schedules(about('schedules', 'schedules'), connected.client, configuration, instances),
      ),
    ]);
    return [good(temporal, `answers at ${address}, namespace ${connected.namespace}`), ...found.flat()];
  } finally {
    await connected.close();
  }
}

function about(name: string, subject: string): Subject {
  return { name, subject, host: 'temporal' };
}

async function safely(subject: Subject, look: () => Promise<Check[]>): Promise<Check[]> {
  try {
    return await look();
  } catch (error) {
    const cause = error instanceof ServiceError ? error.cause : error;
    const said = isGrpcServiceError(cause) ? cause.details : String(error);
    return [
      bad(
        subject,
        `Temporal does not tell: ${said}.`,
        'See that the namespace exists and that we may use it; permafrost up makes what is missing in a server of its own',
      ),
    ];
  }
}

async function worker(subject: Subject, temporal: TemporalClient): Promise<Check[]> {
  const { connection, namespace, client } = temporal;
  const { pollers } = await connection.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: TASK_QUEUE },
    taskQueueType: WORKFLOW_TASKS,
  });
  const now = Date.now();
  const alive = (pollers ?? []).filter(
    ({ lastAccessTime }) => now - Number(lastAccessTime?.seconds ?? 0) * 1000 < pollMs,
  );
  const start = 'permafrost up, or where Temporal is a cluster: permafrost worker';
  if (alive.length === 0) return [bad(subject, 'No worker asks for work: runs would wait for one.', start)];
  const names = alive.map(({ identity }) => identity ?? '');
  if (!(await answers(client)))
    return [bad(subject, `A worker was there (${names.join(', ')}) and does not answer any more.`, start)];
  const others = names.filter((name) => versionOfWorker(name) !== version());
  if (others.length > 0) {
    const detail = `${others.join(', ')} works with another version than this one (${version()}).`;
    return [
      warning(
        subject,
        detail,
        'While no run is open, restart what runs it: permafrost up, or its systemd unit',
      ),
    ];
  }
  return [
    good(subject, `${names.length === 1 ? (names[0] ?? '') : `${String(names.length)} workers`} answers`),
  ];
}

/**
 * Whether some worker answers: a poller is listed for minutes after its death, so the newest run is asked for its
 * metadata, which every worker can tell. Where there was no run yet, being listed has to do.
 */
async function answers(client: Client): Promise<boolean> {
  const runs = client.workflow.list({ query: `TaskQueue = '${TASK_QUEUE}'`, pageSize: 1 });
  for await (const { workflowId, runId } of runs) {
    try {
      await client.withDeadline(Date.now() + answerMs, () =>
        client.workflow.getHandle(workflowId, runId).query('__temporal_workflow_metadata'),
      );
    } catch (error) {
      const cause = error instanceof ServiceError ? error.cause : error;
      // The server says by itself that nobody asks for work; what else goes wrong with a question is an answer too.
      const nobody = isGrpcServiceError(cause) && /no poller|worker may be down/i.test(cause.details);
      return !nobody && !isGrpcDeadlineError(cause) && !isGrpcCancelledError(cause); // a deadline may show as either
    }
    return true;
  }
  return true;
}

async function schedules(
  subject: Subject,
  client: Client,
  configuration: Configuration,
  instances: readonly InstanceConfig[],
): Promise<Check[]> {
  const domains = new Set(instances.map(({ domain }) => domain));
  const isAsked = (scheduleId: string) =>
    !scheduleId.startsWith('backup/') || domains.has(scheduleId.slice('backup/'.length));
  const planned = plannedSchedules(configuration);
  const findings: Check[] = [];
  for (const plan of planned.filter(({ scheduleId }) => isAsked(scheduleId))) {
    const { scheduleId } = plan;
    const found = await client.schedule
      .getHandle(scheduleId)
      .describe()
      .catch((error: unknown) => {
        if (!(error instanceof ScheduleNotFoundError)) throw error;
        return undefined;
      });
    if (found === undefined) {
      findings.push(warning(subject, `There is no schedule ${scheduleId}.`, 'permafrost schedule apply'));
      continue;
    }
    const differences = scheduleDiffers(plan, found);
    if (differences.length > 0) {
      const detail = `The schedule ${scheduleId} is not what the configuration says (${differences.join(', ')}).`;
      findings.push(warning(subject, detail, 'permafrost schedule apply'));
    }
    if (found.state.paused) {
      const note = found.state.note ?? '';
      const detail = `The schedule ${scheduleId} is paused${note === '' ? '' : ` (${note})`}: nothing runs by it.`;
      findings.push(
        warning(subject, detail, `permafrost schedule resume ${scheduleId.replace(/^backup\//, '')}`),
      );
    }
  }
  const wanted = new Set(planned.map(({ scheduleId }) => scheduleId));
  for await (const { scheduleId, memo } of client.schedule.list()) {
    if (
      wanted.has(scheduleId) ||
      !isOurs(memo) ||
      instances.length < Object.keys(configuration.instances).length
    )
      continue;
    const detail = `The schedule ${scheduleId} was made by Permafrost, and the configuration does not ask for it.`;
    findings.push(warning(subject, detail, 'permafrost schedule apply'));
  }
  if (findings.length > 0) return findings;
  const ids = planned.map(({ scheduleId }) => scheduleId).filter(isAsked);
  return [good(subject, `${ids.join(', ')}: as the configuration says`)];
}
