import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadConfiguration } from '../../../src/config/load.js';
import { load, problems } from './parsed.js';

/** A file that is no configuration at all: one line says so, and where. */

const smallest = `instances:
  example.social:
    host: local
    mastodon: { root: /home/mastodon/live }
offsites:
  vault: { kind: restic, repository: "sftp:backup@vault:/srv/restic", passwordFile: vault.password }
`;

test.each([
  [
    'instances:\n  a: [\n',
    '3:1 this is not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
  ],
  ['state: /a\nstate: /b\n', '2:1 found the key "state" again; expected each key once'],
  ['instances:\n\ta:\n', '2:1 found a tab; expected spaces: YAML is not indented with tabs'],
  [
    'instances:\n  host:local\n  a: b\n',
    '2:3 found "host:local"; expected a key and a value, with a colon and a space between them',
  ],
  ['state: /a\n---\nstate: /b\n', '2:1 found a second document (---); expected one'],
  [
    'state: !secret x\n',
    '1:8 found the tag !secret; expected a plain value (with quotes when it begins with !)',
  ],
  [
    'state: *there\n',
    '1:8 found a reference to &there, which is nowhere before it; expected a value (with quotes when it begins with *)',
  ],
  ['- a\n', '1:1 found a list; expected keys and values: instances and offsites'],
  ['hello\n', '1:1 found a single value; expected keys and values: instances and offsites'],
  ['', '1:1 the file is empty; expected instances and offsites'],
  ['# nothing but a comment\n', '1:1 the file is empty; expected instances and offsites'],
])('YAML that cannot be read says where, on one line: %j', (text, expected) => {
  expect(problems(text)).toEqual([expected]);
});

test('what unfolds into more than memory holds is refused at once', () => {
  const bomb = Array.from(
    { length: 12 },
    (_, at) =>
      `a${String(at)}: &a${String(at)} [${Array(10)
        .fill(at === 0 ? 'x' : `*a${String(at - 1)}`)
        .join()}]`,
  );
  expect(problems(bomb.join('\n'))).toEqual([
    '1:1 it has more references (*name) than a configuration can need',
  ]);
  expect(problems('['.repeat(20_000))).toEqual([
    expect.stringMatching(/^1:\d+ it is nested more deeply than a configuration can be$/),
  ]);
});

test.each([
  ['a byte order mark', `\uFEFF${smallest}`],
  ["another system's line ends", smallest.replaceAll('\n', '\r\n')],
])('%s changes nothing', (_, text) => {
  expect(load(text)).toEqual(load(smallest));
  expect(problems(text.replace('host: local', 'hots: local'))).toEqual([
    '3:5 instances.example.social.hots: unknown key "hots"; did you mean host?',
  ]);
});

describe('the file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-config-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  test('is the one given, before the one of PERMAFROST_CONFIG', async () => {
    const [given, named] = [join(folder, 'given.yaml'), join(folder, 'named.yaml')];
    await Promise.all([given, named].map((path) => writeFile(path, smallest)));
    const env = { PERMAFROST_CONFIG: named };
    expect((await loadConfiguration({ file: given, env })).file).toBe(given);
    expect((await loadConfiguration({ env })).file).toBe(named);
  });

  /** What is in the way, and what is said of it. */
  test.each<[string, RegExp, (file: string) => unknown]>([
    ['is absent', /is not there/, () => undefined],
    ['is a folder', /is a folder/, (file) => mkdir(file)],
    ['has 10 MB', /has 10 MB: that is another file/, (file) => writeFile(file, '#'.repeat(10_000_000))],
    ['is UTF-16', /is not text in UTF-8/, (file) => writeFile(file, smallest, 'utf16le')],
    ['is no text', /is not text in UTF-8/, (file) => writeFile(file, Buffer.from([0, 255, 1]))],
    ['is a pipe', /is not a file/, (file) => execFileSync('mkfifo', [file])],
  ])('that %s is told by its name', async (_, reason, make) => {
    const file = join(folder, 'other.yaml');
    await make(file);
    const failure: unknown = await loadConfiguration({ file }).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      type: 'ConfigInvalid',
      message: expect.stringMatching(reason) as string,
    });
    expect(failure).toHaveProperty('message', expect.stringContaining(file));
    expect(failure).toHaveProperty('next', expect.stringContaining('--config FILE'));
  });

  test('that may not be read says so', async () => {
    const file = join(folder, 'closed.yaml');
    await writeFile(file, smallest, { mode: 0 });
    const root = process.geteuid?.() === 0; // who reads everything
    if (root) process.seteuid?.(65_534);
    try {
      await expect(loadConfiguration({ file })).rejects.toMatchObject({
        type: 'ConfigInvalid',
        message: `The configuration ${file} may not be read by this user.`,
      });
    } finally {
      if (root) process.seteuid?.(0);
    }
  });
});
