import { copyActivities } from './copy.js';
import { databaseActivities } from './database.js';
import { dumpActivities } from './database-dump.js';
import { planActivities } from './database-plan.js';
import { type Dependencies, Ground } from './ground.js';
import { guardActivities } from './guard.js';
import { mediaActivities } from './media.js';
import { momentActivities } from './moment.js';
import { offsiteActivities } from './offsites.js';
import { preflightActivities } from './preflight.js';
import { prepareActivities } from './prepare.js';
import { pruneActivities } from './prune.js';
import { recordActivities } from './record.js';
import { redisActivities } from './redis.js';
import { sealActivities } from './seal.js';
import { secretsActivities } from './secrets.js';
import { servicesActivities } from './services.js';
import { verifyStoredActivities } from './verify-stored.js';

/** The retryable steps of every run. Workflows know them by this type alone. */
export function createActivities(dependencies: Dependencies) {
  const ground = new Ground(dependencies);
  return {
    ...preflightActivities(ground),
    ...prepareActivities(ground),
    ...servicesActivities(ground),
    ...verifyStoredActivities(ground),
    ...momentActivities(ground),
    ...planActivities(ground),
    ...databaseActivities(ground),
    ...dumpActivities(ground),
    ...secretsActivities(ground),
    ...mediaActivities(ground),
    ...redisActivities(ground),
    ...offsiteActivities(ground),
    ...sealActivities(ground),
    ...pruneActivities(ground),
    ...copyActivities(ground),
    ...guardActivities(ground),
    ...recordActivities(ground),
  };
}

export type Activities = ReturnType<typeof createActivities>;
