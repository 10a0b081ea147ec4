import { z } from 'zod';
import type { InPlace, UndoReport } from '../backups/restore-report.js';
import { Failure } from '../errors.js';
import { leaseState, refuseForeignLease } from '../hosts/lease.js';
import { inspectServices } from '../mastodon/inspect.js';
import { toBeStopped } from '../mastodon/services.js';
import { forgetAtWork, rememberRestore, rememberedRestores, restoresAtWork } from '../records/restores.js';
import { settleOpenSwap } from '../restore/settle.js';
import { expireUndo, listUndos, prepareUndo, swapUndo, takeUndoBack, undoOf } from '../restore/undo.js';
import { restoreWorkflowId, undoWorkflowId } from '../workflows/names.js';
import { activity, report } from './activity.js';
import type { Ground } from './ground.js';
import { isOpen } from './guard.js';
import { backupInput, domainInput } from './inputs.js';
import { forgetJobs, jobsOf } from './jobs.js';
import { keepReport } from './keep-report.js';
import { follower } from './offsites.js';
import { onHost, undoGround, undoJournalOf } from './restore-ground.js';
import { undoStep } from './restore-inputs.js';
import { rememberInPlace } from './restore-remembered.js';
import { sweepRestoreOn } from './restore-sweep.js';
import { isStandstill, requireStandstill, settleForOthers, stilled } from './restore-swap.js';

const named = z.looseObject({ instance: domainInput, restore: backupInput, status: z.string().max(20) });
const reportInput = z.custom<UndoReport>((value) => named.safeParse(value).success, 'not a report');

/** Taking a finished restore back, and dropping what was kept for that when its time is over. */
export function undoActivities(ground: Ground) {
  return {
    /** Redeems the permit. @throws Failure `Refused` without one, `NotFound` when nothing is kept of that restore. */
    admitUndo: activity(undoStep, async (step) => {
      const { config, host, ownHost } = await undoGround(ground, step.undo);
      refuseForeignLease(host, config.domain, await leaseState(host, config.domain), step.run.token);
      const undo = await undoOf(undoJournalOf({ host }, step));
      if (undo === null || undo.undone) {
        throw new Failure(
          'NotFound',
          `nothing is kept of the restore ${step.undo.restore} on ${host.name} any more`,
          {
            host: host.name,
            next: 'an older state comes back by a restore: permafrost list',
          },
        );
      }
      return {
        ...{ to: host.name, ownHost, inPlace: undo.inPlace },
        ...{ leaseMs: config.quiesce.leaseMs, budgetMs: config.quiesce.budgetMs },
        undone: [...undo.lines],
      };
    }),

    /** Lays it ready; touches nothing of the instance. @returns also the services that have to be stopped for it. */
    readyUndo: activity(undoStep, async (step) => {
      const there = await undoGround(ground, step.undo);
      await settleOpenSwap(there.host, step.run.instance);
      const { services } = await inspectServices(there.host, there.config);
      const states = await toBeStopped(there.host, services);
      const { lines, warnings } = await prepareUndo(undoJournalOf(there, step));
      const active = states.filter((service) => service.active).map(({ name }) => name);
      return { undone: lines, warnings, services: active };
    }),

    /** Puts back what was there before the restore, by one job on the host. */
    swapUndo: activity(undoStep.extend(stilled), async ({ stilled: held, ...step }) => {
      const there = await undoGround(ground, step.undo);
      if (held) await requireStandstill(there.host, step.run);
      const { warnings } = await swapUndo(undoJournalOf(there, step), follower(there.host, step.run, 'undo'));
      return { warnings };
    }),

    /** The restore stands again, unless services run on what was put back already. */
    takeBackUndo: activity(
      undoStep.extend(stilled),
      async ({ stilled: held, ...step }): Promise<{ inPlace: InPlace }> => {
        const there = await undoGround(ground, step.undo);
        const ref = undoJournalOf(there, step);
        if (held && !(await isStandstill(there.host, step.run))) {
          await settleForOthers(there.host, step.run.instance);
          return { inPlace: (await undoOf(ref))?.undone === true ? 'after' : 'before' };
        }
        await settleOpenSwap(there.host, step.run.instance);
        await takeUndoBack(ref, follower(there.host, step.run, 'back'));
        return { inPlace: 'before' };
      },
    ),

    /** The undo is done: remembered. */
    settleUndo: activity(undoStep, async (step) => {
      const there = await undoGround(ground, step.undo);
      const { remembered } = there;
      if (remembered !== undefined)
        await rememberRestore(there.configuration.state, { ...remembered, undo: 'undone' });
      const jobs = jobsOf(step.run);
      await forgetJobs(there.host, (id) => id.startsWith(jobs));
    }),

    /** Keeps the report on this machine, with its page. */
    keepUndo: activity(undoStep.extend({ report: reportInput }), async ({ report: told, ...step }) => {
      const { configuration } = await undoGround(ground, step.undo);
      if (told.instance !== step.undo.instance || told.restore !== step.undo.restore)
        throw new Failure('InvalidInput', 'the report is that of another undo');
      const { url, warnings } = await keepReport(configuration, { kind: 'undo', report: told });
      return { ...(url === undefined ? {} : { url }), warnings };
    }),

    /**
     * Drops what was kept for undos whose time is over, and what a restore that was cut off has left: nothing of one that
     * can be undone still, and nothing while a restore is at work.
     */
    expireUndos: activity(z.strictObject({}), async () => {
      const { instances, state } = await ground.configuration();
      const removed: string[] = [];
      const failed: string[] = [];
      for (const instance of Object.keys(instances)) {
        report({ subject: instance });
        try {
          removed.push(...(await expireOf(ground, state, instance)));
        } catch (error) {
          failed.push(`${instance}: ${error instanceof Error ? error.message : String(error)}`.slice(0, 500));
        }
      }
      return { removed, failed };
    }),
  };
}

async function expireOf(ground: Ground, state: string, instance: string): Promise<string[]> {
  const now = new Date();
  const removed: string[] = [];
  const failed: unknown[] = [];
  // A host that does not answer keeps nothing from going elsewhere.
  const attempt = async (work: () => Promise<void>) => {
    await work().catch((error: unknown) => failed.push(error));
  };
  // Looked for before it is asked who is at work: one that begins meanwhile is none of these.
  const atWork = await restoresAtWork(state, instance);
  // An undo that was prepared in time is not dropped under its feet.
  if (await isOpen(ground, undoWorkflowId(instance))) return [];
  const remembered = await rememberedRestores(state, instance);
  for (const restore of remembered) {
    if (restore.gone || Date.parse(restore.undoUntil) > now.getTime()) continue;
    await attempt(async () => {
      const { host } = await onHost(ground, instance, restore.target);
      const done = await expireUndo({ host, domain: instance, restore: restore.restore }, { now });
      removed.push(...done.removed);
      if (done.left.length > 0) throw new Error(done.left.join('; '));
      const undo = restore.undo === 'possible' ? 'expired' : restore.undo;
      await rememberRestore(state, { ...restore, undo, gone: true });
    });
  }
  await attempt(async () => {
    const { host } = await ground.open(instance);
    for (const restore of await listUndos(host, instance)) {
      // Of another machine's Permafrost, or from before the state folder was lost.
      if (remembered.some((one) => one.restore === restore)) continue;
      removed.push(...(await expireUndo({ host, domain: instance, restore }, { now })).removed);
    }
  });
  if (!(await isOpen(ground, restoreWorkflowId(instance)))) {
    // A restore that was terminated: what it has left holds secrets.
    for (const { restore, from, target } of atWork) {
      await attempt(async () => {
        const { host } = await onHost(ground, instance, target);
        await settleOpenSwap(host, instance);
        await sweepRestoreOn(host, { instance, backup: restore });
        // It may have come as far as being in place.
        await rememberInPlace(state, host, { instance, restore, from, target });
        await forgetAtWork(state, instance, restore);
        removed.push(`what the restore ${restore} had left`);
      });
    }
  }
  if (failed[0] !== undefined) throw failed[0];
  return removed;
}
