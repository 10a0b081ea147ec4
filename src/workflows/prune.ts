import { isCancellation, proxyActivities, uuid4, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import { backupIdOf } from '../backups/id.js';
import type { PruneReport, PruneRequest } from '../backups/prune-report.js';
import { reportOf } from './failures.js';
import { holding } from './guarded.js';
import { pruneWorkflowId } from './names.js';
import { refuseForeignId } from './own-id.js';
import * as policies from './policies.js';
import { RunProgress } from './run-progress.js';
import { now } from './run-state.js';

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
  const progress = new RunProgress({
    ...{ instance: run.instance, backup: run.backup, phases: ['prune'] },
    details: ({ status }) => detailsOf(report, status === 'running' ? status : report.status),
  });
  const { offsites } = await looking.admitPrune(request);
  progress.begin('prune');
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
      progress.show();
    };
    const ended = await Promise.allSettled(offsites.map(pruneOn));
    const cancelled = ended.find((end) => end.status === 'rejected');
    if (cancelled !== undefined) throw cancelled.reason;
  });
  report.offsites.sort((one, other) => offsites.indexOf(one.name) - offsites.indexOf(other.name));
  const failed = report.offsites.filter(({ error }) => error !== undefined).length;
  report.status = failed === 0 ? 'done' : failed < offsites.length ? 'partial' : 'failed';
  report.finishedAt = now();
  progress.end(report.status === 'failed' ? 'failed' : 'done', report.status);
  return report;
}

/** For Temporal's UI. */
function detailsOf({ instance, offsites }: PruneReport, status: string): string {
  return [
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
  ].join('\n');
}
