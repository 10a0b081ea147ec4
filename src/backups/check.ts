/** Something that was proven of a restored backup, or found to be otherwise. */
export interface Check {
  /** What is proven, in a few words with dashes: `row-counts`. Stable: scripts look for it. */
  readonly name: string;
  readonly passed: boolean;
  /** What was seen, in a sentence or two; a finding says what is wrong and where. Never a secret. */
  readonly detail: string;
  readonly durationMs: number;
}

/** What came of a number of checks. */
export interface Proof {
  readonly checks: readonly Check[];
  /** What could not be looked at, and why, a sentence each: no finding, but nothing that was proven either. */
  readonly notProven: readonly string[];
}

export const drillDepths = ['files', 'database', 'application'] as const;
/** How much of a backup is proven; each holds those before it. */
export type DrillDepth = (typeof drillDepths)[number];
