import type { Kind, Place } from './place.js';
import { rclonePlace } from './rclone.js';
import { resticPlace } from './restic.js';
import { rsyncPlace } from './rsync.js';

const opened: Record<Kind, (base: string) => Promise<Place>> = {
  restic: resticPlace,
  rclone: rclonePlace,
  rsync: rsyncPlace,
};

/** Makes an empty place below a folder. */
export function openPlace(kind: Kind, base: string): Promise<Place> {
  return opened[kind](base);
}
