import { type Check, exitCodeOfChecks } from '../backups/checks.js';
import { formatCount, wrap } from './format.js';
import type { Paint } from './paint.js';
import { plainText } from './plain-text.js';

/**
 * What the doctor found, for a person: a group for each instance on its host, a quiet line for each subject that is well,
 * and for a finding what it is, how bad, and what mends it.
 */
export function doctorText(checks: readonly Check[], paint: Paint, width = 80): string[] {
  const groups = grouped(checks);
  const subjectWidth = Math.max(...checks.map(({ subject }) => subject.length), 0);
  return [
    ...groups.flatMap(({ title, checks: members }) => [
      paint.bold(title),
      ...bySubject(members).flatMap((about) => subjectLines(about, subjectWidth, paint, width)),
      '',
    ]),
    ...verdict(checks, paint, width),
  ];
}

interface Group {
  readonly title: string;
  readonly checks: readonly Check[];
}

/** By host and instance; what is of a host alone goes with its instance where there is only one. Temporal comes last. */
function grouped(checks: readonly Check[]): Group[] {
  const places = new Map<string, Check[]>();
  for (const check of checks) {
    const there = checks.filter(({ host }) => host === check.host);
    const instances = [...new Set(there.flatMap(({ instance }) => instance ?? []))];
    const instance = check.instance ?? (instances.length === 1 ? instances[0] : undefined);
    const title = titleOf(check.host, instance);
    places.set(title, [...(places.get(title) ?? []), check]);
  }
  const all = [...places].map(([title, members]) => ({ title, checks: members }));
  // What is read here belongs to this machine, after the hosts that it is about.
  const rank = ({ checks: members }: Group) => {
    const [first] = members;
    if (first?.host === 'temporal') return 2;
    return first?.host === 'local' && !members.some(({ name }) => name === 'host') ? 1 : 0;
  };
  return all.sort((one, other) => rank(one) - rank(other));
}

function titleOf(host: string, instance: string | undefined): string {
  if (host === 'temporal') return 'Temporal';
  const place = host === 'local' ? 'this machine' : host;
  if (instance !== undefined) return `${instance} on ${place}`;
  return place === host ? host : 'This machine';
}

function bySubject(checks: readonly Check[]): Check[][] {
  const subjects = new Map<string, Check[]>();
  for (const check of checks) subjects.set(check.subject, [...(subjects.get(check.subject) ?? []), check]);
  return [...subjects.values()];
}

/** Of several checks of one subject, the one that says most when all is well. */
const telling = ['secrets-proof', 'media-files'];

function subjectLines(about: readonly Check[], subjectWidth: number, paint: Paint, width: number): string[] {
  const findings = about.filter(({ ok }) => !ok);
  if (findings.length === 0) {
    const shown = about.find(({ name }) => telling.includes(name)) ?? about[0];
    return shown === undefined ? [] : lines('ok', shown, subjectWidth, paint, width);
  }
  return findings.flatMap((finding) => lines(words[finding.severity], finding, subjectWidth, paint, width));
}

const words = { ok: 'ok', warning: 'warning', bad: 'BAD' } as const;
const wordWidth = 'warning'.length;

function lines(word: string, check: Check, subjectWidth: number, paint: Paint, width: number): string[] {
  const indent = 2 + wordWidth + 2 + subjectWidth + 2;
  const { subject, detail, fix, file, severity } = check;
  const colour = { ok: paint.good, warning: paint.warn, bad: paint.bad }[severity];
  const [head = '', ...more] = wrap(plainText(detail), width - indent);
  const text = [
    `  ${colour(word.padEnd(wordWidth))}  ${subject.padEnd(subjectWidth)}  ${head}`.trimEnd(),
    ...more.map((line) => ' '.repeat(indent) + line),
  ];
  if (fix !== undefined) {
    const [first = '', ...others] = wrap(plainText(fix), width - indent - 2);
    text.push(`${' '.repeat(indent)}→ ${paint.bold(first)}`);
    text.push(...others.map((line) => `${' '.repeat(indent + 2)}${paint.bold(line)}`));
  }
  // To be copied: neither wrapped nor indented.
  if (file !== undefined) text.push('', ...plainText(file.text).trimEnd().split('\n'), '');
  return text;
}

function verdict(checks: readonly Check[], paint: Paint, width: number): string[] {
  const count = (severity: Check['severity']) => checks.filter((check) => check.severity === severity).length;
  const warnings = count('warning');
  const bad = count('bad');
  const also = warnings === 0 ? '' : ` ${formatCount(warnings, 'warning')} besides.`;
  const say = (line: string) => wrap(line, width);
  switch (exitCodeOfChecks(checks)) {
    case 0:
      return say(warnings === 0 ? 'All is well.' : `A backup can run. ${formatCount(warnings, 'warning')}.`);
    case 7:
      return say(`Only Temporal, or its worker, is missing.${also}`);
    case 3:
      return say(
        `${formatCount(bad, 'finding')} that ${bad === 1 ? 'stands' : 'stand'} in the way of a backup, or of its restore.${also}`,
      ).map((line) => paint.bad(line));
  }
}
