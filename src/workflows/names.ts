/** The names under which Permafrost is known to Temporal: task queue, workflow types, workflow ids. Pure. */

/** Every workflow and activity of Permafrost runs from this queue. */
export const TASK_QUEUE = 'permafrost';

/** Workflow types. A name written here stays: open runs and schedules refer to it. */
export const WORKFLOWS = {
  backup: 'backup',
  copy: 'copy',
  drill: 'drill',
  expire: 'expire',
  guard: 'guard',
  prune: 'prune',
  reconcile: 'reconcile',
  restore: 'restore',
  startServices: 'startServices',
  undo: 'undo',
  verify: 'verify',
} as const;

/** Id of the schedule and of the workflow that look after services nobody holds. */
export const RECONCILE_ID = 'reconcile';

/**
 * Id of a backup run: `backup/<domain>-<backupId>` when started by hand, `backup/<domain>` in a schedule, to which
 * Temporal appends the time.
 */
export function backupWorkflowId(domain: string, backupId?: string): string {
  return backupId === undefined ? `backup/${domain}` : `backup/${domain}-${backupId}`;
}

/** Id of a copy from one off-site to another: one at a time for each instance. */
export function copyWorkflowId(domain: string): string {
  return `copy/${domain}`;
}

/** Id of a prune by hand: one at a time for each instance. */
export function pruneWorkflowId(domain: string): string {
  return `prune/${domain}`;
}

/** Id of a verify by hand: one at a time for each instance. */
export function verifyWorkflowId(domain: string): string {
  return `verify/${domain}`;
}

/** Id of a drill: `drill/<domain>` by hand; in a schedule, Temporal appends the time. */
export function drillWorkflowId(domain: string): string {
  return `drill/${domain}`;
}

/** Id of a restore: one at a time for each instance, wherever it goes to. */
export function restoreWorkflowId(domain: string): string {
  return `restore/${domain}`;
}

/** Id of an undo: one at a time for each instance. */
export function undoWorkflowId(domain: string): string {
  return `undo/${domain}`;
}

/** Id of the schedule that starts an instance's drills. */
export function drillScheduleId(domain: string): string {
  return `drill/${domain}`;
}

/** Id of the schedule and of the workflow that remove what has had its time: undos after seven days, left scratch. */
export const EXPIRE_ID = 'expire';

/** Id of the schedule that starts an instance's backups. */
export function backupScheduleId(domain: string): string {
  return `backup/${domain}`;
}

/** Id of an instance's guard. It is the instance's lock: one guard of this id can be open. */
export function guardWorkflowId(domain: string): string {
  return `guard/${domain}`;
}
