import { z } from 'zod';
import {
  afterwards,
  restoreAllowances,
  type RestoreRequest,
  type UndoRequest,
} from '../backups/restore-report.js';
import { partNames } from '../backups/parts.js';
import { present } from '../present.js';
import { backupInput, domainInput, offsiteInput, partInput, runInput } from './inputs.js';
import { permitInput } from './permit.js';

/** What the activities of restores and undos take: names and choices, and the permit that says where to. */

export const restoreInput: z.ZodType<RestoreRequest> = z
  .strictObject({
    instance: domainInput,
    backup: backupInput,
    from: offsiteInput,
    parts: z.array(partInput).min(1).max(partNames.length),
    planOnly: z.boolean().optional(),
    allow: z.array(z.enum(restoreAllowances)).max(restoreAllowances.length).optional(),
    run: z.array(z.enum(afterwards)).max(afterwards.length).optional(),
    permit: permitInput,
  })
  .transform((request) => present(request));

export const undoInput: z.ZodType<UndoRequest> = z.strictObject({
  instance: domainInput,
  restore: backupInput,
  permit: permitInput,
});

/** One step of a restore. */
export const restoreStep = z.strictObject({ run: runInput, restore: restoreInput });
export type RestoreStep = z.infer<typeof restoreStep>;

/** One step of an undo. */
export const undoStep = z.strictObject({ run: runInput, undo: undoInput });
export type UndoStep = z.infer<typeof undoStep>;

/** Services of the instance's own host; with one of the others, of the host that a restore goes or went to. */
export const servicesStep = z.strictObject({
  run: runInput,
  restore: restoreInput.optional(),
  undo: undoInput.optional(),
});
export type ServicesStep = z.infer<typeof servicesStep>;
