import {
  CancellationScope,
  isCancellation,
  log,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { CopyPlan, CopyReport, CopyRequest } from '../backups/copy-report.js';
import { backupIdOf } from '../backups/id.js';
import type { BackupProgress, PhaseName } from '../backups/report.js';
import { asReported, causeOf, reportOf } from './failures.js';
import { holding } from './guarded.js';
import { copyWorkflowId } from './names.js';
import { refuseForeignId } from './own-id.js';
import * as policies from './policies.js';
import { now, progressQuery } from './run-state.js';
import {
  PermafrostBackup,
  PermafrostInstance,
  PermafrostPhase,
  PermafrostStatus,
} from './search-attributes.js';

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
  const view = new View(report);
  try {
    const plan = await view.during('preflight', () =>
      looking.findForCopy({ instance, from, to, backup: request.backup }),
    );
    report.backup = plan.backup;
    upsertSearchAttributes([{ key: PermafrostBackup, value: plan.backup }]);
    if (plan.copies.length > 0) {
      report.status = 'copied';
      const run = { instance, backup: backupIdOf(startTime), token: uuid4() };
      await holding(run, () => leavingNothing(instance, () => bringOver(plan, report, view)));
    }
  } catch (error) {
    view.end(isCancellation(error) ? 'cancelled' : 'failed');
    if (isCancellation(error) && error instanceof Error) throw error;
    throw causeOf(error) ?? asReported(reportOf(error));
  }
  view.end('sealed');
  return report;
}

/** One backup after the other; a full dump before the delta that needs it. */
async function bringOver({ copies }: CopyPlan, report: CopyReport, view: View): Promise<void> {
  const { instance, from, to } = report;
  for (const backup of copies) {
    const step = { instance, backup, from, to };
    await view.during('upload', () => transferring(`${backup} from ${from} to ${to}`).copyParts(step));
    const checked = await view.during('verify', () =>
      transferring(`${backup} from ${to}`).verifyCopied(step),
    );
    const sealed = await view.during('seal', () =>
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

/** How far it is, for the command and for Temporal's UI. */
class View {
  readonly #report: CopyReport;
  readonly #progress: BackupProgress;

  constructor(report: CopyReport) {
    this.#report = report;
    this.#progress = {
      ...{ backup: report.backup, instance: report.instance, status: 'running', quiesce: 'none' },
      phases: (['preflight', 'upload', 'verify', 'seal'] as const).map((name) => ({
        name,
        state: 'waiting',
      })),
      ...{ services: 'untouched', offsites: [{ name: report.to, state: 'waiting' }], warnings: [] },
    };
    setHandler(progressQuery, () => this.#progress);
    upsertSearchAttributes([
      { key: PermafrostInstance, value: report.instance },
      { key: PermafrostStatus, value: 'running' },
    ]);
    this.#show();
  }

  async during<T>(name: PhaseName, work: () => Promise<T>): Promise<T> {
    const phase = this.#progress.phases.find((one) => one.name === name);
    if (phase !== undefined) {
      phase.state = 'running';
      phase.startedAt ??= now();
      delete phase.finishedAt;
    }
    upsertSearchAttributes([{ key: PermafrostPhase, value: name }]);
    const result = await work();
    if (phase !== undefined) {
      phase.state = 'done';
      phase.finishedAt = now();
    }
    this.#progress.backup = this.#report.backup;
    this.#show();
    return result;
  }

  end(status: 'sealed' | 'failed' | 'cancelled'): void {
    this.#report.finishedAt = now();
    this.#progress.status = status;
    for (const phase of this.#progress.phases) {
      if (phase.state === 'running') phase.state = 'failed';
      if (phase.state === 'waiting') phase.state = 'skipped';
    }
    this.#progress.offsites = [{ name: this.#report.to, state: status === 'sealed' ? 'sealed' : 'failed' }];
    upsertSearchAttributes([{ key: PermafrostStatus, value: status === 'sealed' ? 'done' : status }]);
    this.#show();
  }

  #show(): void {
    const { backup, instance, from, to, copied } = this.#report;
    const { status } = this.#progress;
    setCurrentDetails(
      [
        `**Copy of backup ${backup} of ${instance} from ${from} to ${to}: ${status === 'sealed' ? 'done' : status}**`,
        '',
        "Mastodon's services: **not touched**",
        '',
        ...copied.map((one) => `- ${one.backup}: sealed, ${String(one.bytesAdded)} bytes added`),
      ].join('\n'),
    );
  }
}
