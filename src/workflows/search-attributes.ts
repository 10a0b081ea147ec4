import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';

/**
 * What a run can be found by, in Temporal's UI and in `status`. Search attributes are never encrypted: names and states
 * only. Keywords all, because SQL visibility stores have few slots for each type, and ten for this one.
 */
export const PermafrostInstance = defineSearchAttributeKey('PermafrostInstance', SearchAttributeType.KEYWORD);
export const PermafrostStatus = defineSearchAttributeKey('PermafrostStatus', SearchAttributeType.KEYWORD);
export const PermafrostBackup = defineSearchAttributeKey('PermafrostBackup', SearchAttributeType.KEYWORD);
export const PermafrostPhase = defineSearchAttributeKey('PermafrostPhase', SearchAttributeType.KEYWORD);

export const searchAttributes = [
  PermafrostInstance,
  PermafrostStatus,
  PermafrostBackup,
  PermafrostPhase,
] as const;
