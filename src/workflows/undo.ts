import {
  CancellationScope,
  isCancellation,
  log,
  proxyActivities,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import { backupIdOf } from '../backups/id.js';
import type { ServicesState } from '../backups/report.js';
import type { UndoReport, UndoRequest } from '../backups/restore-report.js';
import { detailsOf } from './details.js';
import { asRefusal, causeOf, fail, reportOf } from './failures.js';
import { holding } from './guarded.js';
import { undoWorkflowId } from './names.js';
import { refuseForeignId } from './own-id.js';
import * as policies from './policies.js';
import { standstillMs, type Stilling, type StillingPlan } from './quiesced.js';
import { RunProgress } from './run-progress.js';
import { now, type RunState } from './run-state.js';
import { calledUp, swapped } from './swapped.js';

const looking = proxyActivities<Activities>(policies.look);
const preparing = proxyActivities<Activities>(policies.prepare);
const swapping = proxyActivities<Activities>(policies.swap);
const tidying = proxyActivities<Activities>(policies.tidy);

/** Takes a finished restore back: the same short standstill, the other way. */
export async function undo(request: UndoRequest): Promise<UndoReport> {
  refuseForeignId(request, (id, instance) => id === undoWorkflowId(instance));
  const state = new UndoState(request);
  try {
    const admitted = await state.progress.during('plan', () => looking.admitUndo(state.step)).catch(refused);
    state.begin(admitted.to);
    const work = () => back(state, admitted);
    await (admitted.ownHost ? holding(state.run, work) : work());
    await CancellationScope.nonCancellable(() => keep(state.end('undone', state.report.error), state));
    return state.report;
  } catch (error) {
    throw await failed(state, error);
  }
}

async function back(
  state: UndoState,
  { inPlace, ...limits }: Omit<StillingPlan, 'services'> & { inPlace: boolean },
): Promise<void> {
  const { step, report } = state;
  const ready = await preparing.readyUndo(step);
  const plan = { ...limits, services: ready.services };
  const stilled = plan.services.length > 0;
  report.undone = [
    ...ready.undone,
    ...(inPlace ? [] : ['the services stay stopped: before the restore there was no instance']),
  ];
  state.warn(ready.warnings);
  await state.progress.during('swap', async () => {
    const swap = {
      forth: async () => {
        state.warn((await swapping.swapUndo({ ...step, stilled })).warnings);
      },
      back: async () => (await swapping.takeBackUndo({ ...step, stilled })).inPlace,
    };
    await swapped(state, plan, swap, { stayDown: !inPlace });
    if (!inPlace) return;
    const down = await calledUp(state, plan.services, report.to);
    if (down !== undefined) report.error = down;
  });
  await CancellationScope.nonCancellable(() =>
    tidying.settleUndo(step).catch((error: unknown) => {
      state.warn([`the undo was not noted on this machine: ${reportOf(error).message}`]);
    }),
  );
}

async function failed(state: UndoState, error: unknown): Promise<Error> {
  const problem = reportOf(error);
  state.end(isCancellation(error) ? 'cancelled' : 'failed', problem);
  if (state.report.to !== '') await CancellationScope.nonCancellable(() => keep(state.report, state));
  if (isCancellation(error) && error instanceof Error) return error;
  const { type = 'Unexpected' } = causeOf(error) ?? {};
  return fail(type as Parameters<typeof fail>[0], problem.message, problem.next, state.report);
}

async function keep(report: UndoReport, state: UndoState): Promise<void> {
  try {
    const { url, warnings } = await tidying.keepUndo({ ...state.step, report });
    state.page = url;
    state.warn(warnings);
  } catch (error) {
    log.warn('the report was not kept', { error: String(error) });
  }
}

function refused(error: unknown): never {
  throw asRefusal(error);
}

/** What one undo knows of itself. */
class UndoState implements Stilling {
  readonly run: RunState['run'];
  readonly place: { undo: UndoRequest };
  readonly unfinished = {
    what: 'nothing was taken back by then',
    next: 'a longer quiesce.budget',
  };
  stoppedAtMs: number | undefined;
  healthyAtMs: number | undefined;
  page: string | undefined;
  readonly report: UndoReport;
  readonly progress: RunProgress;

  constructor(request: UndoRequest) {
    const { startTime, workflowId, runId } = workflowInfo();
    const { instance, restore } = request;
    this.run = { instance, backup: backupIdOf(startTime), token: uuid4() };
    this.place = { undo: request };
    this.report = {
      ...{ restore, instance, to: '', status: 'failed', workflowId, runId },
      ...{ startedAt: startTime.toISOString(), finishedAt: '', downtimeMs: 0, services: 'untouched' },
      ...{ undone: [], next: [], warnings: [] },
    };
    this.progress = new RunProgress({
      ...{ instance, backup: restore, phases: ['plan', 'swap'] },
      details: (progress) =>
        [
          detailsOf(progress, this.report.error, 'Undo of restore'),
          ...(this.page === undefined ? [] : ['', `[The report](${this.page})`]),
        ].join('\n'),
    });
  }

  get step(): { run: RunState['run']; undo: UndoRequest } {
    return { run: this.run, undo: this.place.undo };
  }

  begin(to: string): void {
    this.report.to = to;
    this.progress.begin();
  }

  setServices(services: ServicesState): void {
    this.report.services = services;
    this.progress.services(services);
  }

  warn(warnings: readonly string[]): void {
    for (const warning of warnings) {
      this.report.warnings.push(warning);
      this.progress.warn(warning);
    }
  }

  end(status: UndoReport['status'], error?: UndoReport['error']): UndoReport {
    const { report } = this;
    report.status = status;
    if (error !== undefined) report.error = error;
    report.downtimeMs = standstillMs(this);
    report.finishedAt = now();
    this.progress.end(status === 'undone' ? 'done' : status, status);
    return report;
  }
}
