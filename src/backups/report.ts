import type { Allowance } from './allowances.js';
import type { DrillPhase } from './drill-report.js';
import type { BackupId } from './id.js';
import type { PartName, QuiesceMode } from './parts.js';
import type { RestorePhase } from './restore-report.js';

/** What a client asks of the backup workflow: names and choices alone; the configuration resolves them. */
export interface BackupRequest {
  instance: string;
  quiesce?: QuiesceMode;
  only?: PartName[];
  offsites?: string[];
  /** Refusals of preflight that become warnings, besides those that the configuration allows. */
  allow?: Allowance[];
  /** Preflight alone: the report then has the status `planned`. */
  dryRun?: boolean;
}

/** What preflight found and the run will do. */
export interface BackupPlan {
  instance: string;
  /** Where the instance lives, as messages call it. */
  host: string;
  quiesce: QuiesceMode;
  parts: PlannedPart[];
  /** With the reason why one cannot be filled now; the run goes on with the others. */
  offsites: { name: string; kind: string; problem?: FailureReport }[];
  /** The services that run now: exactly these are stopped and started again. */
  services: string[];
  leaseMs: number;
  budgetMs: number;
  /** Free bytes in the folder where the small parts wait, and the bytes that they are expected to need. */
  spoolFreeBytes: number;
  spoolNeedBytes: number;
  /** Where the media lay when preflight looked; absent without them. */
  mediaPlace?: MediaPlace;
  /** What this run or the configuration allows, whether or not it was needed. */
  allow?: Allowance[];
  warnings: string[];
}

/** Where the media lie, so that the next run notices when that is not mounted. */
export interface MediaPlace {
  /** The media folder, without symbolic links. */
  path: string;
  /** The mount point that the folder is on: `/` when it is on no mount of its own. */
  mountPoint: string;
  /** As the kernel names it: `ext4`, `nfs4`, `fuse.sshfs`. */
  fstype: string;
}

/** What the newest runs that sealed something tell about the source: each value of the newest run that has it. */
export interface LastSealed {
  /** Of the newest of these runs. */
  backup: BackupId;
  /** ISO time of the end of that run. */
  finishedAt: string;
  /** The live database's bytes on its server's disk. */
  databaseBytes?: number;
  mediaPlace?: MediaPlace;
  /** Size of each part as it was captured. */
  parts: Partial<Record<PartName, { bytes: number; files: number }>>;
}

export interface PlannedPart {
  name: PartName;
  /** Bytes at the source, where they are known beforehand. */
  sourceBytes?: number;
}

/** A phase of a run, in the order of the design's flow. */
export const phaseNames = ['preflight', 'quiesce', 'capture', 'upload', 'verify', 'seal', 'prune'] as const;
export type PhaseName = (typeof phaseNames)[number];

/** A phase of any run that can be followed. */
export type AnyPhase = PhaseName | DrillPhase | RestorePhase;

export interface Phase {
  name: AnyPhase;
  state: 'waiting' | 'running' | 'done' | 'failed' | 'skipped';
  /** ISO times. */
  startedAt?: string;
  finishedAt?: string;
  detail?: string;
}

/** The answer to a workflow's `progress` query, and what its current details in Temporal's UI are made of. */
export interface BackupProgress {
  backup: BackupId;
  instance: string;
  /** `done` and `findings` of runs that are no backups. */
  status: BackupStatus | 'running' | 'done' | 'findings';
  quiesce: QuiesceMode;
  phases: Phase[];
  services: ServicesState;
  offsites: {
    name: string;
    state: 'waiting' | 'reading' | 'uploading' | 'verifying' | 'verified' | 'sealing' | 'sealed' | 'failed';
    error?: string;
  }[];
  warnings: string[];
}

/** How the run left Mastodon's services, as far as it knows. */
export type ServicesState = 'untouched' | 'stopping' | 'stopped' | 'starting' | 'up';

/** What a long activity tells in its heartbeats; the command shows it while it runs. */
export interface StepProgress {
  step: string;
  /** Where the step works: a part's or an off-site's name. */
  subject?: string;
  bytes?: number;
  totalBytes?: number;
  files?: number;
  totalFiles?: number;
}

export type BackupStatus = 'planned' | 'sealed' | 'partial' | 'failed' | 'cancelled';

/** The result of a run: what `permafrost backup --json` prints. */
export interface BackupReport {
  backup: BackupId;
  instance: string;
  status: BackupStatus;
  workflowId: string;
  runId: string;
  startedAt: string;
  finishedAt: string;
  quiesce: QuiesceMode;
  /** From the beginning of the stop until the services were proven healthy; 0 when nothing was stopped. */
  downtimeMs: number;
  /** How the run left the services. */
  services: ServicesState;
  parts: PartReport[];
  offsites: OffsiteReport[];
  phases: Phase[];
  warnings: string[];
  plan?: BackupPlan;
  error?: FailureReport;
}

export interface PartReport {
  name: PartName;
  bytes: number;
  files: number;
  /** Of a part that is a single file. */
  sha256?: string;
}

export interface OffsiteReport {
  name: string;
  sealed: boolean;
  verified: boolean;
  /** Bytes that the backup added to the off-site. */
  bytesAdded: number;
  checked?: { files: number; bytes: number };
  error?: FailureReport;
}

/** A failure as scripts see it: `{ error: … }` on stdout with `--json`. */
export interface FailureReport {
  code: number;
  type: string;
  message: string;
  next: string;
}
