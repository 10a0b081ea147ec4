import type { DrillReport } from '../backups/drill-report.js';
import { timeOfBackup } from '../backups/id.js';
import { formatBytes, formatCount, formatDuration, formatTime } from '../terminal/format.js';
import { type Content, markup, type Html, marked } from './html.js';
import {
  bars,
  bullets,
  checkList,
  commands,
  failureNote,
  fields,
  type Figure,
  type Mood,
  note,
  pageText,
  section,
  type Stretch,
} from './page.js';

/** The page of a drill: self-contained HTML. Pure. */
export function drillPage(report: DrillReport): string {
  const { instance, backup, checks, notProven, warnings } = report;
  const { headline, mood } = verdict(report);
  const findings = checks.filter(({ passed }) => !passed);
  return pageText({
    title: `Drill of ${backup}: ${headline}`,
    over: `Drill · ${instance}`,
    ...{ headline, mood, lead: lead(report), figures: figures(report) },
    sections: [
      section(
        findings.length > 0 ? 'What was found, and what to do' : 'What happened, and what to do',
        failureOrFindings(report),
      ),
      section('Warnings', bullets(warnings.map(marked))),
      section('What was not proven', bullets(notProven.map(marked))),
      section('How long it took', times(report)),
      section('What was proven', proven(report)),
      section('The backup', facts(report)),
    ],
    foot: foot(report),
  });
}

function verdict({ status, depth }: DrillReport): { headline: string; mood: Mood } {
  switch (status) {
    case 'passed':
      return {
        headline: depth === 'files' ? 'The files of this backup are whole' : 'This backup restores',
        mood: 'good',
      };
    case 'findings':
      return { headline: 'This backup would not restore as it is', mood: 'bad' };
    case 'failed':
      return { headline: 'The drill could not be done', mood: 'mind' };
    case 'cancelled':
      return { headline: 'The drill was cancelled', mood: 'mind' };
  }
}

function lead({ backup, from, host, depth, startedAt }: DrillReport): Html {
  const when = momentOf(backup);
  const of = when === null ? null : markup` of ${formatTime(when)}`;
  const source = from === '' ? null : markup`, fetched from <strong>${from}</strong>`;
  return markup`<p>
    Backup <strong>${backup}</strong>${of}${source}, restored on <strong>${host}</strong> into a scratch place
    that is gone again. Depth: ${depth}. Begun ${formatTime(startedAt)}.
  </p>`;
}

function figures({ checks, recoveryTimeMs, forecast, times, depth, durationMs }: DrillReport): Figure[] {
  const passed = checks.filter((check) => check.passed).length;
  const back = depth === 'application' ? 'until Mastodon answered' : 'fetched and loaded, without media';
  return [
    ...(recoveryTimeMs > 0
      ? [{ name: 'Recovery time', value: formatDuration(recoveryTimeMs), more: back }]
      : []),
    ...(forecast === undefined
      ? []
      : [
          {
            name: 'A full restore would take',
            value: `≈ ${formatDuration(forecast.totalMs)}`,
            more: 'forecast, with all media',
          },
        ]),
    ...(checks.length === 0
      ? []
      : [{ name: 'Checks passed', value: `${String(passed)} of ${String(checks.length)}` }]),
    ...(times.fetchedBytes + times.mediaBytes === 0
      ? []
      : [
          {
            name: 'Read back',
            value: formatBytes(times.fetchedBytes + times.mediaBytes),
            more: `${formatCount(times.mediaFiles, 'file')} of media among it`,
          },
        ]),
    ...(recoveryTimeMs > 0 ? [] : [{ name: 'The whole drill', value: formatDuration(durationMs) }]),
  ];
}

function failureOrFindings({ checks, error, status, instance, from }: DrillReport): Html | null {
  const findings = checks.filter(({ passed }) => !passed);
  if (findings.length === 0) return failureNote(error);
  const advice =
    error?.next ?? 'Take another backup or another off-site until this is understood, and make a new backup.';
  return markup`${checkList(findings)}
    ${note('bad', markup`<p><strong>What to do:</strong> ${marked(advice)}</p>`)}
    <p class="faint">Look at the same backup elsewhere, and at the copy on ${from} itself:</p>
    ${commands([`permafrost drill ${instance} --from OTHER-OFF-SITE`, `permafrost verify ${instance} --from ${from} --depth all`])}
    ${status === 'findings' ? null : failureNote(error)}`;
}

function proven({ checks }: DrillReport): Html | null {
  return checkList(checks.filter(({ passed }) => passed));
}

function times(report: DrillReport): Html | null {
  const { times: at, forecast, checks, durationMs, recoveryTimeMs } = report;
  const rate = (bytes: number, ms: number) =>
    ms === 0 || bytes === 0 ? '' : `, ${formatBytes((bytes * 1000) / ms)}/s`;
  const all: Stretch[] = [
    {
      ...{ name: 'Fetch all but media', durationMs: at.fetchMs },
      more: `${formatBytes(at.fetchedBytes)}${rate(at.fetchedBytes, at.fetchMs)}`,
    },
    {
      ...{ name: 'Fetch media', durationMs: at.mediaMs },
      more: `${formatCount(at.mediaFiles, 'file')}, ${formatBytes(at.mediaBytes)}`,
    },
    { name: 'Load the database', durationMs: at.loadMs, more: 'pg_restore, ANALYZE' },
    ...(at.bootMs === undefined ? [] : [{ name: 'Boot Mastodon', durationMs: at.bootMs }]),
    {
      ...{ name: 'Checks', durationMs: checks.reduce((sum, check) => sum + check.durationMs, 0) },
      more: 'of a drill alone',
    },
  ];
  const shown = all.filter(({ durationMs: ms }) => ms > 0);
  if (shown.length === 0) return null;
  return markup`${bars(shown)}
  ${
    recoveryTimeMs === 0
      ? null
      : markup`<p>
          The <strong>recovery time</strong>, ${formatDuration(recoveryTimeMs)}, is what a restore takes
          without the checks and without media; the drill as a whole took ${formatDuration(durationMs)}.
        </p>`
  }
  ${forecast === undefined ? null : markup`<p><strong>A full restore</strong> of this backup would take about ${formatDuration(forecast.totalMs)}: ${forecast.detail}.</p>`}`;
}

function facts({ backup, instance, from, depth, drill, workflowId, runId }: DrillReport): Html {
  return fields([
    ['Instance', instance],
    ['Backup', markup`<code>${backup}</code>`],
    ['Off-site', from],
    ['Depth', depth],
    ['Drill', markup`<code>${drill}</code>`],
    ['Workflow', markup`<code>${workflowId}</code>`],
    ['Run', markup`<code>${runId}</code>`],
  ]);
}

function foot({ drill, instance, finishedAt }: DrillReport): Content {
  return markup`Written by Permafrost, ${formatTime(finishedAt)}. Kept on the machine of the worker and beside the backup;
    again: <code>permafrost report ${instance} drill-${drill}</code>`;
}

function momentOf(backup: string): Date | null {
  try {
    return timeOfBackup(backup);
  } catch {
    return null;
  }
}
