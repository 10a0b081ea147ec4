import type { BackupId } from './id.js';
import type { PartName } from './parts.js';
import type { FailureReport } from './report.js';

/**
 * How much of a backup is read back. Always: its manifest, the small parts whole, and the list of its media with their
 * sizes. Of the media's bytes: `new`, those that came since the backup before it; `sample`, these and another share of
 * the rest every day; `all`, all of them. A database that is a delta is put together with its full dump for `all`.
 */
export const verifyDepths = ['new', 'sample', 'all'] as const;
export type VerifyDepth = (typeof verifyDepths)[number];

/** What a client asks of the verify workflow: names and choices alone. */
export interface VerifyRequest {
  instance: string;
  /** An id, a unique prefix of one, or `latest`: the newest sealed one. */
  backup: string;
  /** The off-site to read it from; absent: each that has it. */
  from?: string;
  depth: VerifyDepth;
}

/** Something of a backup that is not what it should be. */
export interface Finding {
  readonly part: PartName | 'manifest';
  /** A file of the part; of the media, below their folder. */
  readonly path?: string;
  /** In words that go on where the path ends: `came back changed`, `is missing`. */
  readonly problem: string;
}

/** What came of reading one copy back. */
export interface VerifiedCopy {
  backup: BackupId;
  /** The off-site. */
  from: string;
  passed: boolean;
  /** What was read back. */
  checked: { files: number; bytes: number };
  /** The first ones, the manifest's and the small parts' before the media's. */
  findings: Finding[];
  /** Findings that are not named. */
  moreFindings: number;
  /** Whether one of our keys has signed its manifest; `not judged` where none is known, or the manifest cannot be read. */
  signature: 'valid' | 'unsigned' | 'unknown key' | 'broken' | 'not judged';
  /** Why it could not be read; then nothing is known of it. */
  error?: FailureReport;
}

/** The result of a verify. */
export interface VerifyReport {
  instance: string;
  backup: BackupId;
  depth: VerifyDepth;
  /** `failed`: nothing was found, but not every copy could be read. */
  status: 'passed' | 'findings' | 'failed';
  workflowId: string;
  runId: string;
  startedAt: string;
  finishedAt: string;
  copies: VerifiedCopy[];
  /** Off-sites of the instance that do not have it, when not one was asked for alone. */
  notOn?: string[];
}
