import { log } from '@temporalio/activity';
import { z } from 'zod';
import { formatBytes } from '../backups/bytes.js';
import { afterwards, type InPlace, type RestoreReport } from '../backups/restore-report.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { leaseState, stopBooted } from '../hosts/lease.js';
import { toBeStopped } from '../mastodon/services.js';
import { forgetAtWork } from '../records/restores.js';
import { afterwardsOf, runAfterwards } from '../restore/afterwards.js';
import type { JournalRef } from '../restore/journal.js';
import { besideName } from '../restore/database-names.js';
import { settleOpenSwap } from '../restore/settle.js';
import { isSwappedIn, prepareSwap, swapBack, swapIn, wasInPlace } from '../restore/swap.js';
import type { RestoreTarget } from '../restore/target.js';
import { activity } from './activity.js';
import type { Ground } from './ground.js';
import { backupInput, domainInput, type RunRef } from './inputs.js';
import { keepReport } from './keep-report.js';
import { follower } from './offsites.js';
import { fetched, journalOf, type StagedGround, stagedGround, targetOf } from './restore-ground.js';
import { restoreInput, type RestoreStep, restoreStep } from './restore-inputs.js';
import { rememberInPlace } from './restore-remembered.js';
import { sweepRestoreOn } from './restore-sweep.js';

/** Whether the run has stopped services for the swap, which then have to be its own to hold. */
export const stilled = z.strictObject({ stilled: z.boolean() }).shape;

/** Of a report only what names it is looked at: the rest is kept as it is. */
const named = z.looseObject({
  ...{ instance: domainInput, restore: backupInput, backup: backupInput, from: z.string().max(40) },
  status: z.string().max(20),
});
const reportInput = z.custom<RestoreReport>((value) => named.safeParse(value).success, 'not a report');

/** A restore's swap, and what comes after it. */
export function restoreSwapActivities(ground: Ground) {
  return {
    /**
     * Lays all that is put in place ready, and writes down how it is taken back; touches nothing of the instance.
     *
     * @returns the services that have to be stopped for it: hours may have passed since the plan.
     */
    readyRestore: activity(
      restoreStep.extend({ mediaAdded: z.number().int().nonnegative() }),
      async ({ mediaAdded, ...step }) => {
        const there = await stagedGround(ground, step);
        const received = await fetched(there);
        const { manifest, files } = received;
        const { parts } = step.restore;
        const target = await targetOf(there, step, received);
        const services = await toBeStopped(there.host, target.services.services);
        const { warnings } = await prepareSwap({
          ...{ target, restore: step.run.backup, manifest, parts, mediaAdded },
          ...(parts.includes('database') && target.database !== null
            ? { beside: besideName(target.database.name, 'restore', step.run.backup) }
            : {}),
          ...(parts.includes('secrets') && files.secrets !== undefined ? { archive: files.secrets } : {}),
          ...(parts.includes('redis') && files.rdb !== undefined ? { rdb: files.rdb } : {}),
        });
        return { warnings, services: services.filter(({ active }) => active).map(({ name }) => name) };
      },
    ),

    /**
     * Puts everything in place by one job on the host, which goes on without a worker.
     *
     * @throws Failure when that failed, and all is as before; `LeaseLost` when the services are no longer held.
     */
    swapRestore: activity(restoreStep.extend(stilled), async ({ stilled: held, ...step }) => {
      const there = await stagedGround(ground, step);
      if (held) await requireStandstill(there.host, step.run);
      const follow = follower(there.host, step.run, 'swap');
      const { warnings } = await swapIn(journalOf(there, step), follow);
      return { warnings };
    }),

    /** Takes the swap back from wherever it is, unless services run on it already. @returns what is in place now. */
    takeBackRestore: activity(
      restoreStep.extend(stilled),
      async ({ stilled: held, ...step }): Promise<{ inPlace: InPlace }> => {
        const there = await stagedGround(ground, step);
        const ref = journalOf(there, step);
        if (held && !(await isStandstill(there.host, step.run))) {
          await settleForOthers(there.host, step.run.instance);
          return { inPlace: (await isSwappedIn(ref)) ? 'after' : 'before' };
        }
        await settleOpenSwap(there.host, step.run.instance);
        await swapBack(ref, follower(there.host, step.run, 'back'));
        return { inPlace: 'before' };
      },
    ),

    /** The restore is done: remembers it, and what it keeps for the undo. */
    settleRestore: activity(restoreStep, async (step) => {
      const there = await stagedGround(ground, step);
      const { configuration, host, staging, spec } = there;
      const { instance, from } = step.restore;
      const remembered = { instance, restore: step.run.backup, from, target: spec };
      const undo = await rememberInPlace(configuration.state, host, remembered);
      // What was added stays from here on.
      await host.run(['rm', '-f', '--', staging.added]);
      const { next, problem } = await nextOf(there, step).catch((error: unknown) => ({
        next: [],
        problem: `What Mastodon has to be told is not known (docs/restore-by-hand.md has it): ${String(error)}`,
      }));
      return {
        undoUntil: undo?.undoUntil ?? null,
        next,
        warnings: [
          ...(problem === undefined ? [] : [problem]),
          ...(undo?.databaseBytes == null
            ? []
            : [
                `The old database stays for the undo: ${formatBytes(undo.databaseBytes)} until ${undo.undoUntil.slice(0, 16).replace('T', ' ')} UTC.`,
              ]),
        ],
      };
    }),

    /** Runs something of Mastodon's own that a restore asks for. */
    runAfterwards: activity(restoreStep.extend({ name: z.enum(afterwards) }), async ({ name, ...step }) => {
      const there = await stagedGround(ground, step);
      const received = await fetched(there);
      const target = await targetOf(there, step, received);
      const before = await asBefore(target, journalOf(there, step));
      const wanted = afterwardsOf(before, received.manifest, step.restore.parts).find(
        (one) => one.name === name,
      );
      if (wanted === undefined)
        return { ok: true, detail: 'there is nothing to do for it after this restore', next: [] };
      const follow = follower(there.host, step.run, `after-${name}`);
      const { ok, detail } = await runAfterwards(target, wanted, follow);
      return { ok, detail, next: [...wanted.lines] };
    }),

    /** Removes everything that the restore kept on the host while it was at work. */
    sweepRestore: activity(restoreStep, async (step) => {
      const there = await stagedGround(ground, step);
      const { configuration, host, spec } = there;
      const { instance, from } = step.restore;
      await sweepRestoreOn(host, step.run);
      // Also of one that has failed after its swap.
      const remembered = { instance, restore: step.run.backup, from, target: spec };
      await rememberInPlace(configuration.state, host, remembered);
      await forgetAtWork(configuration.state, instance, step.run.backup);
    }),

    /** Keeps the report: on this machine, as a page, and beside the backup. */
    keepRestore: activity(
      z.strictObject({ run: restoreStep.shape.run, restore: restoreInput, report: reportInput }),
      async ({ run, restore, report }) => {
        const { configuration } = await stagedGround(ground, { run, restore });
        const same =
          report.instance === run.instance && report.restore === run.backup && report.from === restore.from;
        if (!same) throw new Failure('InvalidInput', 'the report is that of another restore');
        const { url, warnings } = await keepReport(configuration, { kind: 'restore', report });
        return { ...(url === undefined ? {} : { url }), warnings };
      },
    ),
  };
}

/** What Mastodon has to be told, as lines to type. */
async function nextOf(
  there: StagedGround,
  step: RestoreStep,
): Promise<{ next: string[]; problem?: undefined }> {
  const received = await fetched(there);
  const target = await asBefore(await targetOf(there, step, received), journalOf(there, step));
  const steps = afterwardsOf(target, received.manifest, step.restore.parts);
  return { next: steps.flatMap(({ lines }) => lines) };
}

/** After the swap every host has the instance: what an emptied one needs is known from before. */
async function asBefore(target: RestoreTarget, ref: JournalRef): Promise<RestoreTarget> {
  return { ...target, inPlace: (await wasInPlace(ref)) ?? target.inPlace };
}

/** @throws Failure `LeaseLost` when the services are no longer this run's to hold. */
export async function requireStandstill(host: Host, run: RunRef): Promise<void> {
  if (await isStandstill(host, run)) return;
  throw new Failure(
    'LeaseLost',
    `the services of ${run.instance} on ${host.name} are no longer held by this run: nothing is put in place`,
    { host: host.name, next: 'they were started by the lease, by the guard or by an operator; try again' },
  );
}

/** What has to be left of a lease for a job to begin: from then on whoever starts the services waits for it. */
const leastLeftMs = 15_000;

export async function isStandstill(host: Host, run: RunRef): Promise<boolean> {
  const { held, token, phase, rebooted, firesInMs = 0 } = await leaseState(host, run.instance);
  return held && token === run.token && phase === 'armed' && !rebooted && firesInMs > leastLeftMs;
}

/** Others start the services, or have: one whole state for them, if that can be had. */
export async function settleForOthers(host: Host, instance: string): Promise<void> {
  await stopBooted(host, instance);
  await settleOpenSwap(host, instance).catch((error: unknown) => {
    log.error('a swap that was cut off could not be settled yet', { instance, error: String(error) });
  });
}
