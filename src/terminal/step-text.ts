import type { StepProgress } from '../backups/report.js';
import { formatBytes, formatDuration, formatNumber } from './format.js';
import type { Pace } from './pace.js';
import { plainText } from './plain-text.js';
import { padEndTo, padStartTo, textWidth } from './text-width.js';

/** What the steps that may take a while do, in an operator's words; Temporal's UI shows them by their own names. */
const verbs: Readonly<Record<string, string>> = {
  preflight: 'looking at the instance and its off-sites',
  prepareRun: 'making ready',
  stopServices: 'stopping the services',
  pinMoment: 'pinning the moment of the database',
  saveRedis: 'saving',
  copySecrets: 'copying',
  startServices: 'starting the services',
  proveServicesUp: 'waiting until the services are healthy',
  dumpDatabase: 'dumping',
  indexMedia: 'reading',
  copyRedis: 'copying redis',
  uploadPart: 'sending',
  uploadParts: 'sending',
  planDatabase: 'looking for the last full dump',
  keepBase: 'keeping what deltas need',
  admitOffsite: 'asking again',
  verifyCopy: 'reading back',
  findStored: 'looking for the backup',
  verifyStored: 'reading back',
  sealCopy: 'writing the manifest',
  pruneOffsite: 'applying retention',
  copyParts: 'copying',
  findForCopy: 'looking what has to be copied',
  verifyCopied: 'reading back',
  sealCopied: 'writing the manifest',
  sweepCopy: 'tidying up',
  sweepRun: 'tidying up',
  findDrill: 'looking for the backup',
  openScratch: 'making a scratch place',
  receiveBackup: 'fetching from',
  receiveParts: 'fetching',
  receiveMedia: 'fetching media',
  layOut: 'laying it out',
  proveReceived: 'proving the files',
  loadScratch: 'loading the database',
  proveScratch: 'proving the database',
  proveBoot: 'proving the application',
  closeScratch: 'tidying up',
  keepDrill: 'keeping the report',
};

/** From here on a number that does not grow is told, and a step without numbers says how long it has been at it. Milliseconds. */
const QUIET_MS = 15_000;
const ALIVE_MS = 3_000;

/** How far a step is, in words; what is not known is empty. */
export interface StepText {
  name: string;
  /** `34.1 MB of 108 MB` */
  amount: string;
  /** `31 %`; never 100 of what still runs. */
  share: string;
  /** `3.1 MB/s` */
  speed: string;
  /** `24 s left`, or how long nothing has been heard of it: it is at work, and does not only look so. */
  time: string;
}

/** @param sinceMs how long the step has been running. */
export function stepText(
  progress: StepProgress,
  pace: Pace | undefined,
  at: number,
  sinceMs: number,
): StepText {
  const { bytes, totalBytes, files, totalFiles } = progress;
  const [done, total] = bytes === undefined ? [files, totalFiles] : [bytes, totalBytes];
  const alive = sinceMs < ALIVE_MS ? '' : `for ${formatDuration(sinceMs)}`;
  const quiet = (pace?.stillMs(at) ?? 0) > QUIET_MS;
  const speed = quiet ? undefined : pace?.perSecond(at);
  const left = quiet || total === undefined ? undefined : pace?.leftMs(at, total);
  const news = quiet && done !== undefined ? `no news for ${formatDuration(pace?.stillMs(at) ?? 0)}` : alive;
  return {
    name: plainText([verbOf(progress.step), progress.subject].filter((word) => word !== undefined).join(' ')),
    amount: amountText(progress),
    share: done !== undefined && total !== undefined && total > 0 ? `${String(percent(done, total))} %` : '',
    speed: speed === undefined || bytes === undefined ? '' : `${formatBytes(speed)}/s`,
    time: left === undefined ? news : `${formatDuration(left)} left`,
  };
}

function verbOf(step: string): string {
  return verbs[step] ?? step.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function amountText({ bytes, totalBytes, files, totalFiles }: StepProgress): string {
  if (bytes !== undefined) return of(formatBytes(bytes), totalBytes, formatBytes);
  return files === undefined ? '' : `${of(formatNumber(files), totalFiles, formatNumber)} files`;
}

function of(done: string, total: number | undefined, format: (value: number) => string): string {
  return total === undefined ? done : `${done} of ${format(total)}`;
}

/** Whole percent, never 100 before the step has ended: what is still running is not done. */
function percent(done: number, total: number): number {
  return Math.max(0, Math.min(99, Math.floor((done / total) * 100)));
}

/** As part of one line: `sending media to vault: 34.1 MB of 108 MB, 31 %, 3.1 MB/s, 24 s left`. */
export function stepLine({ name, amount, share, speed, time }: StepText): string {
  const facts = [amount, share, speed, time].filter((fact) => fact !== '');
  return facts.length === 0 ? name : `${name}: ${facts.join(', ')}`;
}

/** Side by side, in columns. Where they do not fit, first the speed goes, then the amount: share and time stay. */
export function stepTable(steps: readonly StepText[], width: number): string[] {
  for (const columns of [
    ['name', 'amount', 'share', 'speed', 'time'],
    ['name', 'amount', 'share', 'time'],
    ['name', 'share', 'time'],
  ] as const) {
    const widths = columns.map((column) => Math.max(...steps.map((step) => textWidth(step[column]))));
    const shown = columns.filter((_, index) => (widths[index] ?? 0) > 0);
    const lines = steps.map((step) =>
      shown
        .map((column) => {
          const columnWidth = widths[columns.indexOf(column as never)] ?? 0;
          const right = column === 'share' || column === 'speed' || column === 'amount';
          return (right ? padStartTo : padEndTo)(step[column], columnWidth);
        })
        .join('  ')
        .trimEnd(),
    );
    if (columns.length === 3 || lines.every((line) => textWidth(line) <= width)) return lines;
  }
  return [];
}
