import { needApplication, proveApplication } from '../proofs/application.js';
import { type Received, receiveMedia } from '../offsite/receive.js';
import { activity, tell } from './activity.js';
import { clusterOf, environmentOf, restoredDatabase } from './drill-load.js';
import {
  type BootedScratch,
  type DrillGround,
  type DrillStep,
  inDrill,
  needReceived,
  onDrillHost,
  stepInput,
  workOf,
} from './drill-steps.js';
import type { Ground } from './ground.js';

/** Media files that are restored for the application to serve, at most. */
const servedMedia = 50;

/** Booting Mastodon's own code on what was restored. */
export function drillBootActivities(ground: Ground) {
  return {
    /** Proves that the web process answers with what the database holds. Sidekiq is never started. */
    proveBoot: activity(stepInput, (step) =>
      inDrill(ground, step, async (here): Promise<BootedScratch> => {
        const { scratch } = here;
        const application = needApplication(here.config);
        const received = await needReceived(here);
        const env = await environmentOf(here, received);
        if (env === null)
          return {
            checks: [],
            notProven: ['The application: the backup has no secrets to boot it with.'],
            bootMs: null,
          };
        const { manifest } = received;
        const cluster = await clusterOf(scratch, manifest);
        const database = await cluster.databaseForApplication(restoredDatabase);
        const { proof, bootMs } = await proveApplication({
          ...{ scratch, database, env, manifest, application, tell },
          media: await someMedia(here, step, received, application.user),
        });
        return { ...proof, bootMs };
      }),
    ),
  };
}

/** A sample of the media, where the application finds and serves it. */
async function someMedia(
  here: DrillGround,
  { from }: DrillStep,
  { manifest, files: { mediaIndex: index } }: Received,
  user = here.scratch.user,
): Promise<{ folder: string; index: string } | null> {
  if (index === undefined) return null;
  const { host, scratch } = here;
  const folder = await scratch.own('media', user);
  const work = await workOf(scratch);
  await onDrillHost(here, from, (copy) =>
    receiveMedia({
      ...{ copy, host, manifest, index, work, into: folder, as: { user }, wanted: { sample: servedMedia } },
      tell: (progress) => {
        tell({ subject: 'media', ...progress });
      },
    }),
  );
  return { folder, index };
}
