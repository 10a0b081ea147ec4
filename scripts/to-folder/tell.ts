import { backupIdOf } from '../../src/backups/id.js';
import { Failure } from '../../src/errors.js';
import { formatBytes, formatCount, formatDuration, formatFields } from '../../src/terminal/format.js';
import type { Context } from '../cli/command.js';
import { VerbFailed } from '../cli/failures.js';
import { findingText, type LaidOut } from './lay-out.js';

/** Findings that a terminal shows. */
const shownFindings = 20;

/** Prints what came of it. @throws VerbFailed `NotRestorable` when something is missing or damaged. */
export function tellLaidOut({ out, io }: Context, laid: LaidOut): void {
  const { path, findings, warnings, backup, instance, from, received, media, startedAt } = laid;
  const document = documentOf(laid);
  const paint = out.paintFor(io.stdout);
  const width = out.widthFor(io.stdout);
  const took = formatDuration(Date.now() - startedAt.getTime());
  const first = findings[0];
  const fields = [
    ...laid.laid.map(({ name, what }) => [name, what] as const),
    ...(media === undefined ? [] : [['media added', mediaText(media)] as const]),
    [
      'compared',
      `${formatCount(received.checked.files, 'file')}, ${formatBytes(received.checked.bytes)}, besides the media`,
    ],
    ...warnings.map((warning) => ['warning', warning] as const),
    ...findings.slice(0, shownFindings).map((finding) => ['damaged', findingText(finding)] as const),
    ...(findings.length > shownFindings
      ? [['', `and ${String(findings.length - shownFindings)} more`] as const]
      : []),
    ['took', took],
  ] as const;
  const name = `Backup ${backup} of ${instance.domain}`;
  if (first === undefined) {
    out.result(document, [
      '',
      paint.good(paint.bold(`${name}: all of it is in ${path}`)),
      '',
      ...formatFields(fields, width),
      '',
      'README.txt in it says what is what, and how to take one table. Its files hold secrets: remove it after use.',
    ]);
    return;
  }
  if (!out.options.json)
    out.complain(
      '',
      paint.bad(paint.bold(`${name}: NOT all of it is in ${path}`)),
      '',
      ...formatFields(fields, width),
    );
  const more = findings.length > 1 ? ` (and ${String(findings.length - 1)} more)` : '';
  throw new VerbFailed(
    new Failure('NotRestorable', `${backup} is damaged on ${from}: ${findingText(first)}${more}`, {
      next: nextOf(laid),
    }),
    `What is good was laid out in ${path}.`,
    document,
  );
}

function nextOf({ others: [other], from, path, backup, instance }: LaidOut): string {
  if (other === undefined)
    return `no other off-site has this backup; see whether ${from} can be mended, or take another backup: permafrost list ${instance.domain}`;
  return `fetch what is missing from ${other}: permafrost restore ${instance.domain} ${backup} --to ${path} --from ${other}`;
}

function mediaText({ added, present, bytes }: { added: number; present: number; bytes: number }): string {
  const there = present === 0 ? '' : `; ${formatCount(present, 'file')} were there already`;
  return `${formatCount(added, 'file')}, ${formatBytes(bytes)}${there}`;
}

/** As a restore's: what `--json` prints. */
function documentOf(laid: LaidOut): Record<string, unknown> {
  const { instance, backup, from, path, parts, startedAt, received, media, findings, warnings } = laid;
  return {
    restore: backupIdOf(startedAt),
    ...{ instance: instance.domain, backup, from, to: path, parts },
    status: findings.length === 0 ? 'restored' : 'failed',
    ...{ startedAt: startedAt.toISOString(), finishedAt: new Date().toISOString() },
    ...{ downtimeMs: 0, services: 'untouched', undoUntil: null },
    files: laid.laid.map(({ name, what }) => ({ name, what })),
    ...{ checked: received.checked, signature: received.signature, findings, warnings },
    ...(media === undefined
      ? {}
      : { media: { added: media.added, present: media.present, bytes: media.bytes } }),
    next: laid.laid.flatMap(({ commands }) => commands),
  };
}
