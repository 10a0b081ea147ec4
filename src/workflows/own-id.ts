import { log, workflowInfo } from '@temporalio/workflow';
import { fail } from './failures.js';

/**
 * Runs have ids that say what they are and of which instance; one that says otherwise was not started by us.
 *
 * @param isOurs whether a run of this instance may have this id.
 * @throws ApplicationFailure `InvalidInput`.
 */
export function refuseForeignId(
  request: unknown,
  isOurs: (workflowId: string, instance: string) => boolean,
): void {
  const instance =
    typeof request === 'object' && request !== null && 'instance' in request ? request.instance : undefined;
  if (typeof instance === 'string' && isOurs(workflowInfo().workflowId, instance)) return;
  log.error('A run that has the id of another was refused.', { workflowId: workflowInfo().workflowId });
  throw fail(
    'InvalidInput',
    'a run has an id that says what it is and names its instance',
    'start runs with the permafrost command or by its schedules',
  );
}
