import {
  CancellationScope,
  isCancellation,
  log,
  proxyActivities,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { CopyPlan, CopyReport, CopyRequest } from '../backups/copy-report.js';
import { backupIdOf } from '../backups/id.js';
import type { BackupProgress } from '../backups/report.js';
import { asReported, causeOf, reportOf } from './failures.js';
import { holding } from './guarded.js';
import { copyWorkflowId } from './names.js';
import { refuseForeignId } from './own-id.js';
import * as policies from './policies.js';
import { RunProgress } from './run-progress.js';
import { now } from './run-state.js';

const looking = proxyActivities<Activities>(policies.look);
const tidying = proxyActivities<Activities>(policies.tidy);
/** @param summary what goes where, as Temporal's UI shows it beside the step's name. */
const transferring = (summary: string) => proxyActivities<Activities>({ ...policies.transfer, summary });

/** Brings a sealed backup from one off-site to another: fetched and compared, sent, read back there, sealed there. */
export async function copy(request: CopyRequest): Promise<CopyReport> {
  refuseForeignId(request, (id, instance) => id === copyWorkflowId(instance));
  const { instance, from, to } = request;
  const { startTime, workflowId, runId } = workflowInfo();
  const report: CopyReport = {
    ...{ instance, backup: request.backup, from, to, status: 'there already', workflowId, runId },
    ...{ startedAt: startTime.toISOString(), finishedAt: '', copied: [] },
  };
  const progress = new RunProgress({
    ...{ instance, backup: request.backup, phases: ['preflight', 'upload', 'verify', 'seal'] },
    details: ({ status }) => detailsOf(report, status),
  });
  progress.offsite(to, 'waiting');
  progress.begin();
  const end = (...how: Parameters<RunProgress['end']>) => {
    report.finishedAt = now();
    progress.offsite(to, how[0] === 'done' ? 'sealed' : 'failed');
    progress.end(...how);
  };
  try {
    const plan = await progress.during('preflight', () =>
      looking.findForCopy({ instance, from, to, backup: request.backup }),
    );
    report.backup = plan.backup;
    progress.found(plan.backup);
    if (plan.copies.length > 0) {
      report.status = 'copied';
      const run = { instance, backup: backupIdOf(startTime), token: uuid4() };
      await holding(run, () => leavingNothing(instance, () => bringOver(plan, report, progress)));
    }
  } catch (error) {
    end(isCancellation(error) ? 'cancelled' : 'failed');
    if (isCancellation(error) && error instanceof Error) throw error;
    throw causeOf(error) ?? asReported(reportOf(error));
  }
  end('done');
  return report;
}

/** One backup after the other; a full dump before the delta that needs it. */
async function bringOver({ copies }: CopyPlan, report: CopyReport, progress: RunProgress): Promise<void> {
  const { instance, from, to } = report;
  for (const backup of copies) {
    const step = { instance, backup, from, to };
    await progress.during('upload', () => transferring(`${backup} from ${from} to ${to}`).copyParts(step));
    const checked = await progress.during('verify', () =>
      transferring(`${backup} from ${to}`).verifyCopied(step),
    );
    const sealed = await progress.during('seal', () =>
      transferring(`manifest of ${backup} to ${to}`).sealCopied(step),
    );
    report.copied.push({ backup, checked, bytesAdded: sealed.bytesAdded });
  }
}

/** Whatever happens, nothing of the backup stays on this machine. */
async function leavingNothing(instance: string, work: () => Promise<void>): Promise<void> {
  try {
    await tidying.sweepCopy({ instance });
    await work();
  } finally {
    await CancellationScope.nonCancellable(() =>
      tidying.sweepCopy({ instance }).catch((error: unknown) => {
        log.warn('what the copy has left was not swept; the next copy does it', { error: String(error) });
      }),
    );
  }
}

/** For Temporal's UI. */
function detailsOf(report: CopyReport, status: BackupProgress['status']): string {
  const { backup, instance, from, to, copied } = report;
  return [
    `**Copy of backup ${backup} of ${instance} from ${from} to ${to}: ${status}**`,
    '',
    "Mastodon's services: **not touched**",
    '',
    ...copied.map((one) => `- ${one.backup}: sealed, ${String(one.bytesAdded)} bytes added`),
  ].join('\n');
}
