import { createHash } from 'node:crypto';

/**
 * Which of the media files that are not new a night reads back from its off-sites: another share every night, so that
 * after `nightsToReadAll(fraction)` nights in a row every file has been read.
 *
 * A file belongs to one night of the cycle by the hash of its path alone: no list is kept, files that come and go move
 * no other file, and a run that is repeated reads the same files again.
 */

/** Nights in a row after which every file has been read. `Infinity` for 0. @throws RangeError outside of 0 to 1. */
export function nightsToReadAll(fraction: number): number {
  if (!(fraction >= 0 && fraction <= 1)) throw new RangeError(`a share is from 0 to 1, not ${fraction}`);
  // 1 / 0.05 and the like may come out a little above the whole number.
  return fraction === 0 ? Infinity : Math.ceil(1 / fraction - 1e-9);
}

/**
 * Says of a path whether this night reads it back.
 *
 * @param turn which night in a row this is for who is read: an off-site's turns count the backups that were sealed there,
 *   so no part of the cycle is skipped when a night fails there or it does not get every backup.
 * @param fraction 0 (none) to 1 (all), e.g. 0.05.
 */
export function pickForVerify(turn: number, fraction: number): (path: Buffer | string) => boolean {
  const nights = nightsToReadAll(fraction);
  if (nights === Infinity) return () => false;
  const tonight = ((turn % nights) + nights) % nights;
  return (path) => Math.floor(placeOf(path) * nights) === tonight;
}

/**
 * The folder that a media file is read back with: class, attachment, and the first two groups of its id, which is some
 * four hours of uploads for a snowflake id (`media_attachments/files/116/543`; paperclip's id_partition). Off-sites find
 * a few folders much faster than as many files, and a sample of folders moves through all files just as well.
 */
export function verifyFolder(path: string): string {
  const names = path.split('/');
  return names.slice(0, Math.min(4, names.length - 1)).join('/');
}

/** A path's place in the cycle: 0 up to 1, spread evenly. */
function placeOf(path: Buffer | string): number {
  return createHash('sha256').update(path).digest().readUIntBE(0, 6) / 2 ** 48;
}
