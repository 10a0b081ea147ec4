import type { Forecast, RecoveryTimes } from './drill-report.js';
import { formatDuration } from './duration.js';

/** Of a backup's media, what a full restore has to bring back. */
export interface MediaToRestore {
  readonly bytes: number;
  readonly files: number;
}

/** Until the instance would have been back, but for its media: fetched, loaded, answering. Milliseconds. */
export function recoveryTimeOf({ fetchMs, loadMs, bootMs = 0 }: RecoveryTimes): number {
  return fetchMs + loadMs + bootMs;
}

/**
 * What a full restore would take by what a drill has measured. Many small files take long for each of them and few large
 * ones for their bytes: the slower of both counts.
 *
 * @returns undefined when media are to be restored and none were read.
 */
export function forecastOf(times: RecoveryTimes, media: MediaToRestore | null): Forecast | undefined {
  const rest = recoveryTimeOf(times);
  const without = `all but media ${formatDuration(rest)}`;
  if (media === null || media.files === 0) return { totalMs: rest, detail: without };
  const { mediaMs, mediaBytes, mediaFiles } = times;
  if (mediaFiles === 0) return undefined;
  const byFiles = media.files / mediaFiles;
  const byBytes = mediaBytes === 0 ? byFiles : media.bytes / mediaBytes;
  const mediaAllMs = Math.round(mediaMs * Math.max(1, byFiles, byBytes));
  const measured = mediaFiles >= media.files ? 'all were read' : `by ${String(mediaFiles)} that were read`;
  return {
    totalMs: rest + mediaAllMs,
    detail: `${without}, media ${formatDuration(mediaAllMs)} (${measured})`,
  };
}
