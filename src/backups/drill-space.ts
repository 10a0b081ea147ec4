import type { DrillDepth } from './check.js';
import type { Manifest } from './manifest.js';

/** Bytes besides: lists, logs, a sample of media, WAL of the load. */
export const drillMargin = 512 << 20;
/** The media's index is stored compressed, to about a third; it is laid out plain. */
const indexGrows = 5;

/**
 * Bytes that a drill is expected to need on the drill host: the small parts as they were captured, the full dump that a
 * delta needs, and the database, which is as large as the living one at most. Pure.
 *
 * @param staged a file is there as it is stored before it can be read (rsync): the largest beside all others, before the
 *   database is loaded.
 */
export function drillNeed(
  { parts, database }: Manifest,
  depth: DrillDepth,
  { staged = false }: { staged?: boolean } = {},
): number {
  const bytesOf = (name: string) => parts.find((part) => part.name === name)?.bytes ?? 0;
  const index =
    parts.find(({ name }) => name === 'media')?.entries.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0;
  const delta = database?.delta;
  const dump =
    delta === undefined ? bytesOf('database') : bytesOf('database') + delta.fullBytes + delta.dumpBytes;
  // Redis loads a copy of its dump.
  const fetched = dump + bytesOf('secrets') + 2 * bytesOf('redis') + indexGrows * index;
  const loaded = depth === 'files' ? 0 : (database?.sizeBytes ?? 0);
  const stored = staged ? (delta?.fullBytes ?? bytesOf('database')) : 0;
  return Math.ceil(fetched + Math.max(loaded, stored) + drillMargin);
}
