import type { BackupProgress, FailureReport, Phase } from '../backups/report.js';

/**
 * A run as Temporal's UI shows it under "current details": what somebody wants to know at three in the morning.
 *
 * @param what the run is, where it is no backup: `Drill of backup`.
 */
export function detailsOf(progress: BackupProgress, failure?: FailureReport, what = 'Backup'): string {
  return [
    `**${what} ${progress.backup} of ${progress.instance}: ${progress.status}**`,
    '',
    `Mastodon's services: **${servicesText[progress.services]}**`,
    ...(failure === undefined
      ? []
      : ['', `What happened: **${cell(failure.message)}**`, '', `What to do: ${cell(failure.next)}`]),
    '',
    row('phase', '', 'took', ''),
    '|:--|:--|:--|:--|',
    ...progress.phases.map((phase) => row(phase.name, phase.state, took(phase), cell(phase.detail ?? ''))),
    ...(progress.offsites.length === 0
      ? []
      : [
          '',
          row('off-site', '', ''),
          '|:--|:--|:--|',
          ...progress.offsites.map(({ name, state, error }) => row(name, state, cell(error ?? ''))),
        ]),
    ...(progress.warnings.length === 0
      ? []
      : ['', ...progress.warnings.map((warning) => `- ${cell(warning)}`)]),
  ].join('\n');
}

/** A row of a table. Temporal's UI sets its columns without a gap, so each cell ends with one that is not trimmed. */
function row(...cells: readonly string[]): string {
  return `| ${cells.map((text) => `${text}\u00a0\u00a0\u00a0`).join(' | ')} |`;
}

const servicesText = {
  untouched: 'running, not touched',
  stopping: 'being stopped',
  stopped: 'stopped, for as short as can be; a lease on the host starts them if nothing else does',
  starting: 'being started',
  up: 'up, proven',
} as const;

function took({ startedAt, finishedAt }: Phase): string {
  if (startedAt === undefined) return '';
  if (finishedAt === undefined) return `since\u00a0${startedAt.slice(11, 19)}\u00a0UTC`;
  const seconds = (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000;
  return seconds < 60
    ? `${seconds.toFixed(1)}\u00a0s`
    : `${String(Math.floor(seconds / 60))}\u00a0min\u00a0${String(Math.round(seconds % 60))}\u00a0s`;
}

/** A message inside a table: one line, no bars. */
function cell(text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('|', '\\|').slice(0, 300);
}
