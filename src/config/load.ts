import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { isMap, isNode, isPair, isScalar, isSeq, type Document } from 'yaml';
import { Failure } from '../errors.js';
import type { Configuration } from './configuration.js';
import { offsiteName } from './fields.js';
import { type Problem, problemsOf } from './problems.js';
import { position, readText, readYaml } from './read-yaml.js';
import { resolveConfiguration } from './resolve.js';
import { configurationSchema } from './schema.js';
import { nearest } from './values.js';

export interface LoadOptions {
  /** As given by `--config`. */
  readonly file?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Where the configuration is looked for when neither `--config` nor PERMAFROST_CONFIG names one. */
const usualPlaces = ['permafrost.yaml', '/etc/permafrost/permafrost.yaml'];

/**
 * The path of the configuration file: the given one, else PERMAFROST_CONFIG, else ./permafrost.yaml, else
 * /etc/permafrost/permafrost.yaml.
 *
 * @throws Failure `ConfigInvalid` when there is none.
 */
export function findConfiguration({ file, env = process.env }: LoadOptions = {}): string {
  const named = file ?? (env['PERMAFROST_CONFIG'] || undefined);
  if (named !== undefined) return resolve(named);
  const found = usualPlaces.map((place) => resolve(place)).find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new Failure('ConfigInvalid', `There is no configuration: looked for ${usualPlaces.join(' and ')}.`, {
    next: 'Write one (permafrost init), or name it with --config FILE or PERMAFROST_CONFIG.',
  });
}

/**
 * Finds, reads and checks the configuration.
 *
 * @throws Failure `ConfigInvalid` whose message names every problem on a line of its own.
 */
export async function loadConfiguration(options: LoadOptions = {}): Promise<Configuration> {
  const file = findConfiguration(options);
  return parseConfiguration(await readText(file), file, options.env);
}

/**
 * Checks the text of a configuration. Each problem is one line: `line:column dotted.path: found …; expected …`.
 *
 * @param file its absolute path: relative paths in it are relative to its folder.
 * @throws Failure `ConfigInvalid` with all problems at once.
 */
export function parseConfiguration(
  text: string,
  file: string,
  env: NodeJS.ProcessEnv = process.env,
): Configuration {
  const yaml = readYaml(text);
  if ('problems' in yaml) throw invalid(file, yaml.problems);
  const { document, lines, input } = yaml;
  const checked = configurationSchema.safeParse(input);
  const problems = [...problemsOf(checked.error?.issues ?? [], input), ...unknownOffsites(input)];
  if (checked.success && problems.length === 0) return resolveConfiguration(checked.data, file, env);
  const placed = problems
    .map((problem) => ({ problem, offset: offsetOf(document, problem) }))
    .sort((one, other) => one.offset - other.offset);
  throw invalid(
    file,
    placed.map(({ problem, offset }) => {
      const path = problem.path.join('.');
      return `${position(lines, offset)} ${path === '' ? '' : `${path}: `}${problem.text}`;
    }),
  );
}

function invalid(file: string, problems: readonly string[]): Failure {
  const count = problems.length === 1 ? 'one problem' : `${String(problems.length)} problems`;
  return new Failure(
    'ConfigInvalid',
    [`${file}: ${count}`, ...problems.map((line) => `  ${line}`)].join('\n'),
    {
      next: 'Correct the file; `permafrost config validate` checks it again.',
    },
  );
}

/** Where in the text a problem is: its key or value, else the nearest thing above it that is there. */
function offsetOf(document: Document, problem: Problem): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const [depth, key] of problem.path.entries()) {
    const last = depth === problem.path.length - 1;
    const pair = isMap(node)
      ? node.items.find((item) => isScalar(item.key) && item.key.value === key)
      : undefined;
    const next: unknown = isPair(pair)
      ? pair.value
      : isSeq(node) && typeof key === 'number'
        ? node.items[key]
        : undefined;
    const keyOffset = isPair(pair) && isScalar(pair.key) ? pair.key.range?.[0] : undefined;
    if (!isNode(next)) return keyOffset ?? offset;
    // What is below a key that is there, but not itself there, is reported at that key.
    offset =
      (last && !problem.atKey && isScalar(next) ? next.range?.[0] : undefined) ??
      keyOffset ??
      next.range?.[0] ??
      offset;
    node = next;
  }
  return offset;
}

/** Names of off-sites that no instance can use; looked up in what was written, so that other problems do not hide it. */
function unknownOffsites(input: unknown): Problem[] {
  const { instances, offsites } = record(input);
  const known = Object.keys(record(offsites));
  if (known.length === 0 || Array.isArray(offsites)) return []; // that itself is told
  return Object.entries(record(instances)).flatMap(([domain, instance]) => {
    const names = record(instance)['offsites'];
    if (!Array.isArray(names)) return [];
    return names.flatMap((name: unknown, index): Problem[] => {
      if (typeof name !== 'string' || known.includes(name) || !offsiteName.safeParse(name).success) return [];
      const suggestion = nearest(name, known);
      const remedy = suggestion === null ? 'expected a name under offsites' : `did you mean ${suggestion}?`;
      const path = ['instances', domain, 'offsites', index];
      return [{ path, atKey: false, text: `there is no off-site ${JSON.stringify(name)}; ${remedy}` }];
    });
  });
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
