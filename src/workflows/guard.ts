import {
  CancellationScope,
  condition,
  defineSignal,
  proxyActivities,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import { fail } from './failures.js';
import { insist } from './insist.js';
import { guardWorkflowId } from './names.js';
import * as policies from './policies.js';

const watching = proxyActivities<Activities>(policies.watch);
const looking = proxyActivities<Activities>(policies.look);
const restarting = proxyActivities<Activities>(policies.restart);

export interface GuardInput {
  instance: string;
  /** Of the run that is guarded. */
  token: string;
  workflowId: string;
}

export const release = defineSignal('release');

/**
 * An instance's lock and conscience: while it is open, no other run begins; and if the run it guards ends without
 * having let go (terminated, timed out, reset), it brings the services back itself, then ends.
 *
 * Cancelling it does nothing: it waits inside a scope that cannot be cancelled. A release that the host does not
 * confirm (its lease is still armed) is no release.
 */
export async function guard(input: GuardInput): Promise<void> {
  if (!isGuardInput(input) || workflowInfo().workflowId !== guardWorkflowId(input.instance)) {
    throw fail('InvalidInput', 'a guard has the id of its instance', 'guards are started by runs alone');
  }
  let released = false;
  setHandler(release, () => {
    released = true;
  });
  await CancellationScope.nonCancellable(async () => {
    const watch = new CancellationScope({ cancellable: true });
    let ended = false;
    const run = watch
      .run(() => watching.watchRun({ workflowId: input.workflowId }))
      .then(() => {
        ended = true;
      })
      .catch(() => undefined);
    for (;;) {
      const inTime = await condition(() => released || ended, policies.guardPatience);
      if (!released) {
        await insist(() => restarting.bringServicesBack({ instance: input.instance }));
        if (inTime) break;
        continue; // the run is still at work and keeps the lock; its services are no longer held
      }
      released = false;
      const lease = await looking
        .leaseReleased({ instance: input.instance, token: input.token })
        .catch(() => ({ released: false }));
      if (lease.released) break;
      await sleep('1 second');
    }
    watch.cancel();
    await run;
  });
}

/** Whoever reaches Temporal may start a guard with anything: what is not of this form comes from no run. */
function isGuardInput(input: unknown): input is GuardInput {
  return (
    typeof input === 'object' &&
    input !== null &&
    ['instance', 'token', 'workflowId'].every((key) => typeof Reflect.get(input, key) === 'string')
  );
}
