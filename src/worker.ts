import { type NativeConnection, Worker } from '@temporalio/worker';
import { createActivities } from './activities/index.js';
import type { Configuration } from './config/configuration.js';
import { loadConfiguration } from './config/load.js';
import { workflowBundle } from './temporal/bundle.js';
import { connectClient, temporalTarget } from './temporal/connection.js';
import { workerIdentity } from './temporal/worker-identity.js';
import { TASK_QUEUE } from './workflows/names.js';

/** A worker: workflows and activities of Permafrost, from one task queue. */
export async function startWorker(
  configuration: Configuration,
  { connection }: { connection: NativeConnection },
): Promise<{ run(): Promise<void>; shutdown(): void }> {
  const { client, close } = await connectClient(configuration.temporal);
  const worker = await Worker.create({
    connection,
    identity: workerIdentity(),
    namespace: temporalTarget(configuration.temporal).namespace,
    taskQueue: TASK_QUEUE,
    workflowBundle: await workflowBundle(),
    activities: createActivities({
      configuration: () => loadConfiguration({ file: configuration.file }),
      client,
    }),
    // Waiting for jobs costs next to nothing; the work is done by the hosts.
    maxConcurrentActivityTaskExecutions: 40,
    // A cancelled run is to hear of it within seconds, not within the default minute.
    maxHeartbeatThrottleInterval: '5 seconds',
    defaultHeartbeatThrottleInterval: '2 seconds',
    // Activities are told at once; jobs go on and are found again by the next worker.
    shutdownForceTime: '20 seconds',
  });
  return {
    run: () => worker.run().finally(close),
    shutdown: () => {
      worker.shutdown();
    },
  };
}
