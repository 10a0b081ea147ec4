import { activityInfo } from '@temporalio/activity';
import { z } from 'zod';
import { drillDepths } from '../backups/check.js';
import type { DrillReport } from '../backups/drill-report.js';
import { WORKFLOWS } from '../workflows/names.js';
import { activity } from './activity.js';
import { type Ground, refuse } from './ground.js';
import { backupInput, backupWordInput, domainInput, offsiteInput } from './inputs.js';
import { keepReport } from './keep-report.js';

/** Of a report what names files and off-sites is looked at, and what pages are made of: the rest is kept as it is. */
const named = z.looseObject({
  drill: backupInput,
  instance: domainInput,
  backup: backupWordInput,
  from: z.union([z.literal(''), offsiteInput]),
  depth: z.enum(drillDepths),
  status: z.enum(['passed', 'findings', 'failed']),
  checks: z.array(
    z.strictObject({ name: z.string(), passed: z.boolean(), detail: z.string(), durationMs: z.number() }),
  ),
});
const reportInput = z.custom<DrillReport>(
  (value) => named.safeParse(value).success,
  'not a report of a drill',
);

export function drillRecordActivities(ground: Ground) {
  return {
    /** Keeps the report on this machine and beside the backup, with its page. What cannot be kept is a warning. */
    keepDrill: activity(reportInput, async (report): Promise<{ url?: string; warnings: string[] }> => {
      const { workflowExecution, workflowType } = activityInfo();
      if (workflowType !== WORKFLOWS.drill || workflowExecution?.workflowId !== report.workflowId)
        throw refuse('only a drill has a report of a drill', 'permafrost drill');
      const { configuration } = await ground.open(report.instance); // no folder for an instance that is not ours
      const { url, warnings } = await keepReport(configuration, { kind: 'drill', report });
      return { ...(url === undefined ? {} : { url }), warnings };
    }),
  };
}
