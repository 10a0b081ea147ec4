import type { VerifiedCopy, VerifyReport } from '../backups/verify-report.js';

/** Findings that Temporal's UI shows of a copy; the command shows more. */
const shown = 10;

/** A verify as Temporal's UI shows it under "current details". */
export function verifyDetails({ instance, backup, depth, copies }: VerifyReport, running: boolean): string {
  const passed = copies.every((copy) => copy.passed);
  const state = running ? 'being read back' : passed ? 'what it should be' : 'NOT what it should be';
  return [
    `**Backup ${backup} of ${instance}: ${state}** (depth ${depth})`,
    '',
    "Mastodon's services: **not touched**",
    '',
    ...copies.flatMap(copyLines),
  ].join('\n');
}

function copyLines({ from, passed, checked, findings, moreFindings, error }: VerifiedCopy): string[] {
  if (error !== undefined) return [`- ${from}: could not be read: ${line(error.message)}`];
  const read = `${String(checked.files)} files, ${String(checked.bytes)} bytes read back`;
  if (passed) return [`- ${from}: ${read}`];
  const more = moreFindings + Math.max(0, findings.length - shown);
  return [
    `- ${from}: **${String(findings.length + moreFindings)} findings**; ${read}`,
    ...findings
      .slice(0, shown)
      .map(
        ({ part, path, problem }) =>
          `  - ${part}: ${line(path === undefined ? problem : `${path} ${problem}`)}`,
      ),
    ...(more === 0 ? [] : [`  - and ${String(more)} more`]),
  ];
}

function line(text: string): string {
  return text.replace(/\s+/g, ' ').slice(0, 300);
}
