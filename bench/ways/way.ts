import type { Profile } from '../figures/profile.js';
import type { Kind } from '../places/place.js';

/** What one night of one way of backing up came to. */
export interface Night {
  /** From the command until it has ended. */
  readonly wallMs: number;
  /** For which the services were down, as seen from outside, their own stop and start included; of ways that stop them. */
  readonly outageMs?: number;
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
  /** From the beginning of the first upload until the last off-site was sealed: sent, and read back. */
  readonly deliveryMs: number;
  /** In which the media were looked at or sent, each moment counted once. */
  readonly mediaMs: number;
  readonly profile: Profile;
}

/** A way of backing up, in one round: night after night into the same place. */
export interface Way {
  night(): Promise<Night>;
  /** Ends what it started and removes what it stored. */
  clear(): Promise<void>;
}

/** Ways that can be compared; `recipe` is what the others are compared with. */
export const wayNames = [
  'recipe',
  'permafrost',
  'permafrost-rclone',
  'permafrost-rsync',
  'permafrost-two',
  'restic',
  'borgmatic',
  'bare-restic',
  'bare-rclone',
  'bare-rsync',
] as const;
export type WayName = (typeof wayNames)[number];

export const wayTitles: Record<WayName, string> = {
  recipe: 'classic recipe',
  permafrost: 'Permafrost',
  'permafrost-rclone': 'Permafrost, rclone',
  'permafrost-rsync': 'Permafrost, rsync',
  'permafrost-two': 'Permafrost, restic and rclone',
  restic: 'restic script',
  borgmatic: 'borgmatic',
  'bare-restic': 'bare restic backup',
  'bare-rclone': 'bare rclone copy',
  'bare-rsync': 'bare rsync -a',
};

/** Permafrost with one off-site of a kind, and the tool of that kind alone. */
export const alone: Record<Kind, { permafrost: WayName; bare: WayName }> = {
  restic: { permafrost: 'permafrost', bare: 'bare-restic' },
  rclone: { permafrost: 'permafrost-rclone', bare: 'bare-rclone' },
  rsync: { permafrost: 'permafrost-rsync', bare: 'bare-rsync' },
};
