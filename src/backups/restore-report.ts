import type { Check } from './check.js';
import type { BackupId } from './id.js';
import type { PartName } from './parts.js';
import type { FailureReport, Phase, ServicesState } from './report.js';

/** Refusals of a restore's plan that an operator may allow: `restore --allow NAME,…`. */
export const restoreAllowances = [
  'another-instance',
  'newer-schema',
  'older-postgresql',
  'self-destruct',
  'missing-extensions',
  'unproven-secrets',
  'unsigned',
] as const;
export type RestoreAllowance = (typeof restoreAllowances)[number];

/** Commands of Mastodon's that have to be run after a restore; what each is for stands in `restore/afterwards.ts`. */
export const afterwards = ['cache', 'feeds', 'media', 'search'] as const;
export type Afterwards = (typeof afterwards)[number];

/**
 * What a client asks of the restore workflow: names and choices alone, and the permit, which says where to: the
 * instance's own host, or another one (`records/permits.ts`).
 */
export interface RestoreRequest {
  instance: string;
  backup: BackupId;
  /** The off-site. */
  from: string;
  /** In the official order. */
  parts: PartName[];
  /** The plan alone: the report has the status `planned`. */
  planOnly?: boolean;
  allow?: RestoreAllowance[];
  /** To be run at the end; the others are listed. */
  run?: Afterwards[];
  permit: string;
}

/** What a permit for a restore is for; client and worker write it alike. */
export function restoreChoices(request: Omit<RestoreRequest, 'permit'>): string[] {
  const { backup, from, parts, planOnly = false, allow = [], run = [] } = request;
  return [
    backup,
    from,
    ...[parts, allow, run].map((names) => names.join(',')),
    planOnly ? 'plan' : 'restore',
  ];
}

/** What a restore will do, found out without touching anything. */
export interface RestorePlan {
  /** The host, as messages call it. */
  to: string;
  /** There is an instance of this domain, and the restore replaces it; else the host is empty. */
  inPlace: boolean;
  parts: { name: PartName; bytes: number; files: number; what: string }[];
  /** Services that run now: stopped for the swap and started again. */
  services: string[];
  /** Refusals that were allowed, and what else an operator should know. */
  warnings: string[];
  /** What is lost between the backup and now. */
  lost: { newestStatusAt: string | null; ageMs: number | null; detail: string };
  /** By the last drill; absent without one. */
  expectedMs?: number;
  leaseMs: number;
  budgetMs: number;
  needBytes: number;
  freeBytes: number;
  /** Secrets that change, by name, never by value; '' as the name of a whole file that is not an env file is not used. */
  changedSecrets: string[];
  changedFiles: string[];
  /** Why Redis is not restored, when it is in the backup and was not asked for. */
  redis?: string;
}

/** A phase of a restore or an undo, in order. */
export const restorePhases = ['plan', 'fetch', 'load', 'prove', 'swap', 'afterwards'] as const;
export type RestorePhase = (typeof restorePhases)[number];

/** Which of the two whole states an instance has after a swap: what was there before it, or what it has brought. */
export type InPlace = 'before' | 'after';

export type RestoreStatus = 'planned' | 'restored' | 'failed' | 'cancelled';

/** The result of a restore: what `permafrost restore --json` prints. */
export interface RestoreReport {
  /** Of this restore: the UTC time of its start, written as a backup's id is. */
  restore: string;
  instance: string;
  backup: BackupId;
  from: string;
  to: string;
  parts: PartName[];
  status: RestoreStatus;
  workflowId: string;
  runId: string;
  startedAt: string;
  finishedAt: string;
  /** From the beginning of the stop until the services were proven healthy; 0 when nothing was stopped. */
  downtimeMs: number;
  services: ServicesState;
  plan?: RestorePlan;
  /** What was proven of the database before the swap. */
  checks: Check[];
  notProven: string[];
  media?: { added: number; present: number; bytes: number };
  changedSecrets: string[];
  /** ISO time; null when nothing was replaced that could be taken back. */
  undoUntil: string | null;
  /** What was run at the end. */
  ran: { name: Afterwards; ok: boolean; detail: string }[];
  /** Commands to run by hand. */
  next: string[];
  phases: Phase[];
  warnings: string[];
  error?: FailureReport;
}

/** What a client asks of the undo workflow. */
export interface UndoRequest {
  instance: string;
  /** Id of the restore. */
  restore: string;
  permit: string;
}

export interface UndoReport {
  restore: string;
  instance: string;
  to: string;
  status: 'undone' | 'failed' | 'cancelled';
  workflowId: string;
  runId: string;
  startedAt: string;
  finishedAt: string;
  downtimeMs: number;
  services: ServicesState;
  /** What was taken back, a line each. */
  undone: string[];
  next: string[];
  warnings: string[];
  error?: FailureReport;
}
