import { z } from 'zod';
import { isTimezone, nearest, parseDuration, parseFraction, parseSize, parseTimeOfDay } from './values.js';

/**
 * The kinds of values that the configuration is made of. An issue's message says what was expected; `problems.ts` adds
 * where, what was found, and the nearest right word.
 */

/** The message of an `unrecognized_keys` issue is the list of the keys that this object knows. */
export function strict<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const keys = Object.keys(shape);
  return z.strictObject(shape, {
    error: ({ code }) => {
      if (code === 'unrecognized_keys') return keys.join(', ');
      return code === 'invalid_type' ? `expected keys and values, such as ${keys[0] ?? ''}: …` : undefined;
    },
  });
}

export function list<Item extends z.ZodType>(item: Item, expected: string) {
  return z.array(item, { error: `expected ${expected}` });
}

/**
 * A string that `read` understands (it returns null for what it does not).
 *
 * @param words of which the nearest is offered for one that it does not understand.
 */
export function text<Value>(
  read: (text: string) => Value | null,
  expected: string,
  { pattern, words }: { pattern?: RegExp; words?: () => readonly string[] } = {},
) {
  const message = `expected ${expected}`;
  return z
    .string({ error: message })
    .meta(pattern ? { pattern: pattern.source } : {})
    .transform((input, context): Value => {
      const value = read(input);
      if (value !== null) return value;
      context.addIssue({ code: 'custom', message, params: { words: words?.() ?? [] } });
      return z.NEVER;
    });
}

/** A string that is not empty. */
export function word(expected: string) {
  return matching(/./, expected);
}

function matching(pattern: RegExp, expected: string) {
  return text((input) => (pattern.test(input) ? input : null), expected, { pattern });
}

export function duration(example: string, limits: { min?: string; max?: string } = {}) {
  const { min, max } = limits;
  const range = [min && `at least ${min}`, max && `at most ${max}`].filter(Boolean).join(', ');
  return text(
    (input) => {
      const durationMs = parseDuration(input);
      if (durationMs === null) return null;
      if (durationMs < (parseDuration(min ?? '0s') ?? 0)) return null;
      return durationMs > (parseDuration(max ?? '') ?? Infinity) ? null : durationMs;
    },
    `a duration such as ${example}${range === '' ? '' : ` (${range})`}`,
    { pattern: /^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$/ },
  );
}

export function size(example: string) {
  return text(
    (input) => {
      const bytes = parseSize(input);
      return bytes === null || bytes < 1024 ? null : bytes;
    },
    `a size such as ${example} (at least 1K)`,
    { pattern: /^\d+(\.\d+)?[KMGTP]?(i?B)?$/ },
  );
}

export const fraction = text(parseFraction, 'all, none or a percentage such as 5%', {
  pattern: /^(all|none|\d{1,3}(\.\d{1,4})?%)$/,
  words: () => ['all', 'none'],
});

export const timeOfDay = text(parseTimeOfDay, 'a time such as "03:17"', {
  pattern: /^([01]\d|2[0-3]):[0-5]\d$/,
});

export function integer(min: number, max: number) {
  const message = `expected a whole number from ${String(min)} to ${String(max)}`;
  return z.int({ error: message }).min(min, { error: message }).max(max, { error: message });
}

export const port = integer(1, 65535);

export function flag() {
  return z.boolean({ error: 'expected true or false' });
}

const domainPattern =
  /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

export const domain = z.string().regex(domainPattern, {
  error:
    'expected a domain as LOCAL_DOMAIN has it: lower case letters, digits, hyphens and dots (xn--… for other letters)',
});

const offsiteNameExpected = 'expected a name of at most 40 lower case letters, digits and hyphens';

export const offsiteName = z
  .string({ error: offsiteNameExpected })
  .regex(/^[a-z0-9-]{1,40}$/, { error: offsiteNameExpected });

/** Something that is a secret itself where the name of a file belongs. */
const looksSecret = /-----BEGIN|AGE-SECRET-KEY-|\n/;

/** A file on the machine where the worker runs: `~/` is the home folder, a relative path is relative to this file. */
export function file(what: string) {
  return text(
    (input) => (input !== '' && !looksSecret.test(input) ? input : null),
    `the path of the file that holds ${what}, not its content`,
  );
}

export const folder = text(
  (input) => (input !== '' && !looksSecret.test(input) ? input : null),
  'the path of a folder',
);

function readPath(input: string): string | null {
  return input !== '' && !/[\0\n]/.test(input) ? input.replace(/(?<=.)\/+$/, '') : null;
}

/** A path on the instance's host. */
export function hostPath(what: string) {
  return text(readPath, `the path of ${what}`);
}

/** The same, or `none`: what is written almost so is not taken for a folder's name. */
export function hostPathOrNone(what: string) {
  const words = () => ['none'];
  return text(
    (input) => (input !== 'none' && nearest(input, words()) !== null ? null : readPath(input)),
    `the path of ${what}, or none`,
    { words },
  );
}

export const health = text((input) => {
  const url = URL.canParse(input) ? new URL(input) : null;
  return url && /^https?:$/.test(url.protocol) && url.username === '' ? input : null;
}, 'an http:// or https:// URL');

export interface SshAddress {
  readonly user: string;
  readonly address: string;
}

export const sshAddress = text(
  (input): SshAddress | null => {
    const match = /^([A-Za-z_][\w.-]*)@(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([A-Za-z0-9][\w.:-]*))$/.exec(input);
    const address = match?.[2] ?? match?.[3];
    if (match?.[1] === undefined || address === undefined || /^[^:]+:\d+$/.test(address)) return null;
    return { user: match[1], address };
  },
  'user@address (the port has a key of its own)',
  { pattern: /^[A-Za-z_][\w.-]*@\S+$/ },
);

const argumentExpected = 'expected a word of the command that is not empty';
const argument = z.string({ error: argumentExpected }).min(1, { error: argumentExpected });
const argvExpected = 'expected an argv such as [systemctl, start, mastodon-web], or a list of them';

export const argv = z.array(argument, { error: 'expected an argv such as [bundle, exec, puma]' }).min(1, {
  error: 'expected an argv such as [bundle, exec, puma]',
});

/** One argv, or a list of them: always read as a list of them. */
export const commands = z
  .array(
    z.union([argument, z.array(argument, { error: argumentExpected }).min(1, { error: argumentExpected })], {
      error: argumentExpected,
    }),
    { error: argvExpected },
  )
  .transform((input, context): string[][] => {
    const words = input.filter((entry): entry is string => typeof entry === 'string');
    if (words.length === input.length && words.length > 0) return [words];
    const lists = input.filter((entry): entry is string[] => typeof entry !== 'string');
    if (lists.length === input.length && lists.length > 0) return lists;
    context.addIssue({ code: 'custom', message: argvExpected });
    return z.NEVER;
  });

export const commandName = matching(
  /^[A-Za-z0-9][A-Za-z0-9@._-]{0,63}$/,
  'a name of letters, digits and @ . _ - (at most 64)',
);

export const systemdUnit = matching(
  /^[A-Za-z0-9][A-Za-z0-9:_.@\\-]{0,254}$/,
  'the name of a systemd unit such as mastodon-web',
);

export const timezone = text(
  (input) => (isTimezone(input) ? input : null),
  'a timezone such as UTC or Europe/Berlin',
  { words: () => ['UTC', ...Intl.supportedValuesOf('timeZone')] },
);

export const userName = matching(/^[a-z_][a-z0-9_.-]{0,31}$/i, 'the name of a user of that host');

export const urlPath = matching(/^\/[^\s?#]*$/, 'the path of a URL, such as /health');

const valueExpected = 'expected text (numbers and true or false in quotes)';

/** Environment variables by name. */
export const variables = z.record(
  z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, {
    error: 'expected names of letters, digits and underscores',
  }),
  z.string({ error: valueExpected }).regex(/^[^\0\n]*$/, { error: `${valueExpected}, on one line` }),
  { error: 'expected names and values, such as { MALLOC_ARENA_MAX: "2" }' },
);
