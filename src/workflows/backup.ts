import { CancellationScope, isCancellation, log, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { BackupPlan, BackupReport, BackupRequest } from '../backups/report.js';
import { captureParts, takeMoment } from './capture.js';
import { keepBase, planDatabase } from './database.js';
import { asRefusal, causeOf, fail, reportOf } from './failures.js';
import { guarded } from './guarded.js';
import { backupWorkflowId } from './names.js';
import { deliver, deliverLate, keepIndex, prune } from './offsites.js';
import { refuseForeignId } from './own-id.js';
import * as policies from './policies.js';
import { quiesced } from './quiesced.js';
import { RunState } from './run-state.js';

const looking = proxyActivities<Activities>(policies.look);
const preparing = proxyActivities<Activities>(policies.prepare);
const tidying = proxyActivities<Activities>(policies.tidy);

/** One night of one instance: refuse early, hold still briefly, copy calmly, trust nothing that was not read back. */
export async function backup(request: BackupRequest): Promise<BackupReport> {
  refuseForeignId(request, (id, instance) => id.startsWith(backupWorkflowId(instance)));
  const state = new RunState(request);
  try {
    const plan = await state.inPhase('preflight', () => preflight(request));
    begin(state, plan);
    if (request.dryRun) return finish(state, 'planned');
    const report = await guarded(state, () => night(state, plan));
    return { ...report, warnings: [...state.warnings] }; // the sweep's came after it
  } catch (error) {
    throw await failed(state, error);
  }
}

/** What happens while the instance is held. */
async function night(state: RunState, plan: BackupPlan): Promise<BackupReport> {
  const { run } = state;
  const parts = plan.parts.map((part) => part.name);
  const reachable = plan.offsites
    .filter((offsite) => offsite.problem === undefined)
    .map((offsite) => offsite.name);
  const capture = () => state.inPhase('capture', () => captureParts(state, parts));

  await state.inPhase('quiesce', async () => {
    await preparing.prepareRun({ run, parts, offsites: reachable });
    await planDatabase(state, parts, reachable);
    await quiesced(state, plan, async () => {
      await takeMoment(state, parts);
      if (plan.quiesce === 'full') await capture();
    });
    if (plan.services.length > 0)
      state.detail('quiesce', `services stood still for ${(state.downtimeMs / 1000).toFixed(1)} s`);
  });
  if (plan.quiesce !== 'full') await capture();
  await deliver(state, plan, parts);
  await deliverLate(state, plan, parts);

  const sealed = [...state.offsites.values()].filter((offsite) => offsite.sealed);
  if (sealed.length === 0) throw nowhereSealed(state);
  if (parts.includes('media')) await keepIndex(state);
  await keepBase(state);
  await prune(state);
  return finish(state, sealed.length < plan.offsites.length ? 'partial' : 'sealed');
}

async function preflight(request: BackupRequest): Promise<BackupPlan> {
  try {
    return await looking.preflight(request);
  } catch (error) {
    throw asRefusal(error);
  }
}

function begin(state: RunState, plan: BackupPlan): void {
  state.plan = plan;
  state.warnings.push(...plan.warnings);
  for (const { name, problem } of plan.offsites) {
    state.offsites.set(name, {
      ...{ name, sealed: false, verified: false, bytesAdded: 0 },
      state: problem === undefined ? 'waiting' : 'failed',
      ...(problem === undefined ? {} : { error: problem }),
    });
  }
  state.detail(
    'preflight',
    `${plan.parts.map((part) => part.name).join(', ')} to ${plan.offsites.map((offsite) => offsite.name).join(', ')}`,
  );
}

async function finish(state: RunState, status: 'planned' | 'sealed' | 'partial'): Promise<BackupReport> {
  state.finish(status);
  const report = state.report();
  if (status !== 'planned') await record(report);
  return report;
}

/** The failure as the run ends with it: told to the operator, and kept on this machine. */
async function failed(state: RunState, error: unknown): Promise<Error> {
  const problem = reportOf(error);
  state.finish(isCancellation(error) ? 'cancelled' : 'failed', problem);
  const report = state.report(problem);
  await CancellationScope.nonCancellable(() => record(report));
  if (isCancellation(error) && error instanceof Error) return error;
  const type = causeOf(error)?.type ?? 'Unexpected';
  const { message, next } = problem;
  return fail(type as Parameters<typeof fail>[0], message, next, report);
}

async function record(report: BackupReport): Promise<void> {
  // The off-site's manifest and Temporal's history have it too: not worth failing a sealed backup.
  await tidying.recordRun(report).catch((error: unknown) => {
    log.warn('the report was not kept on this machine', { error: String(error) });
  });
}

function nowhereSealed(state: RunState): Error {
  const [first] = [...state.offsites.values()].flatMap(({ name, error }) =>
    error === undefined ? [] : [{ name, error }],
  );
  if (first === undefined) return fail('Unexpected', 'no off-site was filled', 'please report this');
  const { type, message, next } = first.error;
  return fail(type as Parameters<typeof fail>[0], message, next);
}
