import { describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { allowanceNames } from '../../../src/backups/allowances.js';
import { configurationJsonSchema } from '../../../src/config/json-schema.js';
import { parseConfiguration } from '../../../src/config/load.js';
import { Failure } from '../../../src/errors.js';

/** Every key, every kind of mistake: one line, at the right place, in an operator's words. */

const whole: unknown = parse(`
instances:
  example.social:
    host: { ssh: me@10.0.0.5, port: 2222, identityFile: id, passphraseFile: pass, knownHosts: known, sudo: true, folder: /var/p }
    mastodon:
      root: /home/mastodon/live
      envFile: /home/mastodon/live/.env.production
      media: none
      mediaCache: include
      redisDump: /var/lib/redis/dump.rdb
      services: { kind: systemd, units: [mastodon-web] }
      health: http://127.0.0.1:3000/health
      extraFiles: [/etc/nginx/sites-available/mastodon]
    database: { format: custom, jobs: 4, lockWaitTimeout: 30s, delta: { fullEvery: 14d }, host: /run/postgresql, port: 5433 }
    quiesce: { mode: full, budget: 5m, lease: 1h }
    offsites: [cloud]
    allow: [other-domain]
    verify: { media: { new: all, old: 5% } }
    retention: { last: 1, daily: 2, weekly: 3, monthly: 4, yearly: 5 }
    schedule:
      backup: { at: "04:05", timezone: Europe/Berlin, catchUp: 1h, jitter: 0s }
      drill: { day: 2, at: "05:00", timezone: UTC, catchUp: 1h, jitter: 1m }
    drill:
      host: local
      depth: application
      rotateOffsites: false
      folder: /srv/scratch
      application: { command: [puma], directory: code, environment: { A: b }, user: me, health: /up, timeout: 90s }
  other.example:
    host: local
    mastodon:
      root: live
      services: { kind: commands, start: [[up, a]], stop: [[down, a]], status: [[is-up, a]], names: [web] }
offsites:
  cloud: { kind: rclone, remote: "cloudcrypt:mastodon", configFile: rclone.conf, configPasswordFile: pw, encrypted: true, bandwidth: 5M }
  vault: { kind: restic, repository: backups, passwordFile: pw, identityFile: id, knownHosts: known, environmentFile: b2.env }
  box: { kind: rsync, target: "user@box:/srv", port: 23, identityFile: id, knownHosts: known, recipients: [age1xyz], ageIdentityFile: age, encrypted: true }
temporal: { address: "temporal.internal:7233", namespace: n, apiKeyFile: k, tls: { serverName: s, caFile: ca, certFile: c, keyFile: k }, authenticatesClients: true }
reports: { port: 8243, url: "https://reports.example" }
trustedKeys: [other.pub]
state: ../state
`);
/** Keys that exclude others: tried in a second configuration. */
const embedded: unknown = {
  ...(whole as object),
  temporal: { embedded: { port: 7300, uiPort: 8300 } },
};
const profile: unknown = { ...(whole as object), temporal: { profile: 'prod', file: 'temporal.toml' } };

type Path = readonly (string | number)[];
type Tree = Record<string | number, unknown>;

function* pathsOf(value: unknown, above: Path = []): Generator<Path> {
  if (typeof value !== 'object' || value === null) return;
  for (const name of Object.keys(value)) {
    const path = [...above, Array.isArray(value) ? Number(name) : name];
    yield path;
    yield* pathsOf((value as Tree)[name], path);
  }
}

function at(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Tree)[key], value);
}

/** The configuration with something done to the map or list that holds what is at `path`. */
function changed(base: unknown, path: Path, change: (holder: Tree, key: string | number) => void): string {
  const copy = structuredClone(base);
  change(at(copy, path.slice(0, -1)) as Tree, path.at(-1) ?? '');
  return stringify(copy, { lineWidth: 0 });
}

/** The same with another key in this place, or none. */
function renamed(base: unknown, path: Path, to: string | null): string {
  const copy = structuredClone(base);
  const above = at(copy, path.slice(0, -1)) as Tree;
  const left = Object.entries(above).flatMap(([key, value]): [string, unknown][] =>
    key !== path.at(-1) ? [[key, value]] : to === null ? [] : [[to, value]],
  );
  if (path.length === 1) return stringify(Object.fromEntries(left), { lineWidth: 0 });
  (at(copy, path.slice(0, -2)) as Tree)[path.at(-2) ?? ''] = Object.fromEntries(left);
  return stringify(copy, { lineWidth: 0 });
}

function linesFor(text: string): string[] {
  try {
    parseConfiguration(text, '/etc/permafrost/permafrost.yaml', {});
  } catch (error) {
    if (!(error instanceof Failure) || error.type !== 'ConfigInvalid') throw error;
    return error.message.split('\n').slice(1);
  }
  return [];
}

/** Words that only a programmer of this program understands. */
const jargon =
  /invalid|zod|too (?:small|big)|undefined|NaN|\[object|expected (?:string|array|object|record|int)\b/i;

/** The one line of a configuration with one mistake: its place in the text, its path, and what it says. */
function lineFor(text: string): { line: number; path: string; says: string } {
  const lines = linesFor(text);
  expect(lines).toHaveLength(1);
  const [, line, path, says] = /^ {2}(\d+):\d+ (\S+): (.+)$/.exec(lines[0] ?? '') ?? [];
  expect(says, lines[0]).toMatch(
    /^(?:found .+; expected .+|missing; expected .+|unknown key ".+".+|there is no .+; .+)$/,
  );
  expect(lines[0]).not.toMatch(jargon);
  return { line: Number(line), path: path ?? '', says: says ?? '' };
}

const every = [whole, ...[embedded, profile].map((base) => ({ base }))].flatMap((entry) => {
  const base = (entry as { base?: unknown }).base ?? entry;
  const paths = [...pathsOf(base)];
  return (
    base === whole ? paths : paths.filter(([top, next]) => top === 'temporal' && next !== undefined)
  ).map((path) => ({ name: path.join('.'), base, path }));
});
/** What an operator names freely, and so cannot be misspelt. */
const named = (path: Path) =>
  path.at(-2) === 'environment' || (path.length === 2 && (path[0] === 'instances' || path[0] === 'offsites'));
const keys = every.filter(({ path }) => typeof path.at(-1) === 'string' && !named(path));

/** Two letters in the wrong order, or one too many. */
function misspelt(word: string): string {
  const swapped = word.slice(0, -2) + (word.at(-1) ?? '') + (word.at(-2) ?? '');
  return swapped === word || word.length < 3 ? `${word}x` : swapped;
}

test('every key of the schema is tried', () => {
  const tried = new Set(keys.map(({ path }) => path.at(-1)));
  const known = new Set<string>();
  (function collect(node: unknown): void {
    if (typeof node !== 'object' || node === null) return;
    const { properties } = node as { properties?: object };
    for (const key of Object.keys(properties ?? {})) known.add(key);
    Object.values(node).forEach(collect);
  })(configurationJsonSchema());
  expect(known.size).toBeGreaterThan(60);
  expect([...known].filter((key) => !tried.has(key))).toEqual([]);
});

test.each([whole, embedded, profile])('what the mistakes are made in is right', (base) => {
  expect(linesFor(stringify(base))).toEqual([]);
});

describe('a value of the wrong kind', () => {
  test.each(every)('$name', ({ base, path }) => {
    const right = at(base, path);
    // A list of words is a command as well as a list of lists; `tls: true` is short for its defaults.
    const alsoRight = /\.(?:start|stop|status)\.\d$/.test(path.join('.'))
      ? 'nonsense'
      : path.at(-1) === 'tls'
        ? true
        : undefined;
    const all = typeof right === 'object' ? [7, 'nonsense', true, null] : [[], null, ['a', 'b']];
    const wrongs = all.filter((wrong) => wrong !== alsoRight);
    for (const wrong of wrongs) {
      const { path: place, says } = lineFor(changed(base, path, (holder, key) => (holder[key] = wrong)));
      expect(`${path.join('.')}.`).toContain(`${place}.`); // at the key, or at the list that it is in
      expect(says).toMatch(/^found .+; expected /);
    }
  });
});

describe('a misspelt key', () => {
  test.each(keys)('$name', ({ base, path }) => {
    const key = String(path.at(-1));
    const text = renamed(base, path, misspelt(key));
    const lines = linesFor(text).filter((line) => !line.includes('expected only together with'));
    const line = lines.find((one) => one.includes('unknown key'));
    expect(line).toMatch(new RegExp(` unknown key "${misspelt(key)}"; did you mean ${key}\\?$`));
    expect(text.split('\n')[Number(/\d+/.exec(line ?? '')?.[0]) - 1]).toContain(misspelt(key));
    // Some keys are missed by others; the key itself is not told twice.
    expect(lines.filter((one) => one.includes(` ${path.join('.')}: missing`))).toEqual([]);
  });
});

test('a drill of the application without one says what to write', () => {
  const path = ['instances', 'example.social', 'drill', 'application'];
  const { path: place, says } = lineFor(renamed(whole, path, null));
  expect(place).toBe('instances.example.social.drill.depth');
  expect(says).toMatch(/^found "application"; expected a key application beside it, such as \{ command: /);
});

describe('a needed key that is missing', () => {
  const needed = [
    ...['instances', 'offsites', 'instances.other.example.host', 'instances.other.example.mastodon'],
    ...['instances.other.example.mastodon.root', 'instances.example.social.host.ssh'],
    ...['kind', 'start', 'stop', 'status'].map((key) => `instances.other.example.mastodon.services.${key}`),
    ...['command', 'directory'].map((key) => `instances.example.social.drill.application.${key}`),
    ...['kind', 'repository', 'passwordFile'].map((key) => `offsites.vault.${key}`),
    ...['kind', 'remote', 'configFile'].map((key) => `offsites.cloud.${key}`),
    ...['kind', 'target', 'identityFile', 'knownHosts'].map((key) => `offsites.box.${key}`),
  ];
  test.each(needed)('%s', (name) => {
    const path = every.find((entry) => entry.name === name)?.path ?? [];
    const { path: place, says } = lineFor(renamed(whole, path, null));
    expect(place).toBe(name);
    expect(says).toMatch(/^missing; expected /);
  });
});

describe('a misspelt value', () => {
  const choices: [string, string[]][] = [
    ['instances.other.example.host', ['local']],
    ['instances.example.social.mastodon.media', ['none']],
    ['instances.example.social.mastodon.mediaCache', ['exclude', 'include']],
    ['instances.example.social.mastodon.services.kind', ['systemd', 'commands']],
    ['instances.example.social.database.format', ['custom']],
    ['instances.example.social.quiesce.mode', ['brief', 'full', 'none']],
    ['instances.example.social.offsites.0', ['cloud', 'vault']],
    ['instances.example.social.allow.0', [...allowanceNames]],
    ['instances.example.social.verify.media.new', ['all', 'none']],
    ['instances.example.social.schedule.backup', ['none']],
    ['instances.example.social.schedule.drill', ['none']],
    ['instances.example.social.schedule.backup.timezone', ['Europe/Berlin', 'America/New_York']],
    ['instances.example.social.drill.depth', ['files', 'database', 'application']],
    ['offsites.vault.kind', ['restic', 'rclone', 'rsync']],
    ['temporal', ['embedded']],
  ];
  test.each(choices.flatMap(([name, words]) => words.map((word) => [name, word] as const)))(
    '%s: %s',
    (name, word) => {
      const path = every.find((entry) => entry.name === name)?.path ?? [];
      const { path: place, says } = lineFor(
        changed(whole, path, (holder, key) => (holder[key] = misspelt(word))),
      );
      expect(place).toBe(name);
      expect(says.endsWith(`; did you mean ${word}?`), says).toBe(true);
    },
  );
});
