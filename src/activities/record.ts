import { z } from 'zod';
import type { BackupReport } from '../backups/report.js';
import { recordRun } from '../records/record-run.js';
import { activity } from './activity.js';
import type { Ground } from './ground.js';
import { backupInput, domainInput } from './inputs.js';

/** Of a report only what names its file is looked at: the rest is kept as it is, for people and for `status`. */
const named = z.looseObject({ instance: domainInput, backup: backupInput, status: z.string().max(20) });
const reportInput = z.custom<BackupReport>((value) => named.safeParse(value).success, 'not a report');

export function recordActivities(ground: Ground) {
  return {
    /** Keeps a run's report on this machine, also when Temporal's own history of it is gone. */
    recordRun: activity(reportInput, async (report) => {
      const { configuration } = await ground.open(report.instance); // no folder for an instance that is not ours
      await recordRun(configuration.state, report);
    }),
  };
}
