import type { RestoreAllowance } from '../backups/restore-report.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';

/** What those who judge a restore before it touches anything have to say. */
export interface Verdict {
  /** A sentence each. */
  readonly warnings: string[];
  /** Commands to run by hand afterwards. */
  readonly next: string[];
  /**
   * @param allowance null for what nobody may allow.
   * @throws Failure `Refused` unless it is allowed; then it is a warning.
   */
  refuse(allowance: RestoreAllowance | null, message: string, next: string): void;
}

export function verdictOf(
  host: Host,
  allow: readonly RestoreAllowance[],
  known: readonly string[] = [],
): Verdict {
  const warnings = [...known];
  return {
    warnings,
    next: [],
    refuse(allowance, message, next) {
      if (allowance === null || !allow.includes(allowance)) {
        const way = allowance === null ? '' : `; if it is meant so: --allow ${allowance}`;
        throw new Failure('Refused', message, { host: host.name, next: `${next}${way}` });
      }
      warnings.push(`Allowed (${allowance}): ${message}.`);
    },
  };
}
