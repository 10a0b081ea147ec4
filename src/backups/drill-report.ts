import type { Check, DrillDepth } from './check.js';
import type { BackupId } from './id.js';
import type { FailureReport } from './report.js';

/** What a client, or a schedule, asks of the drill workflow: names and choices alone. */
export interface DrillRequest {
  instance: string;
  /** An id, a unique prefix of one, or `latest` (the default): the newest sealed one. */
  backup?: string;
  /** The off-site to restore from. Default: with `drill.rotateOffsites`, the one that was not drilled for longest. */
  from?: string;
  /** Default: `drill.depth` of the configuration. */
  depth?: DrillDepth;
}

/** A phase of a drill, in order; `database` and `application` are the proofs. */
export const drillPhases = ['plan', 'fetch', 'files', 'load', 'database', 'application', 'tidy'] as const;
export type DrillPhase = (typeof drillPhases)[number];

/** How long the stretches of a recovery took, milliseconds, and what passed in them. */
export interface RecoveryTimes {
  /** Database, secrets, Redis and the media's index, from the off-site to the disk. */
  fetchMs: number;
  fetchedBytes: number;
  /** Media that were read back: a sample with most depths. */
  mediaMs: number;
  mediaBytes: number;
  mediaFiles: number;
  /** pg_restore and ANALYZE. */
  loadMs: number;
  /** Until the web process answered; only at depth `application`. */
  bootMs?: number;
}

/** What a full restore of this backup would take by these figures, milliseconds. */
export interface Forecast {
  totalMs: number;
  /** `database 4 min, media 3 h 20 min` */
  detail: string;
}

/** The result of a drill. */
export interface DrillReport {
  /** Of this drill: the UTC time of its start, written as a backup's id is. */
  drill: string;
  instance: string;
  backup: BackupId;
  /** The off-site. */
  from: string;
  /** The drill host, as messages call it. */
  host: string;
  depth: DrillDepth;
  /** `findings`: the backup would not restore as it is; `failed`: it could not be looked at. */
  status: 'passed' | 'findings' | 'failed' | 'cancelled';
  passed: boolean;
  checks: Check[];
  /** What was not proven, and why. */
  notProven: string[];
  /** What was restored could not be removed: its lease does that within the hour. */
  scratchLeft?: boolean;
  warnings: string[];
  times: RecoveryTimes;
  /** Until the instance would have been back, without the proofs: fetch, load and boot. Milliseconds. */
  recoveryTimeMs: number;
  forecast?: Forecast;
  durationMs: number;
  workflowId: string;
  runId: string;
  startedAt: string;
  finishedAt: string;
  error?: FailureReport;
}
