import { CancellationScope, isCancellation, log, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { DrillStep } from '../activities/drill-steps.js';
import type { DrillReport, DrillRequest } from '../backups/drill-report.js';
import { DrillState } from './drill-state.js';
import { asReported, reportOf } from './failures.js';
import { drillWorkflowId } from './names.js';
import { refuseForeignId } from './own-id.js';
import * as policies from './policies.js';
import { together } from './together.js';

const looking = proxyActivities<Activities>(policies.look);
const preparing = proxyActivities<Activities>(policies.prepare);
const loading = proxyActivities<Activities>(policies.load);
const booting = proxyActivities<Activities>(policies.boot);
const tidying = proxyActivities<Activities>(policies.tidy);
/** @param summary what is read, as Temporal's UI shows it beside the step's name. */
const reading = (summary: string) => proxyActivities<Activities>({ ...policies.transfer, summary });

/** Restores a backup in a scratch place, as a stranger would, and proves that it is the instance. Touches no server. */
export async function drill(request: DrillRequest): Promise<DrillReport> {
  refuseForeignId(request, (id, instance) => isOf(instance, id));
  const state = new DrillState(request);
  try {
    await state.progress.during('plan', () => plan(state, request));
    // A manifest that nobody can read is the finding: there is nothing to restore by.
    if (state.report.checks.length === 0) await inScratch(state, (step) => restoreAndProve(state, step));
  } catch (error) {
    state.failed(error);
    if (isCancellation(error) && error instanceof Error) throw error;
    await keep(state);
    throw asReported(reportOf(error), state.report);
  }
  state.judge();
  await keep(state);
  return state.end();
}

/** `drill/<domain>`, or that with the time which a schedule appends. */
function isOf(instance: string, id: string): boolean {
  const ours = drillWorkflowId(instance);
  return id === ours || (id.startsWith(`${ours}-`) && /^-\d{4}-\d\d-\d\dT/.test(id.slice(ours.length)));
}

/** Which backup, from which off-site, how deep; refuses here, before anything was fetched. */
async function plan(state: DrillState, request: DrillRequest): Promise<void> {
  state.planned(await looking.findDrill({ ...request, drill: state.report.drill }));
}

/** Whatever happens, nothing of the backup stays on the drill host. */
async function inScratch(state: DrillState, work: (step: DrillStep) => Promise<void>): Promise<void> {
  const { instance, drill, backup, from } = state.report;
  const step = { instance, drill, backup, from };
  try {
    await preparing.openScratch(step);
    await work(step);
  } finally {
    await CancellationScope.nonCancellable(() =>
      state.progress
        .during('tidy', () => tidying.closeScratch({ instance, drill }))
        .catch((error: unknown) => {
          log.warn('the scratch was not removed; its lease does it', { error: String(error) });
          state.report.scratchLeft = true;
          state.warn(
            `What the drill had restored could not be removed; it goes by itself within the hour: ${reportOf(error).message}`,
          );
        }),
    );
  }
}

async function restoreAndProve(state: DrillState, step: DrillStep): Promise<void> {
  const { progress, report } = state;
  const what = `${step.backup} from ${step.from}`;
  progress.offsite(step.from, 'reading');
  state.received(await progress.during('fetch', () => reading(what).receiveBackup(step)));
  // Files wait for the off-site, and a load for the processors.
  await together([
    async () => {
      state.sampled(await progress.during('files', () => reading(`media of ${what}`).proveReceived(step)));
    },
    async () => {
      if (!state.hasSomethingToLoad()) return;
      if (!state.loaded(await progress.during('load', () => loading.loadScratch(step)))) return;
      state.proven(await progress.during('database', () => loading.proveScratch(step)));
    },
  ]);
  if (report.depth !== 'application' || !state.isLoaded) return;
  state.booted(await progress.during('application', () => booting.proveBoot(step)));
}

/** The report, where operators find it: on this machine, as a page, and beside the backup. */
async function keep(state: DrillState): Promise<void> {
  try {
    const { url, warnings } = await tidying.keepDrill(state.report);
    state.kept(url, warnings);
  } catch (error) {
    log.warn('the report was not kept', { error: String(error) });
    state.warn(`The report could not be kept: ${reportOf(error).message}`);
  }
}
