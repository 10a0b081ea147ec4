import type { Profile } from '../figures/profile.js';

/** What one night of one way of backing up came to. */
export interface Night {
  /** From the command until it has ended. */
  readonly wallMs: number;
  /** For which the services were down, as seen from outside, their own stop and start included. */
  readonly outageMs: number;
  /** Bytes by which the place of the backups has grown. */
  readonly bytesAdded: number;
  /** Of Permafrost. */
  readonly permafrost?: PermafrostNight;
}

export interface PermafrostNight {
  /** What its own report says. */
  readonly reportedDowntimeMs: number;
  readonly reportedBytes: number;
  /** What the process of `up`, with the worker in it, holds in memory before the night. Bytes. */
  readonly workerRestBytes: number;
  /** The most that it has held so far; and the Temporal server's. Bytes. */
  readonly workerPeakBytes: number;
  readonly serverPeakBytes: number;
  readonly historyEvents: number;
  readonly profile: Profile;
}

/** A way of backing up, in one round: night after night into the same place. */
export interface Way {
  night(): Promise<Night>;
  /** Ends what it started and removes what it stored. */
  clear(): Promise<void>;
}

/** Ways that can be compared; `recipe` is what the others are compared with. */
export const wayNames = ['recipe', 'permafrost', 'restic', 'borgmatic'] as const;
export type WayName = (typeof wayNames)[number];

export const wayTitles: Record<WayName, string> = {
  recipe: 'classic recipe',
  permafrost: 'Permafrost',
  restic: 'restic script',
  borgmatic: 'borgmatic',
};
