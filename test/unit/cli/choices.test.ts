import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { backupCommand } from '../../../scripts/backup.js';
import { configCommand } from '../../../scripts/config.js';
import { offsiteCommand } from '../../../scripts/offsite.js';
import { permafrostCommand } from '../../../scripts/permafrost.js';
import { CapturedIo } from './captured-io.js';

/** Nothing listens there: whatever gets as far as Temporal ends with exit code 7. */
const nowhere = '127.0.0.1:1';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-cli-'));
  const instance = '{ host: local, mastodon: { root: /srv/mastodon }, offsites: [vault, cellar] }';
  const offsite = (name: string) =>
    `{ kind: restic, repository: ${folder}/${name}, passwordFile: ${folder}/password }`;
  const rest = `offsites: { vault: ${offsite('vault')}, cellar: ${offsite('cellar')} }\ntemporal: { address: "${nowhere}" }\nstate: ${folder}/state\n`;
  writeFileSync(join(folder, 'one.yaml'), `instances: { example.social: ${instance} }\n${rest}`);
  writeFileSync(
    join(folder, 'two.yaml'),
    `instances: { example.social: ${instance}, other.example: ${instance} }\n${rest}`,
  );
  writeFileSync(join(folder, 'bad.yaml'), 'instances: { example.social: { hots: local } }\n');
});

afterAll(() => rmSync(folder, { recursive: true }));

async function failing(file: string, ...args: string[]) {
  const io = new CapturedIo();
  const code = await io.run(backupCommand, ...args, '--json', '--config', join(folder, file));
  return { code, ...(io.json()['error'] as { type: string; message: string; next: string }) };
}

describe('a wrong word is answered before anything starts', () => {
  test.each([
    ['an instance', ['exmaple.social'], 'Did you mean example.social?'],
    ['a quiesce mode', ['--quiesce', 'breif'], 'Did you mean brief?'],
    ['a part', ['--only', 'secrets,data'], 'Did you mean database?'],
    ['an off-site', ['--offsite', 'vualt'], 'Did you mean vault?'],
    ['an allowance', ['--allow', 'smaler-database'], 'Did you mean smaller-database?'],
    ['no name at all', ['--only', ','], 'There are: database, secrets, media, redis.'],
    ['an option', ['--quiese', 'brief'], 'See: permafrost --help, or permafrost VERB --help'],
    ['an off-site like none', ['--offsite', 'zzzzzzzz'], 'There are: vault, cellar.'],
  ])('%s', async (_what, args, next) => {
    expect(await failing('one.yaml', ...args)).toMatchObject({ code: 2, type: 'ConfigInvalid', next });
  });

  test('which of several instances', async () => {
    expect(await failing('two.yaml')).toMatchObject({
      code: 2,
      next: 'Name one of them: example.social, other.example',
    });
  });
});

test(
  'the only instance need not be named; without Temporal the exit code is 7',
  { timeout: 30_000 },
  async () => {
    expect(await failing('one.yaml')).toMatchObject({ code: 7, type: 'TemporalUnreachable' });
  },
);

describe('a misspelt word', () => {
  const said = async (...args: string[]) => {
    const io = new CapturedIo({ PERMAFROST_CONFIG: join(folder, 'one.yaml') });
    expect(await io.run(permafrostCommand, ...args)).toBe(2);
    expect(io.stderr.text).toContain('Nothing was touched.');
    return io.stderr.text.replace(/\s+/g, ' ');
  };
  test.each([
    [['bakcup'], 'Did you mean backup?'],
    [['backup', '--dry-rnu'], 'Did you mean --dry-run?'],
    [['list', '--jsno'], 'Did you mean --json?'],
    [['config', 'validat'], 'Did you mean validate?'],
    [['schedule', 'aply'], 'Did you mean apply?'],
    [['show', 'lastest'], 'Did you mean latest?'],
    [['show', 'exmaple.social'], 'Did you mean example.social?'],
    [['status', 'exmaple.social'], 'Did you mean example.social?'],
    [['services', 'start', 'exmaple.social'], 'Did you mean example.social?'],
  ])('%j', async (args, meant) => {
    expect(await said(...args)).toContain(meant);
  });
});

describe('config', () => {
  test('validate says what is wrong and where', async () => {
    const io = new CapturedIo();
    expect(await io.run(configCommand, 'validate', '--config', join(folder, 'bad.yaml'))).toBe(2);
    expect(io.stderr.text).toMatch(/"hots"; did\s+you mean host/);
    expect(io.stderr.text).toContain('Nothing was touched.');
  });

  test('validate, by the environment', async () => {
    const io = new CapturedIo({ PERMAFROST_CONFIG: join(folder, 'two.yaml') });
    expect(await io.run(configCommand, 'validate')).toBe(0);
    expect(io.stdout.text).toContain(
      '2 instances (example.social, other.example), 2 off-sites (vault, cellar)',
    );
  });

  test('show and schema are one document with --json', async () => {
    const show = new CapturedIo();
    expect(await show.run(configCommand, 'show', '--json', '--config', join(folder, 'one.yaml'))).toBe(0);
    expect(show.json()).toHaveProperty(['instances', 'example.social', 'quiesce', 'mode'], 'brief');
    const schema = new CapturedIo();
    expect(await schema.run(configCommand, 'schema', '--json')).toBe(0);
    expect(schema.json()).toHaveProperty('title');
  });
});

test('offsite init knows the names of the configuration', async () => {
  const io = new CapturedIo();
  expect(await io.run(offsiteCommand, 'init', 'celar', '--config', join(folder, 'one.yaml'))).toBe(2);
  expect(io.stderr.text).toContain('Did you mean cellar?');
});
