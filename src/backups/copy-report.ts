import type { BackupId } from './id.js';

/** What a client asks of the copy workflow: names alone. */
export interface CopyRequest {
  instance: string;
  /** An id, a unique prefix of one, or `latest`: the newest that is sealed on `from`. */
  backup: string;
  /** The off-site that has it, and the one that is to get it. */
  from: string;
  to: string;
}

/** What has to be copied. */
export interface CopyPlan {
  backup: BackupId;
  /** In this order: the backup with the full dump that a delta needs goes first. None: it is there already. */
  copies: BackupId[];
}

/** A backup that is sealed on its new off-site now. */
export interface CopiedBackup {
  backup: BackupId;
  /** Bytes that it added there. */
  bytesAdded: number;
  /** What was read back there before it was sealed. */
  checked: { files: number; bytes: number };
}

/** The result of a copy: what `permafrost copy --json` prints. */
export interface CopyReport {
  instance: string;
  backup: BackupId;
  from: string;
  to: string;
  status: 'copied' | 'there already';
  workflowId: string;
  runId: string;
  startedAt: string;
  finishedAt: string;
  /** In the order in which they were copied: with a delta, also the backup that has its full dump. */
  copied: CopiedBackup[];
}
