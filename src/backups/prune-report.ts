import type { BackupId } from './id.js';
import type { FailureReport } from './report.js';

/** What a client asks of the prune workflow: names alone, and the permit that it has left (src/records/permits.ts). */
export interface PruneRequest {
  instance: string;
  offsites: string[];
  permit: string;
}

/** What retention did to one off-site. */
export interface Pruned {
  /** Sealed backups that are gone now. */
  removed: BackupId[];
  /** What dead runs had left, and is gone now. */
  swept: BackupId[];
  /** How many sealed backups are there. */
  kept: number;
  /** The off-site lets nothing be removed: then nothing was. */
  appendOnly: boolean;
}

/** The result of a prune by hand: what `permafrost prune --json` prints. */
export interface PruneReport {
  instance: string;
  status: 'done' | 'partial' | 'failed';
  workflowId: string;
  runId: string;
  startedAt: string;
  finishedAt: string;
  offsites: (Pruned & { name: string; error?: FailureReport })[];
}
