import type { Phase } from '../backups/report.js';
import type { RestorePlan, RestoreReport, RestoreStatus } from '../backups/restore-report.js';
import { formatBytes, formatCount, formatDuration, formatTime } from '../terminal/format.js';
import { markup, type Html, marked } from './html.js';
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
import { servicesText } from './services-text.js';

/** The page of a restore: self-contained HTML. Pure. */
export function restorePage(report: RestoreReport): string {
  const { instance, backup, status, plan, checks, notProven, warnings, error } = report;
  const { headline, mood } = verdicts[status];
  return pageText({
    title: `Restore of ${backup}: ${headline}`,
    over: `Restore · ${instance}`,
    ...{ headline, mood, lead: lead(report), figures: figures(report) },
    sections: [
      section('What happened, and what to do', failureNote(error)),
      section('What to do now', afterwardsOf(report)),
      section('Warnings', bullets([...(plan?.warnings ?? []), ...warnings].map(marked))),
      section('What was restored', restored(report)),
      section('How long it took', bars(stretches(report.phases))),
      section(
        'What was proven before the swap',
        checkList([...checks].sort((one, other) => Number(one.passed) - Number(other.passed))),
      ),
      section('What was not proven', bullets(notProven.map(marked))),
      section('What changed beside the data', changed(report)),
      section('What lies between the backup and the restore', lost(plan)),
      section('The restore', facts(report)),
    ],
    foot: markup`Written by Permafrost, ${formatTime(report.finishedAt)}. Kept on the machine of the worker and
      beside the backup; again: <code>permafrost report ${instance} restore-${report.restore}</code>`,
  });
}

const verdicts: Readonly<Record<RestoreStatus, { headline: string; mood: Mood }>> = {
  restored: { headline: 'The backup is in place', mood: 'good' },
  planned: { headline: 'What a restore would do', mood: 'mind' },
  failed: { headline: 'The restore failed', mood: 'bad' },
  cancelled: { headline: 'The restore was cancelled', mood: 'mind' },
};

function lead({ backup, from, to, startedAt, services, status }: RestoreReport): Html {
  const now =
    status === 'planned'
      ? null
      : markup`<p>Mastodon's services: <strong>${servicesText[services]}</strong>.</p>`;
  return markup`<p>
      Backup <strong>${backup}</strong>, fetched from <strong>${from}</strong>, to <strong>${to}</strong>.
      Begun ${formatTime(startedAt)}.
    </p>
    ${now}`;
}

function figures(report: RestoreReport): Figure[] {
  const { status, downtimeMs, undoUntil, checks, plan, startedAt, finishedAt } = report;
  const took = Date.parse(finishedAt) - Date.parse(startedAt);
  const passed = checks.filter((check) => check.passed).length;
  return [
    ...(status === 'planned'
      ? []
      : [
          { name: 'Services were down', value: downtimeMs === 0 ? 'not at all' : formatDuration(downtimeMs) },
        ]),
    ...(status !== 'planned' && Number.isFinite(took)
      ? [{ name: 'The whole restore', value: formatDuration(took) }]
      : []),
    ...(status === 'planned' && plan?.expectedMs !== undefined
      ? [{ name: 'Expected to take', value: formatDuration(plan.expectedMs), more: 'by the last drill' }]
      : []),
    ...(checks.length === 0
      ? []
      : [{ name: 'Checks passed', value: `${String(passed)} of ${String(checks.length)}` }]),
    ...(undoUntil === null ? [] : [untilFigure(undoUntil)]),
  ];
}

function untilFigure(time: string): Figure {
  const [day = time, ...clock] = formatTime(time).split(' ');
  return { name: 'Can be taken back until', value: day, more: clock.join(' ') };
}

function afterwardsOf({ next, undoUntil, status, instance, restore, ran }: RestoreReport): Html | null {
  const undo =
    status === 'restored' && undoUntil !== null
      ? markup`<p>To take it back, until ${formatTime(undoUntil)}:</p>
          ${commands([`permafrost undo ${instance} ${restore}`])}`
      : null;
  const byHand =
    next.length === 0
      ? null
      : markup`<p>To be run by hand:</p>
          ${commands(next)}`;
  const done = bullets(
    ran.map(
      ({ name, ok, detail }) =>
        markup`${ok ? 'Run' : markup`<strong>Failed</strong>`}: ${name}. ${marked(detail)}`,
    ),
  );
  return undo === null && byHand === null && done === null ? null : markup`${byHand}${undo}${done}`;
}

function restored({ parts, plan, media, status }: RestoreReport): Html | null {
  const none = status === 'failed' || status === 'cancelled';
  const rows = parts.map((name) => {
    const planned = plan?.parts.find((part) => part.name === name);
    const size =
      planned === undefined ? '' : `${formatBytes(planned.bytes)}, ${formatCount(planned.files, 'file')}`;
    return markup`<tr>
      <th scope="row">${name}</th>
      <td>${size}</td>
      <td>${planned === undefined ? null : marked(planned.what)}</td>
    </tr>`;
  });
  if (rows.length === 0) return null;
  const added =
    media === undefined
      ? null
      : markup`<p>
          Media: ${formatCount(media.added, 'file')} added (${formatBytes(media.bytes)}),
          ${formatCount(media.present, 'file')} were there already; none was changed or removed.
        </p>`;
  return markup`${none ? note('mind', markup`<p>Nothing of this is in place: the instance is as it was.</p>`) : null}
    <table>
      <tbody>
        ${rows}
      </tbody>
    </table>
    ${added} ${plan?.redis === undefined ? null : markup`<p>Redis is not restored: ${marked(plan.redis)}</p>`}`;
}

function changed({ changedSecrets, plan }: RestoreReport): Html | null {
  const files = plan?.changedFiles ?? [];
  if (changedSecrets.length + files.length === 0) return null;
  const names = (all: readonly string[]) =>
    all.map((name, at) => markup`${at === 0 ? null : ', '}<code>${name}</code>`);
  return markup`${changedSecrets.length === 0 ? null : markup`<p>Secrets with another value than before, by name: ${names(changedSecrets)}</p>`}
  ${
    files.length === 0
      ? null
      : markup`<p>Files with another content:</p>
          ${bullets(files.map((path) => markup`<code>${path}</code>`))}`
  }`;
}

function lost(plan: RestorePlan | undefined): Html | null {
  if (plan === undefined || plan.lost.detail === '') return null;
  const { detail, newestStatusAt, ageMs } = plan.lost;
  const newest =
    newestStatusAt === null ? null : markup` Newest post of the backup: ${formatTime(newestStatusAt)}.`;
  const age = ageMs === null ? null : markup` Age at the restore: ${formatDuration(ageMs)}.`;
  return markup`<p>${marked(detail)}${newest}${age}</p>`;
}

const phaseTitles: Readonly<Partial<Record<Phase['name'], string>>> = {
  plan: 'Plan',
  fetch: 'Fetch from the off-site',
  load: 'Load the database',
  prove: 'Prove it',
  swap: 'Swap',
  afterwards: 'What follows',
};

function titleOf(name: Phase['name']): string {
  return Object.hasOwn(phaseTitles, name) ? (phaseTitles[name] ?? name) : name;
}

/** Of phases that have begun and ended. */
export function stretches(phases: readonly Phase[]): Stretch[] {
  return phases.flatMap(({ name, startedAt, finishedAt, detail }) => {
    if (startedAt === undefined || finishedAt === undefined) return [];
    const durationMs = Date.parse(finishedAt) - Date.parse(startedAt) || 0;
    return [
      {
        name: titleOf(name),
        durationMs,
        ...(detail === undefined || detail === '' ? {} : { more: detail }),
      },
    ];
  });
}

function facts({ instance, backup, from, to, restore, plan, workflowId, runId }: RestoreReport): Html {
  const stopped = plan?.services.join(', ') ?? '';
  return fields([
    ['Instance', instance],
    ['Backup', markup`<code>${backup}</code>`],
    ['Off-site', from],
    [
      'To',
      plan === undefined
        ? to
        : `${to}${plan.inPlace ? ', in the place of what was there' : ', which was empty'}`,
    ],
    ['Services', stopped],
    ['Restore', markup`<code>${restore}</code>`],
    ['Workflow', markup`<code>${workflowId}</code>`],
    ['Run', markup`<code>${runId}</code>`],
  ]);
}
