import { z } from 'zod';
import type { BackupId } from '../backups/id.js';
import type { Pruned, PruneRequest } from '../backups/prune-report.js';
import type { Configuration, InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { FollowJob, Offsite, StoredBackups } from '../offsite/offsite.js';
import { planPrune, type PruneFacts, spareAfterAll } from '../offsite/prune-plan.js';
import { offsiteOf, withOffsite } from '../offsite/read.js';
import { endedRuns } from '../records/read-runs.js';
import { beingRead } from '../records/readers.js';
import { noteRemovals, takeRemovalsBack } from '../records/removals.js';
import { pruneWorkflowId } from '../workflows/names.js';
import { activity, report } from './activity.js';
import { type Ground, refuse } from './ground.js';
import { domainInput, offsiteInput, runInput, type RunRef } from './inputs.js';
import { forgetJobs, jobsOf } from './jobs.js';
import { follower, openForRun } from './offsites.js';
import { admitByPermit, permitInput } from './permit.js';

const pruneInput: z.ZodType<PruneRequest> = z.strictObject({
  instance: domainInput,
  offsites: z.array(offsiteInput).min(1).max(20),
  permit: permitInput,
});

/** Retention: on every night where its backup is sealed, and by hand. */
export function pruneActivities(ground: Ground) {
  return {
    /** Applies retention to one off-site, after the new backup is sealed there. The newest backup always stays. */
    pruneOffsite: activity(
      z.strictObject({ run: runInput, offsite: offsiteInput }),
      async ({ run, offsite }) => {
        const { configuration, config, host } = await ground.inspect(run.instance, run.backup);
        const place = await openForRun(ground, run, offsite, false);
        const { removed, kept, appendOnly } = await applyRetention(place, {
          ...{ configuration, config, run },
          follow: follower(host, run, `${offsite}-prune`),
          sealed: run.backup,
        });
        return { removed: removed.length, kept, appendOnly };
      },
    ),

    /**
     * Redeems the permit of a prune by hand.
     *
     * @throws Failure `Refused` without one, and `ConfigInvalid` for names that the configuration does not have.
     */
    admitPrune: activity(pruneInput, async (request) => {
      const { config } = await admitted(ground, request);
      return { offsites: config.offsites.filter((name) => request.offsites.includes(name)) };
    }),

    /** Applies retention to one off-site by hand, from the machine that reads it. Asks for the permit again. */
    pruneByHand: activity(
      z.strictObject({ run: runInput, offsite: offsiteInput, request: pruneInput }),
      async ({ run, offsite, request }): Promise<Pruned> => {
        const { configuration, config } = await admitted(ground, request);
        if (run.instance !== request.instance || !request.offsites.includes(offsite))
          throw refuse('the permit was given for something else', 'run permafrost prune again');
        report({ subject: offsite });
        return withOffsite(
          configuration,
          config,
          offsiteOf(configuration, offsite),
          async (place, { host }) => {
            const follow = follower(host, run, `${offsite}-prune`);
            const pruned = await applyRetention(place, { configuration, config, run, follow });
            await forgetJobs(host, (id) => id.startsWith(jobsOf(run)) && id.includes(offsite));
            return pruned;
          },
        );
      },
    ),
  };
}

/** Who asks is whoever runs Permafrost, and for no more than was permitted. */
async function admitted(
  ground: Ground,
  { instance, offsites, permit }: PruneRequest,
): Promise<{ configuration: Configuration; config: InstanceConfig }> {
  const { configuration, config } = await ground.open(instance);
  for (const name of offsites) {
    if (!config.offsites.includes(name))
      throw refuse(`'${name}' is not an off-site of ${instance}`, `it has: ${config.offsites.join(', ')}`);
  }
  const workflowId = pruneWorkflowId(instance);
  await admitByPermit(ground, { what: 'prune', instance, choices: offsites, permit, workflowId });
  return { configuration, config };
}

/**
 * Removes what retention lets go. Nothing when the list could not be read completely (`list` throws then).
 *
 * @param sealed a backup that must be there, sealed, before anything is removed.
 */
export async function applyRetention(
  place: Offsite,
  {
    configuration: { state },
    config,
    run,
    follow,
    sealed,
  }: {
    readonly configuration: Configuration;
    readonly config: InstanceConfig;
    readonly run: Pick<RunRef, 'instance' | 'backup'>;
    readonly follow: FollowJob;
    readonly sealed?: BackupId;
  },
): Promise<Pruned> {
  const stored = await place.list();
  if (sealed !== undefined && !stored.sealed.some(({ backup }) => backup === sealed)) {
    throw new Failure('Refused', `${sealed} is not sealed on ${place.name}: nothing is removed there`, {
      next: 'retention is applied after the next sealed backup',
    });
  }
  const ended = await endedRuns(state, run.instance);
  // Looked at last: what somebody begins to read now is seen.
  const reading = await beingRead(state, place.name);
  const facts: PruneFacts = { now: new Date(), reading, ended, run: run.backup };
  const plan = planPrune(stored, config, facts);
  const removed = plan.decisions.filter(({ keep }) => !keep).map(({ backup }) => backup);
  const swept = plan.leftovers.filter(({ keep }) => !keep).map(({ backup }) => backup);
  const where = { instance: run.instance, offsite: place.name };
  await noteRemovals(state, where, removed);
  const stillGoing = async (listed: StoredBackups) => {
    const reading = await beingRead(state, place.name);
    const spared = spareAfterAll(plan, listed, config, { ...facts, reading });
    if (spared.length === 0) return;
    const why = spared.map(({ backup, reasons }) => `${backup} (${reasons.join(', ')})`).join(', ');
    throw new Failure('Refused', `by now ${why} is to stay on ${place.name}: nothing was removed there`, {
      next: 'retention is applied after the next backup; or: permafrost prune',
    });
  };
  const did = await place.remove(plan.removals, follow, stillGoing).catch(async (error: unknown) => {
    // Refused is refused before anything was touched.
    if (error instanceof Failure && error.type === 'Refused')
      await takeRemovalsBack(state, where, stillIn(removed, await place.list()));
    throw error;
  });
  if (did === 'append-only') {
    const left = stillIn(removed, await place.list());
    await takeRemovalsBack(state, where, left);
    const gone = removed.filter((backup) => !left.includes(backup));
    return { removed: gone, swept: [], kept: stored.sealed.length - gone.length, appendOnly: true };
  }
  return { removed, swept, kept: stored.sealed.length - removed.length, appendOnly: false };
}

function stillIn(backups: readonly BackupId[], { sealed }: StoredBackups): BackupId[] {
  return backups.filter((one) => sealed.some(({ backup }) => backup === one));
}
