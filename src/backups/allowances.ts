/**
 * What an operator may allow although preflight refuses it: for one run with `backup --allow NAME,…`, for good with
 * `allow: [NAME]` under the instance. An allowed refusal becomes a warning of the run. Pure.
 */
export const allowanceNames = [
  'foreign-database',
  'no-accounts',
  'empty-media',
  'unmounted-media',
  'smaller-database',
  'unproven-secrets',
  'other-domain',
  'self-destruct',
] as const;

export type Allowance = (typeof allowanceNames)[number];
