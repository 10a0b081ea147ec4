import { CancellationScope, isCancellation, log, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { RestorePlan, RestoreReport, RestoreRequest } from '../backups/restore-report.js';
import { asRefusal, causeOf, fail, reportOf } from './failures.js';
import { holding } from './guarded.js';
import { restoreWorkflowId } from './names.js';
import { refuseForeignId } from './own-id.js';
import * as policies from './policies.js';
import { standstillMs } from './quiesced.js';
import { RestoreState } from './restore-state.js';
import { calledUp, swapped } from './swapped.js';
import { together } from './together.js';

const looking = proxyActivities<Activities>(policies.look);
const preparing = proxyActivities<Activities>(policies.prepare);
const fetching = proxyActivities<Activities>(policies.transfer);
const loading = proxyActivities<Activities>(policies.load);
const swapping = proxyActivities<Activities>(policies.swap);
const tidying = proxyActivities<Activities>(policies.tidy);

/** What `--allow unproven-secrets` is about. */
const secretChecks: readonly string[] = ['secrets-open', 'actor-keys'];

/**
 * Gets an instance back: all that is slow happens beside it while it runs, then one short standstill puts everything in
 * place. Whatever goes wrong before the end of the swap leaves the instance as it was.
 */
export async function restore(request: RestoreRequest): Promise<RestoreReport> {
  refuseForeignId(request, (id, instance) => id === restoreWorkflowId(instance));
  const state = new RestoreState(request);
  try {
    const { to, ownHost } = await looking.admitRestore(state.step);
    state.begin(to);
    const plan = await state.progress.during('plan', () => looking.planRestore(state.step)).catch(refused);
    state.planned(plan);
    if (request.planOnly === true) return state.end('planned');
    const work = () => leavingNothing(state, () => allOf(state, plan));
    // Another host than the instance's own has no guard: the id of this run is the lock, its lease protects what stops.
    await (ownHost ? holding(state.run, work) : work());
    return await finished(state);
  } catch (error) {
    throw await failed(state, error);
  }
}

async function allOf(state: RestoreState, plan: RestorePlan): Promise<void> {
  const { progress, step, request } = state;
  const has = (part: RestoreRequest['parts'][number]) => request.parts.includes(part);
  await progress.during('fetch', async () => {
    await preparing.prepareRestore(step);
    const { bytes, detail } = await fetching.fetchRestore(step);
    progress.detail('fetch', detail);
    log.info('fetched', { bytes });
  });
  await together([
    ...(has('media') ? [() => progress.during('fetch', () => addMedia(state))] : []),
    ...(has('database') ? [() => loaded(state)] : []),
  ]);
  if (has('database') || has('secrets') || has('redis')) {
    await progress.during('swap', () => putInPlace(state, plan));
  }
  // From here on it is done, and stays so: who does not want it takes it back by an undo.
  await CancellationScope.nonCancellable(() => settled(state));
  await progress.during('afterwards', () => afterwards(state));
}

async function addMedia(state: RestoreState): Promise<void> {
  const { findings, ...media } = await fetching.addMedia(state.step);
  state.report.media = media;
  for (const finding of findings) state.warn(finding);
}

async function loaded(state: RestoreState): Promise<void> {
  const { progress, step, report, request } = state;
  await progress.during('load', async () => {
    const { notes, detail, check } = await loading.loadRestore(step);
    report.checks.push(check);
    for (const note of notes) state.warn(note);
    progress.detail('load', detail);
  });
  await progress.during('prove', async () => {
    const { checks, notProven } = await loading.proveRestore(step);
    report.checks.push(...checks);
    report.notProven.push(...notProven);
    const wrong = checks.filter(({ passed }) => !passed);
    progress.detail(
      'prove',
      `${String(checks.length - wrong.length)} of ${String(checks.length)} checks passed`,
    );
    const allowed = request.allow?.includes('unproven-secrets') === true ? secretChecks : [];
    for (const { name, detail } of wrong) if (allowed.includes(name)) state.warn(`${name}: ${detail}`);
    const refusing = wrong.filter(({ name }) => !allowed.includes(name));
    if (refusing.length > 0) throw notRestorable(state, refusing);
  });
}

async function putInPlace(state: RestoreState, planned: RestorePlan): Promise<void> {
  const { progress, step } = state;
  const ready = await loading.readyRestore({ ...step, mediaAdded: state.report.media?.added ?? 0 });
  // What runs now, hours after the plan.
  const plan = { ...planned, services: ready.services };
  const stilled = plan.services.length > 0;
  for (const warning of ready.warnings) state.warn(warning);
  await swapped(state, plan, {
    forth: async () => {
      const { warnings } = await swapping.swapRestore({ ...step, stilled });
      for (const warning of warnings) state.warn(warning);
    },
    back: async () => (await swapping.takeBackRestore({ ...step, stilled })).inPlace,
  });
  // From here on the restore is done: services that were not running before do not make it undone.
  const down = await calledUp(state, plan.services, plan.to, '; or: permafrost undo');
  if (down !== undefined) state.report.error = down;
  if (plan.services.length > 0)
    progress.detail('swap', `services stood still for ${(standstillMs(state) / 1000).toFixed(1)} s`);
}

/** The restore is done: its undo is kept from here on. */
async function settled(state: RestoreState): Promise<void> {
  try {
    const { undoUntil, next, warnings } = await tidying.settleRestore(state.step);
    state.report.undoUntil = undoUntil;
    state.report.next = [...new Set([...state.report.next, ...next])];
    for (const warning of warnings) state.warn(warning);
  } catch (error) {
    // Media alone are taken back when they are not settled; what was swapped in is in place whatever comes.
    if (state.request.parts.every((part) => part === 'media')) throw error;
    const { instance, backup } = state.run;
    state.warn(
      `The restore is done, but this machine has not noted it yet: ${reportOf(error).message}. It can be taken back: permafrost undo ${instance} ${backup}`,
    );
  }
}

/** What Mastodon has to be told. Whatever fails here is listed, to be run by hand: the instance is restored. */
async function afterwards(state: RestoreState): Promise<void> {
  for (const name of state.request.run ?? []) {
    try {
      const { ok, detail, next } = await loading.runAfterwards({ ...state.step, name });
      state.report.ran.push({ name, ok, detail });
      if (ok) state.report.next = state.report.next.filter((line) => !next.includes(line));
    } catch (error) {
      const detail = isCancellation(error) ? 'it was cancelled' : reportOf(error).message;
      state.report.ran.push({ name, ok: false, detail });
    }
  }
}

/** Whatever happens: what was fetched, a database that did not come into place and media that came for nothing go. */
async function leavingNothing(state: RestoreState, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } finally {
    await CancellationScope.nonCancellable(() =>
      tidying.sweepRestore(state.step).catch((error: unknown) => {
        const { message } = reportOf(error);
        state.warn(
          `What the restore kept on ${state.report.to} could not be removed; the next restore does it: ${message}`,
        );
      }),
    );
  }
}

async function finished(state: RestoreState): Promise<RestoreReport> {
  state.end('restored', state.report.error);
  await CancellationScope.nonCancellable(() => keep(state));
  return state.report;
}

/** The failure as the run ends with it: told to the operator, and kept on this machine. */
async function failed(state: RestoreState, error: unknown): Promise<Error> {
  const problem = reportOf(error);
  state.end(isCancellation(error) ? 'cancelled' : 'failed', problem);
  const { type = 'Unexpected' } = causeOf(error) ?? {};
  // A run that nobody permitted leaves no report beside anything.
  if (state.report.to !== '') await CancellationScope.nonCancellable(() => keep(state));
  if (isCancellation(error) && error instanceof Error) return error;
  return fail(type as Parameters<typeof fail>[0], problem.message, problem.next, state.report);
}

async function keep(state: RestoreState): Promise<void> {
  if (state.report.status === 'planned') return;
  try {
    const { url, warnings } = await tidying.keepRestore({ ...state.step, report: state.report });
    state.kept(url, warnings);
  } catch (error) {
    log.warn('the report was not kept', { error: String(error) });
  }
}

function refused(error: unknown): never {
  throw asRefusal(error);
}

function notRestorable({ request }: RestoreState, wrong: { name: string; detail: string }[]): Error {
  const said = wrong.map(({ name, detail }) => `${name}: ${detail}`).join('; ');
  return fail(
    'NotRestorable',
    `the database of ${request.backup} from ${request.from} is not what it should be (${said.slice(0, 1500)})`,
    `nothing was touched; another off-site or an older backup: permafrost restore ${request.instance} BACKUP --from NAME`,
  );
}
