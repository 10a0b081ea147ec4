import { z } from 'zod';
import { allowanceNames } from '../backups/allowances.js';
import { backupIdPattern } from '../backups/id.js';
import { partNames, quiesceModes } from '../backups/parts.js';

/**
 * What activities take: names and choices that the configuration resolves, never a path, a host or a command.
 * Temporal's port is no trust boundary: whoever reaches it can start any activity with any input, so each parses its own.
 */

export const domainInput = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'not a domain');
export const backupInput = z.string().regex(backupIdPattern, 'not a backup id');
/** A backup as it is typed: its id, a prefix of it, or `latest`. */
export const backupWordInput = z.string().regex(/^(?:latest|\d{1,8}|\d{8}T\d{0,6}Z?)$/, 'not a backup');
export const offsiteInput = z.string().regex(/^[a-z0-9-]{1,40}$/, 'not the name of an off-site');
export const tokenInput = z.string().regex(/^[0-9a-f-]{36}$/, 'not a token');
export const partInput = z.enum(partNames);
export const allowInput = z.array(z.enum(allowanceNames)).max(allowanceNames.length);
export const workflowIdInput = z.string().min(1).max(300);

export const instanceInput = z.strictObject({ instance: domainInput });

/** One run of one instance. */
export const runInput = z.strictObject({ instance: domainInput, backup: backupInput, token: tokenInput });
export type RunRef = z.infer<typeof runInput>;

export const requestInput = z.strictObject({
  instance: domainInput,
  quiesce: z.enum(quiesceModes).optional(),
  only: z.array(partInput).min(1).max(partNames.length).optional(),
  offsites: z.array(offsiteInput).min(1).max(20).optional(),
  allow: allowInput.optional(),
  dryRun: z.boolean().optional(),
});
