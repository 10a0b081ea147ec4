import { z } from 'zod';
import {
  armServicesLease,
  releaseLease,
  startServices,
  stopUnderLease,
  untilUp,
} from '../mastodon/services.js';
import { activity, cancellation } from './activity.js';
import type { Ground } from './ground.js';
import { runInput } from './inputs.js';

/** How long one attempt waits for services that boot, milliseconds; Puma takes half a minute on a small server. */
const patienceMs = 60_000;

/** Stopping Mastodon's services under a lease and calling them up again: the only seconds of downtime. */
export function servicesActivities(ground: Ground) {
  return {
    /** Arms the lease on the host, or renews it; proven armed when it returns. Nothing is stopped without it. */
    armLease: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, config, services } = await ground.services(run.instance);
      const running = await armServicesLease(host, services, {
        token: run.token,
        seconds: config.quiesce.leaseMs / 1000,
      });
      return { services: running };
    }),

    /** Stops what runs, side by side. @returns when that began, by the host's clock. */
    stopServices: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host } = await ground.open(run.instance);
      return { stoppedAtMs: await stopUnderLease(host, run.instance, run.token) };
    }),

    /** Starts what was running before. From here on no late stop of this run is accepted. */
    startServices: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, services } = await ground.services(run.instance);
      await startServices(host, services, run.token);
    }),

    /** Waits until the services are proven to be up. Fails, to be asked again, when that takes long. */
    proveServicesUp: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, services } = await ground.services(run.instance);
      await untilUp(host, services, patienceMs, cancellation());
      const { stdout } = await host.run(['date', '+%s%3N']);
      return { healthyAtMs: Number(stdout.trim()) };
    }),

    /** Ends the lease, once the services are proven to be up. */
    disarmLease: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host } = await ground.open(run.instance);
      await releaseLease(host, run.instance, run.token);
    }),
  };
}
