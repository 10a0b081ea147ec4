import { stringify } from 'yaml';
import type { NeededKey } from '../../src/mastodon/look.js';
import { wrap } from '../../src/terminal/format.js';

/** What a new configuration says. No secrets: names of files. */
export interface ConfigurationDraft {
  /** Comments at the head of the file, a paragraph each. */
  readonly head: readonly string[];
  readonly instances: readonly {
    readonly domain: string;
    /** What was found, a line each. */
    readonly notes: readonly string[];
    readonly host: 'local' | Readonly<Record<string, unknown>>;
    readonly root: string;
    readonly keys: readonly NeededKey[];
  }[];
  readonly offsites: readonly {
    readonly name: string;
    readonly notes: readonly string[];
    /** `kind`, `repository`, `passwordFile`, … in the order in which they are written. */
    readonly keys: Readonly<Record<string, string>>;
  }[];
  /** Where it is not the default. */
  readonly state?: string;
}

/** Longer comments are broken; notes keep their columns. */
const commentWidth = 100;

/** The text of a configuration with comments: what `permafrost init` writes. `parseConfiguration` reads it. Pure. */
export function writeConfiguration({ head, instances, offsites, state }: ConfigurationDraft): string {
  const lines = [
    ...head.flatMap((paragraph) => comment(paragraph, 0)),
    '',
    'instances:',
    ...instances.flatMap((instance, index) => [
      ...(index === 0 ? [] : ['']),
      ...instance.notes.map((note) => `  # ${oneLine(note)}`),
      `  ${yaml(instance.domain)}:`,
      `    host: ${yaml(instance.host)}`,
      '    mastodon:',
      `      root: ${yaml(instance.root)}`,
      ...sectionLines(instance.keys, 'mastodon'),
      ...otherSections(instance.keys),
    ]),
    '',
    'offsites:',
    ...offsites.flatMap(({ name, notes, keys }, index) => [
      ...(index === 0 ? [] : ['']),
      ...notes.flatMap((note) => comment(note, 2)),
      `  ${yaml(name)}:`,
      ...Object.entries(keys).map(([key, value]) => `    ${key}: ${yaml(value)}`),
    ]),
    ...(state === undefined ? [] : ['', `state: ${yaml(state)}`]),
  ];
  return `${lines.join('\n')}\n`;
}

function otherSections(keys: readonly NeededKey[]): string[] {
  const sections = [...new Set(keys.map(({ path }) => path[0] ?? ''))].filter((name) => name !== 'mastodon');
  return sections.flatMap((section) => [`    ${section}:`, ...sectionLines(keys, section)]);
}

function sectionLines(keys: readonly NeededKey[], section: string): string[] {
  return keys
    .filter(({ path }) => path[0] === section)
    .flatMap(({ path, value, why, toSay }) => [
      ...comment(why, 6),
      ...keyLines(path.slice(1).join('.'), value).map((line) => `      ${toSay === true ? '# ' : ''}${line}`),
    ]);
}

function keyLines(key: string, value: unknown): string[] {
  const whole = `${key}: ${yaml(value)}`;
  if (whole.length <= commentWidth || typeof value !== 'object' || value === null || Array.isArray(value))
    return [whole];
  return [`${key}:`, ...Object.entries(value).map(([name, part]) => `  ${name}: ${yaml(part)}`)];
}

/** On one line, with quotes where YAML wants them. */
function yaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, collectionStyle: 'flow', flowCollectionPadding: true }).trim();
}

function comment(text: string, indent: number): string[] {
  if (text === '') return [];
  return wrap(oneLine(text), commentWidth - indent).map((line) => `${' '.repeat(indent)}# ${line}`);
}

/** A line break or another control character would end the comment. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ');
}
