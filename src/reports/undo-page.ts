import type { UndoReport } from '../backups/restore-report.js';
import { formatDuration, formatTime } from '../terminal/format.js';
import { markup, marked } from './html.js';
import { bullets, commands, failureNote, fields, type Mood, pageText, section } from './page.js';
import { servicesText } from './services-text.js';

/** The page of an undo: self-contained HTML. Pure. */
export function undoPage(report: UndoReport): string {
  const { restore, instance, to, status, startedAt, finishedAt, downtimeMs, services } = report;
  const { headline, mood } = verdicts[status];
  return pageText({
    title: `Undo of ${restore}: ${headline}`,
    over: `Undo · ${instance}`,
    ...{ headline, mood },
    lead: markup`<p>
        Restore <strong>${restore}</strong> on <strong>${to}</strong>. Begun ${formatTime(startedAt)}.
      </p>
      <p>Mastodon's services: <strong>${servicesText[services]}</strong>.</p>`,
    figures: [
      { name: 'Services were down', value: downtimeMs === 0 ? 'not at all' : formatDuration(downtimeMs) },
    ],
    sections: [
      section('What happened, and what to do', failureNote(report.error)),
      section('What was taken back', bullets(report.undone.map(marked))),
      section('To be run by hand', commands(report.next)),
      section('Warnings', bullets(report.warnings.map(marked))),
      section(
        'The undo',
        fields([
          ['Instance', instance],
          ['Restore', markup`<code>${restore}</code>`],
          ['Workflow', markup`<code>${report.workflowId}</code>`],
          ['Run', markup`<code>${report.runId}</code>`],
        ]),
      ),
    ],
    foot: markup`Written by Permafrost, ${formatTime(finishedAt)}. Again:
      <code>permafrost report ${instance} undo-${restore}</code>`,
  });
}

const verdicts: Readonly<Record<UndoReport['status'], { headline: string; mood: Mood }>> = {
  undone: { headline: 'The restore was taken back', mood: 'good' },
  failed: { headline: 'The undo failed', mood: 'bad' },
  cancelled: { headline: 'The undo was cancelled', mood: 'mind' },
};
