import { copyActivities } from './copy.js';
import { databaseActivities } from './database.js';
import { dumpActivities } from './database-dump.js';
import { planActivities } from './database-plan.js';
import { drillBootActivities } from './drill-boot.js';
import { findDrillActivities } from './drill-find.js';
import { drillLoadActivities } from './drill-load.js';
import { drillReceiveActivities } from './drill-receive.js';
import { drillRecordActivities } from './drill-record.js';
import { drillScratchActivities } from './drill-scratch.js';
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
import { restoreActivities } from './restore.js';
import { restoreSwapActivities } from './restore-swap.js';
import { sealActivities } from './seal.js';
import { secretsActivities } from './secrets.js';
import { servicesActivities } from './services.js';
import { undoActivities } from './undo.js';
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
    ...findDrillActivities(ground),
    ...drillScratchActivities(ground),
    ...drillReceiveActivities(ground),
    ...drillLoadActivities(ground),
    ...drillBootActivities(ground),
    ...drillRecordActivities(ground),
    ...restoreActivities(ground),
    ...restoreSwapActivities(ground),
    ...undoActivities(ground),
  };
}

export type Activities = ReturnType<typeof createActivities>;
