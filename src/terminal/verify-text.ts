import type { Finding, VerifiedCopy, VerifyReport } from '../backups/verify-report.js';
import { formatBytes, formatCount, formatDuration, formatFields, wrap } from './format.js';
import type { Paint } from './paint.js';
import { plainText } from './plain-text.js';

/** What reading a backup back came to: every off-site, with each thing that is not what it should be. */
export function verifiedText(report: VerifyReport, paint: Paint, width = 80, next?: string): string[] {
  const { backup, instance, copies, notOn = [], startedAt, finishedAt, depth } = report;
  const good = copies.every(({ passed }) => passed);
  const name = `Backup ${backup} of ${instance}`;
  const took = formatDuration(new Date(finishedAt).getTime() - new Date(startedAt).getTime());
  return [
    good
      ? paint.good(paint.bold(`${name}: what it should be`))
      : paint.bad(paint.bold(`${name}: NOT what it should be`)),
    '',
    ...copies.flatMap((copy) => [...copyLines(copy, paint, width), '']),
    ...formatFields(
      [
        ...(notOn.length === 0 ? [] : [['not on', notOn.join(', ')] as const]),
        ...[['depth', depth] as const, ['took', took] as const],
        ...(next === undefined ? [] : [['what to do', next] as const]),
      ],
      width,
    ),
  ];
}

function copyLines(copy: VerifiedCopy, paint: Paint, width: number): string[] {
  const { from, passed, checked, findings, moreFindings, signature, error } = copy;
  if (error !== undefined) {
    const [message, next] = [plainText(error.message), plainText(error.next)];
    return formatFields([[from, `could not be read: ${message}\n${next}`]], width).map(paint.bad);
  }
  const read = `read back ${formatCount(checked.files, 'file')}, ${formatBytes(checked.bytes)}`;
  const count = formatCount(findings.length + moreFindings, 'finding');
  const head = formatFields(
    [[from, `${passed ? '' : `${count}; `}${read}${signatureText(signature)}`]],
    width,
  );
  return [
    ...(passed ? head : head.map(paint.bad)),
    ...findings.flatMap((finding) => findingLines(finding, width)),
    ...(moreFindings === 0 ? [] : [`    and ${String(moreFindings)} more`]),
  ];
}

/** Only what is worth knowing of it: a valid one is as it should be, a bad one is among the findings. */
function signatureText(signature: VerifiedCopy['signature']): string {
  if (signature === 'not judged') return '; its signature was not judged: no public key is known here';
  return signature === 'unsigned' ? '; not signed: made before 0.3' : '';
}

function findingLines({ part, path, problem }: Finding, width: number): string[] {
  const text = plainText(`${part}: ${path === undefined ? problem : `${path} ${problem}`}`);
  const [first = '', ...rest] = wrap(text.replace(/\s+/g, ' '), width - 6);
  return [`    ${first}`, ...rest.map((line) => `      ${line}`)];
}
