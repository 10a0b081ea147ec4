import type { SwapStep } from './journal.js';

/** Steps of a swap, with what they are in words, a line each. */
export interface Steps {
  readonly steps: readonly SwapStep[];
  readonly lines: readonly string[];
  readonly warnings: readonly string[];
}

export const noSteps: Steps = { steps: [], lines: [], warnings: [] };
