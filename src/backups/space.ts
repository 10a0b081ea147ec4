import type { PartName } from './parts.js';
import type { PlannedPart } from './report.js';

/** A dump without compression is smaller than the database, which holds its indexes too; half of it is on the safe side. */
const dumpShare = 0.7;
/** A dump compressed by zstd is a third of it (figures of this project's bench); half of it is on the safe side. */
const compressedShare = 0.5;
/** Bytes that a run may need besides: secrets, lists, logs. */
const spoolMargin = 64 << 20;
/** Bytes of index a million files of media take, three times: the list, the index, the sort's work. */
const indexBytesPerFile = 600;

/**
 * Bytes that a run is expected to need on the host, where the small parts wait until every off-site has them. Pure.
 *
 * @param trees off-sites that are trees of files (rclone, rsync): for each, the parts wait compressed as well.
 */
export function spoolNeed(parts: readonly PlannedPart[], trees: number): number {
  const bytesOf = (name: PartName) => parts.find((part) => part.name === name)?.sourceBytes ?? 0;
  const index = parts.some((part) => part.name === 'media') ? indexBytesPerFile * 100_000 : 0;
  const captured = bytesOf('database') * dumpShare + bytesOf('redis');
  return Math.ceil(captured * (1 + compressedShare * trees) + index + spoolMargin);
}

/** `12.3 GB`, `340 MB` */
export function sizeText(bytes: number): string {
  return bytes < 1e9 ? `${String(Math.round(bytes / 1e6))} MB` : gigabytes(bytes);
}

/** `12.3 GB` */
export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
