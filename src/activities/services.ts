import { z } from 'zod';
import {
  armServicesLease,
  proveServicesUp,
  releaseLease,
  startServices,
  stopUnderLease,
} from '../mastodon/services.js';
import { activity } from './activity.js';
import type { Ground } from './ground.js';
import { runInput } from './inputs.js';

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

    /** Proves that the services are up. Fails, to be asked again, while they are not. */
    proveServicesUp: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, services } = await ground.services(run.instance);
      await proveServicesUp(host, services);
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
