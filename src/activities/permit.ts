import { activityInfo, log } from '@temporalio/activity';
import { z } from 'zod';
import { Failure } from '../errors.js';
import { type Permit, permitNamePattern, redeemPermit } from '../records/permits.js';
import { noteRefusal } from '../records/refusals.js';
import type { Ground } from './ground.js';
import { refuse } from './ground.js';

/** The name of a permit; `none` where the cluster itself knows its clients. */
export const permitInput = z.union([z.string().regex(permitNamePattern), z.literal('none')], {
  error: 'not a permit',
});

/**
 * Admits a step of a run that destroys or replaces: with the permit that this run has redeemed, or redeems now.
 *
 * @param wanted.workflowId the only run that may do so.
 * @returns the permit's target; undefined without one.
 * @throws Failure `Refused`; the operator is told of it (`status`, the worker's log).
 */
export async function admitByPermit(
  ground: Ground,
  wanted: Omit<Permit, 'target'> & { permit: string; workflowId: string },
): Promise<unknown> {
  const { what, instance, choices, permit, workflowId } = wanted;
  const { state, temporal } = await ground.configuration();
  const { workflowExecution } = activityInfo();
  if (workflowExecution?.workflowId !== workflowId) {
    const why = `only a run of ${what} does this`;
    const { workflowId: foreign = '', runId = '' } = workflowExecution ?? {};
    await tellOperator(ground, { what, instance, workflowId: foreign }, runId, why);
    throw refuse(why, `permafrost ${what}`);
  }
  const open = temporal.kind !== 'embedded' && temporal.authenticatesClients === true;
  if (open && permit === 'none') return undefined;
  try {
    return await redeemPermit(state, permit, { what, instance, choices }, workflowExecution.runId);
  } catch (error) {
    if (error instanceof Failure && error.type === 'Refused')
      await tellOperator(ground, wanted, workflowExecution.runId, error.message);
    throw error;
  }
}

async function tellOperator(
  ground: Ground,
  { what, instance, workflowId }: { what: string; instance: string; workflowId: string },
  runId: string,
  why: string,
): Promise<void> {
  const startedBy = await starterOf(ground, workflowId, runId);
  const { state } = await ground.configuration();
  log.error('A run that wanted to destroy or replace something had no permit for it, and was refused.', {
    ...{ what, instance, workflowId, runId, startedBy, why },
  });
  const at = new Date().toISOString();
  await noteRefusal(state, instance, { at, what, workflowId, runId, startedBy, why }).catch(
    (error: unknown) => {
      log.warn('the refusal was not noted', { error: String(error) });
    },
  );
}

/** What the client that started a run calls itself. */
async function starterOf({ client }: Ground, workflowId: string, runId: string): Promise<string> {
  try {
    const { history } = await client.workflowService.getWorkflowExecutionHistory({
      namespace: client.options.namespace,
      execution: { workflowId, runId },
      maximumPageSize: 1,
    });
    const said = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.identity ?? '';
    return said.replace(/[^ -~]/g, '?').slice(0, 200) || 'unknown';
  } catch {
    return 'unknown';
  }
}
