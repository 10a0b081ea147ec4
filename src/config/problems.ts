import type { z } from 'zod';
import { editDistance, nearest } from './values.js';

/** One thing that is wrong in a configuration. */
export interface Problem {
  /** Keys and indexes from the top. */
  readonly path: readonly (string | number)[];
  /** Whether it is the key itself that is wrong, not what it holds. */
  readonly atKey: boolean;
  readonly text: string;
  /** Of an unknown key, the one that was probably meant. */
  readonly meant?: string;
  /** Nothing is there. */
  readonly missing?: boolean;
}

type Issue = z.core.$ZodIssue;

/** Says what is wrong, one problem for each thing, in the words of operators. `input` is what was checked. */
export function problemsOf(issues: readonly Issue[], input: unknown): Problem[] {
  return oneEach(issues.flatMap((issue) => describe(issue, [], input)));
}

/** One line for each mistake: a misspelt key is not missing as well, and a value that is of no use is so once. */
function oneEach(problems: readonly Problem[]): Problem[] {
  const place = (path: readonly (string | number)[]) => JSON.stringify(path);
  const meant = new Set(
    problems.flatMap(({ path, meant }) =>
      meant === undefined ? [] : [place([...path.slice(0, -1), meant])],
    ),
  );
  const told = new Set<string>();
  return problems.filter(({ path, atKey, missing }) => {
    const here = `${String(atKey)} ${place(path)}`;
    if (told.has(here) || (missing === true && meant.has(place(path)))) return false;
    told.add(here);
    return true;
  });
}

function describe(issue: Issue, above: readonly PropertyKey[], input: unknown): Problem[] {
  const path = [...above, ...issue.path].map((key) => (typeof key === 'symbol' ? String(key) : key));
  const found = at(input, path);
  const wrong = (expected: string, suggestion: string | null = null): Problem[] => [
    problemAt(path, found, expected, suggestion),
  ];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey([...path, key], key, issue.message.split(', ')));
    case 'invalid_key': {
      const key = String(path.at(-1));
      return [
        { path, atKey: true, text: `found ${quoted(key)}; ${issue.issues[0]?.message ?? issue.message}` },
      ];
    }
    case 'invalid_value': {
      const words = issue.values.map(String);
      return wrong(`expected ${oneOf(words)}`, typeof found === 'string' ? nearest(found, words) : null);
    }
    case 'invalid_union':
      return describeUnion(issue, path, found, input);
    case 'invalid_type':
      return wrong(
        issue.message.startsWith('expected')
          ? issue.message
          : `expected ${kinds[issue.expected] ?? issue.expected}`,
      );
    default: {
      const words: unknown = issue.code === 'custom' ? issue.params?.['words'] : undefined;
      return wrong(
        issue.message,
        typeof found === 'string' ? nearest(found, (words ?? []) as string[]) : null,
      );
    }
  }
}

/** Of a union's options, the one that a map was meant to be is described key by key. */
function describeUnion(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: readonly (string | number)[],
  found: unknown,
  input: unknown,
): Problem[] {
  const { options, errors } = issue as { options?: unknown[]; errors: Issue[][] };
  if (options && options.length > 0) {
    const words = options.map(String);
    const misspelt = found === undefined ? misspeltKey(path, input) : undefined;
    if (misspelt !== undefined) return [misspelt];
    const suggestion = typeof found === 'string' ? nearest(found, words) : null;
    return [problemAt(path, found, `expected ${oneOf(words)}`, suggestion)];
  }
  const meant = errors.find((option) =>
    option.every(
      (inner) => inner.path.length > 0 || inner.code === 'unrecognized_keys' || inner.code === 'custom',
    ),
  );
  if (meant && typeof found === 'object' && found !== null) {
    return meant.flatMap((inner) => describe(inner, path, input));
  }
  const words = errors
    .flat()
    .flatMap((inner) => (inner.code === 'invalid_value' ? inner.values.map(String) : []));
  const suggestion = typeof found === 'string' ? nearest(found, words) : null;
  return [problemAt(path, found, issue.message, suggestion)];
}

/** Without the key that says which of several forms is meant, zod looks at no other key: one that is almost it. */
function misspeltKey(path: readonly (string | number)[], input: unknown): Problem | undefined {
  const above = path.slice(0, -1);
  const map = at(input, above);
  if (typeof map !== 'object' || map === null) return undefined;
  const wanted = String(path.at(-1));
  const key = nearest(wanted, Object.keys(map));
  return key === null ? undefined : unknownKey([...above, key], key, [wanted]);
}

function problemAt(
  path: readonly (string | number)[],
  found: unknown,
  expected: string,
  suggestion: string | null,
): Problem {
  return {
    path,
    atKey: false,
    text: foundText(path, found, expected) + didYouMean(suggestion),
    ...(found === undefined ? { missing: true } : {}),
  };
}

const kinds: Record<string, string> = {
  object: 'keys and values',
  record: 'keys and values',
  array: 'a list',
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

const secretName = /pass|secret|token|credential|api_?key|private_?key|age_?(?:key|identity)/i;

/** A secret under a key of its own is never shown, and its place is a file. */
function unknownKey(path: readonly (string | number)[], key: string, known: readonly string[]): Problem {
  const unknown = `unknown key ${quoted(key)}`;
  const suggestion = nearest(key, known);
  const problem = (text: string): Problem => ({
    ...{ path, atKey: true, text: unknown + text },
    ...(suggestion === null ? {} : { meant: suggestion }),
  });
  // `passwordFiel` is a slip, `password` is not.
  const slip = suggestion !== null && editDistance(key.toLowerCase(), suggestion.toLowerCase()) <= 2;
  if (!slip && secretName.test(key) && !/file$/i.test(key)) {
    const begin = key.replace(/_/g, '').toLowerCase();
    const holder = known.find((name) => name.endsWith('File') && name.toLowerCase().startsWith(begin));
    const remedy = holder
      ? `write it to a file (chmod 600) and name the file with ${holder}`
      : 'keep it in a file or an environment variable';
    return problem(`: a secret is never written here; ${remedy}`);
  }
  return problem(suggestion === null ? `; expected ${oneOf(known)}` : didYouMean(suggestion));
}

function foundText(path: readonly (string | number)[], found: unknown, expected: string): string {
  if (found === undefined) return `missing; ${expected}`;
  return `found ${shown(String(path.at(-1) ?? ''), found)}; ${expected}`;
}

/** What may be shown of a value: nothing that may be a secret, and nothing long. */
function shown(key: string, value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'no keys' : 'keys and values';
  if (value === '' || typeof value === 'boolean') return JSON.stringify(value);
  const text = String(value);
  if (
    secretName.test(key) ||
    /^(?:repository|remote|target|identityFile)$/.test(key) ||
    /[:=].*@|-----|AGE-/.test(text)
  ) {
    return 'a value that is not shown (it may be secret)';
  }
  return typeof value === 'string' ? quoted(text.length > 60 ? `${text.slice(0, 60)}…` : text) : text;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

function oneOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`;
}

function didYouMean(suggestion: string | null): string {
  return suggestion === null ? '' : `; did you mean ${suggestion}?`;
}

function at(input: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, key)
        ? (value as Record<string | number, unknown>)[key]
        : undefined,
    input,
  );
}
