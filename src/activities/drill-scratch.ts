import { z } from 'zod';
import { timeOfBackup } from '../backups/id.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { offsiteOf } from '../offsite/read.js';
import { sweepReaders } from '../offsite/keys.js';
import { present } from '../present.js';
import { endReading, readingOn } from '../records/readers.js';
import { closeScratch, openScratch, type ScratchRef, sweepScratches } from '../scratch/scratch.js';
import { WORKFLOWS } from '../workflows/names.js';
import { activity, report } from './activity.js';
import { readerOf } from './drill-reading.js';
import { scratchInput, stepInput } from './drill-steps.js';
import type { Ground } from './ground.js';

/** A run that has just begun may not be in Temporal's list yet: its scratch is left alone for so long. */
const unlistedMs = 15 * 60_000;

/** The beginning and the end of what a drill has on its host. */
export function drillScratchActivities(ground: Ground) {
  return {
    /** Makes the drill's private place, whose lease ends it whatever dies. Sweeps what dead drills have left there. */
    openScratch: activity(stepInput, async ({ instance, drill, backup, from }) => {
      const { configuration, config, host } = await ground.drillGround(instance);
      const offsite = offsiteOf(configuration, from).name;
      const reader = readerOf({ instance, drill });
      await readingOn(configuration.state, { offsite, backup, reader }, async () => {
        await sweep(ground, host, { instance, id: drill });
        await openScratch(host, { instance, id: drill }, present({ folder: config.drill.folder }));
      });
    }),

    /** Nothing of the drill is left on its host: processes, files, mounts. */
    closeScratch: activity(scratchInput, async ({ instance, drill }) => {
      const { configuration, host } = await ground.drillGround(instance);
      await endReading(configuration.state, readerOf({ instance, drill }));
      await closeScratch(host, { instance, id: drill });
    }),

    /** Removes what drills that died have left, on every drill host. A host that cannot be asked is told of. */
    sweepScratch: activity(z.strictObject({}), async (): Promise<{ swept: string[]; failed: string[] }> => {
      const { instances } = await ground.configuration();
      const hosts = new Map<string, Host>();
      for (const instance of Object.keys(instances)) {
        const { host } = await ground.drillGround(instance);
        hosts.set(host.name, host);
      }
      const swept: string[] = [];
      const failed: string[] = [];
      for (const host of hosts.values()) {
        report({ subject: host.name });
        try {
          const gone = await sweep(ground, host);
          swept.push(...gone.map(({ instance, id }) => `${instance} ${id} on ${host.name}`));
        } catch (error) {
          if (!(error instanceof Failure)) throw error;
          failed.push(`${host.name}: ${error.message}`.slice(0, 500));
        }
      }
      return { swept, failed };
    }),
  };
}

/** @param own of the drill that asks: an instance has one at a time, so others of its are of drills that are no more. */
async function sweep(ground: Ground, host: Host, own?: ScratchRef): Promise<ScratchRef[]> {
  const { instances } = await ground.configuration();
  // What a killed worker has handed over is in memory, and no scratch's.
  for (const domain of Object.keys(instances))
    await sweepReaders(host, host.name === 'local' ? null : domain);
  return sweepScratches(host, async ({ instance, id }) => {
    // Another Permafrost may drill there as well.
    if (!Object.hasOwn(instances, instance)) return true;
    if (Math.abs(Date.now() - timeOfBackup(id).getTime()) < unlistedMs) return true;
    if (instance === own?.instance) return id === own.id;
    return isDrilled(ground, instance);
  });
}

/**
 * Whether a drill of the instance is at work. Which one is not asked: a run that goes on after a reset in Temporal keeps the
 * drill's id, and has another start.
 */
async function isDrilled({ client }: Ground, instance: string): Promise<boolean> {
  const query = `WorkflowType = '${WORKFLOWS.drill}' AND ExecutionStatus = 'Running' AND PermafrostInstance = '${instance}'`;
  for await (const { runId } of client.workflow.list({ query, pageSize: 1 })) return runId !== '';
  return false;
}
