import {
  isCancellation,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import { backupIdOf } from '../backups/id.js';
import type { PruneReport, PruneRequest } from '../backups/prune-report.js';
import { reportOf } from './failures.js';
import { holding } from './guarded.js';
import { pruneWorkflowId } from './names.js';
import { refuseForeignId } from './own-id.js';
import * as policies from './policies.js';
import { progressQuery } from './run-state.js';
import { PermafrostInstance, PermafrostPhase, PermafrostStatus } from './search-attributes.js';

const looking = proxyActivities<Activities>(policies.look);
const removing = (summary: string) => proxyActivities<Activities>({ ...policies.transfer, summary });

/** Retention by hand: while nothing else writes, remove what it lets go, on each off-site by itself. */
export async function prune(request: PruneRequest): Promise<PruneReport> {
  refuseForeignId(request, (id, instance) => id === pruneWorkflowId(instance));
  const { startTime, workflowId, runId } = workflowInfo();
  const run = { instance: request.instance, backup: backupIdOf(startTime), token: uuid4() };
  const report: PruneReport = {
    ...{ instance: request.instance, status: 'done', workflowId, runId },
    ...{ startedAt: startTime.toISOString(), finishedAt: '', offsites: [] },
  };
  setHandler(progressQuery, () => ({
    ...{ backup: run.backup, instance: run.instance, status: 'running', quiesce: 'none' },
    phases: [{ name: 'prune', state: 'running', startedAt: report.startedAt }],
    ...{ services: 'untouched', offsites: [], warnings: [] },
  }));
  const { offsites } = await looking.admitPrune(request);
  upsertSearchAttributes([
    { key: PermafrostInstance, value: request.instance },
    { key: PermafrostStatus, value: 'running' },
    { key: PermafrostPhase, value: 'prune' },
  ]);
  show(report, 'running');
  await holding(run, async () => {
    const pruneOn = async (name: string) => {
      try {
        const pruned = await removing(`retention on ${name}`).pruneByHand({ run, offsite: name, request });
        report.offsites.push({ name, ...pruned });
      } catch (error) {
        if (isCancellation(error)) throw error;
        const nothing = { removed: [], swept: [], kept: 0, appendOnly: false };
        report.offsites.push({ name, ...nothing, error: reportOf(error) });
      }
      show(report, 'running');
    };
    const ended = await Promise.allSettled(offsites.map(pruneOn));
    const cancelled = ended.find((end) => end.status === 'rejected');
    if (cancelled !== undefined) throw cancelled.reason;
  });
  report.offsites.sort((one, other) => offsites.indexOf(one.name) - offsites.indexOf(other.name));
  const failed = report.offsites.filter(({ error }) => error !== undefined).length;
  report.status = failed === 0 ? 'done' : failed < offsites.length ? 'partial' : 'failed';
  report.finishedAt = new Date().toISOString();
  upsertSearchAttributes([{ key: PermafrostStatus, value: report.status }]);
  show(report, report.status);
  return report;
}

/** For Temporal's UI. */
function show({ instance, offsites }: PruneReport, status: string): void {
  setCurrentDetails(
    [
      `**Retention on the off-sites of ${instance}: ${status}**`,
      '',
      "Mastodon's services: **not touched**",
      '',
      ...offsites.map(({ name, removed, kept, appendOnly, error }) => {
        const did = appendOnly
          ? 'left alone: append-only'
          : `${String(removed.length)} removed, ${String(kept)} kept`;
        return `- ${name}: ${error === undefined ? did : error.message.replace(/\s+/g, ' ')}`;
      }),
    ].join('\n'),
  );
}
