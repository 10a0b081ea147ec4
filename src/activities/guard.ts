import { activityInfo, log } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import { z } from 'zod';
import { isLeaseOver, leaseState, stopBooted } from '../hosts/lease.js';
import { bringServicesBack, serviceStates } from '../mastodon/services.js';
import { settleOpenSwap } from '../restore/settle.js';
import { guardWorkflowId } from '../workflows/names.js';
import { activity, cancellation, report, sleep } from './activity.js';
import type { Ground } from './ground.js';
import { instanceInput, tokenInput, workflowIdInput } from './inputs.js';

/** How often the guard looks at the run that it watches, milliseconds. */
const lookEveryMs = 1_000;

/** How often a swap that was cut off is tried to be settled before the services are started whatever it is: three minutes. */
const settleAttempts = 15;

function warnNotSettled(instance: string, error: unknown): void {
  log.error('a swap that was cut off could not be settled yet: the services are started nevertheless', {
    ...{ instance, error: String(error) },
  });
}

/** What looks after the services when a run cannot: for the guard, the reconciler and operators. */
export function guardActivities(ground: Ground) {
  return {
    /**
     * Returns when a run has ended: finished, failed, terminated, timed out. Looks at the workflow id's latest run, since
     * a reset closes one and opens another, which is the same night.
     */
    watchRun: activity(z.strictObject({ workflowId: workflowIdInput }), async ({ workflowId }) => {
      for (;;) {
        const status = await statusOf(ground, workflowId);
        report({ subject: workflowId });
        if (status !== 'RUNNING') return { status };
        await sleep(lookEveryMs);
      }
    }),

    /** Whether a run has let its lease go: a release that nobody proves is none. */
    leaseReleased: activity(instanceInput.extend({ token: tokenInput }), async ({ instance, token }) => {
      const { host } = await ground.open(instance);
      const lease = await leaseState(host, instance);
      return { released: !lease.held || lease.token !== token };
    }),

    /** Starts what a lease had recorded, whoever holds it, proves that it is up and ends the lease. Without one, nothing. */
    bringServicesBack: activity(instanceInput, async ({ instance }) => {
      const { host } = await ground.open(instance);
      const lease = await leaseState(host, instance);
      if (!lease.held) {
        // Before a restore to an empty host there are no services that could be looked at.
        const found = await ground.services(instance).catch(() => undefined);
        const states = found === undefined ? [] : await serviceStates(host, found.services.services);
        return { services: states, brought: false };
      }
      await stopBooted(host, instance);
      await settleOpenSwap(host, instance).catch((error: unknown) => {
        // A database that starts with the host may take minutes; after that Mastodon is worth more.
        if (activityInfo().attempt < settleAttempts) throw error;
        warnNotSettled(instance, error);
      });
      const { services } = await ground.services(instance);
      const states = await bringServicesBack(host, services, { patienceMs: 60_000, signal: cancellation() });
      return { services: states, brought: true };
    }),

    /** Looks for services that a lease holds down although nobody is at work under it, and brings them back. */
    reconcileServices: activity(z.strictObject({}), async () => {
      const { instances } = await ground.configuration();
      const brought: string[] = [];
      const failed: string[] = [];
      for (const instance of Object.keys(instances)) {
        report({ subject: instance });
        try {
          const { host } = await ground.open(instance);
          const lease = await leaseState(host, instance);
          if (!lease.held || !isLeaseOver(lease)) continue;
          if ((await statusOf(ground, guardWorkflowId(instance))) === 'RUNNING') continue;
          await stopBooted(host, instance);
          await settleOpenSwap(host, instance).catch((error: unknown) => {
            warnNotSettled(instance, error);
          });
          const { services } = await ground.services(instance);
          await bringServicesBack(host, services, { patienceMs: 60_000, signal: cancellation() });
          brought.push(instance);
        } catch (error) {
          failed.push(`${instance}: ${error instanceof Error ? error.message : String(error)}`.slice(0, 500));
        }
      }
      return { brought, failed };
    }),
  };
}

/** Whether a run of this id is at work. */
export async function isOpen(ground: Ground, workflowId: string): Promise<boolean> {
  return (await statusOf(ground, workflowId)) === 'RUNNING';
}

async function statusOf(ground: Ground, workflowId: string): Promise<string> {
  try {
    return (await ground.client.workflow.getHandle(workflowId).describe()).status.name;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'NOT_FOUND';
    throw error;
  }
}
