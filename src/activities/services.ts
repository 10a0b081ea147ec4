import { z } from 'zod';
import { inspectServices } from '../mastodon/inspect.js';
import {
  armServicesLease,
  releaseLease,
  startMissing,
  startServices,
  stopUnderLease,
  untilUp,
} from '../mastodon/services.js';
import { settleArgv } from '../restore/swap.js';
import { activity, cancellation } from './activity.js';
import type { Ground } from './ground.js';
import { placeOf, servicesGround } from './restore-ground.js';
import { servicesStep } from './restore-inputs.js';

/** How long one attempt waits for services that boot, milliseconds; Puma takes half a minute on a small server. */
const patienceMs = 60_000;

/** The same for services that somebody had stopped, or that came with a restore: nobody waits for their users yet. */
const missingPatienceMs = 120_000;

/** Stopping Mastodon's services under a lease and calling them up again: the only seconds of downtime. */
export function servicesActivities(ground: Ground) {
  return {
    /** Arms the lease on the host, or renews it; proven armed when it returns. Nothing is stopped without it. */
    armLease: activity(servicesStep, async (step) => {
      const { host, config, services } = await servicesGround(ground, step);
      // A restore that is cut off in its swap must not leave services on half of it, whoever starts them.
      const isSwap = step.restore !== undefined || step.undo !== undefined;
      const first = isSwap ? await settleArgv(host, step.run.instance) : null;
      const { running, wasHealthy } = await armServicesLease(host, services, {
        ...{ token: step.run.token, seconds: config.quiesce.leaseMs / 1000 },
        ...(first === null ? {} : { first }),
      });
      return { services: running, wasHealthy };
    }),

    /** Stops what runs, side by side. @returns when that began, by the host's clock. */
    stopServices: activity(servicesStep, async (step) => {
      const { host } = await placeOf(ground, step);
      return { stoppedAtMs: await stopUnderLease(host, step.run.instance, step.run.token) };
    }),

    /** Starts what was running before. From here on no late stop of this run is accepted. */
    startServices: activity(servicesStep, async (step) => {
      const { host, services } = await servicesGround(ground, step);
      await startServices(host, services, step.run.token);
    }),

    /** Waits until the services are proven to be up. Fails, to be asked again, when that takes long. */
    proveServicesUp: activity(servicesStep, async (step) => {
      const { host, services } = await servicesGround(ground, step);
      await untilUp(host, services, patienceMs, cancellation());
      const { stdout } = await host.run(['date', '+%s%3N']);
      return { healthyAtMs: Number(stdout.trim()) };
    }),

    /** Ends the lease, once the services are proven to be up. */
    disarmLease: activity(servicesStep, async (step) => {
      const { host } = await placeOf(ground, step);
      await releaseLease(host, step.run.instance, step.run.token);
    }),

    /**
     * Starts what belongs up and does not run.
     *
     * @param services names of those that ran before.
     * @param asBefore just those: what was there before is back in place.
     */
    callAllUp: activity(
      servicesStep.extend({
        services: z.array(z.string().max(300)).max(200),
        asBefore: z.strictObject({ healthy: z.boolean() }).optional(),
      }),
      async ({ services: recorded, asBefore, ...step }) => {
        const { host, config } = await placeOf(ground, step);
        const services = await inspectServices(host, config); // what a restore has brought was not there before
        const problem = await startMissing(host, services, recorded, {
          ...{ patienceMs: missingPatienceMs, signal: cancellation() },
          ...(asBefore === undefined ? {} : { asBefore }),
        });
        const { stdout } = await host.run(['date', '+%s%3N']);
        return { healthyAtMs: Number(stdout.trim()), ...(problem === undefined ? {} : { problem }) };
      },
    ),
  };
}
