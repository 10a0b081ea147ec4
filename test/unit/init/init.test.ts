import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { initCommand } from '../../../scripts/init.js';
import { loadConfiguration } from '../../../src/config/load.js';
import { CapturedIo } from '../cli/captured-io.js';

let folder: string;
let root: string;
let output: string;

/** A Mastodon whose database, Redis and services are all gone: what is left to find is its folder. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-init-'));
  root = join(folder, 'live');
  output = join(folder, 'etc', 'permafrost.yaml');
  await mkdir(join(root, 'public/system'), { recursive: true });
  const env = ['LOCAL_DOMAIN=Example.social', `DB_HOST=${folder}/none`, `REDIS_URL=unix://${folder}/none`];
  await writeFile(join(root, '.env.production'), env.join('\n'));
});

afterEach(() => rm(folder, { recursive: true }));

function init(io: CapturedIo, ...more: string[]): Promise<number> {
  const places = ['--root', root, '--output', output, '--state', join(folder, 'state')];
  return io.run(initCommand, ...places, ...more);
}

async function failing(...more: string[]) {
  const io = new CapturedIo();
  const code = await init(io, ...more, '--json');
  expect(existsSync(join(folder, 'etc'))).toBe(false);
  return { code, ...(io.json()['error'] as { type: string; message: string; next?: string }) };
}

test('what cannot be found is told, and the file loads all the same', async () => {
  const io = new CapturedIo();
  expect(await init(io, '--offsite', join(folder, 'repo'))).toBe(0);
  expect(io.stdout.text).toMatch(/PROBLEM {5}There is no|PROBLEM {5}.*\n/);
  expect(io.stdout.text).toContain('Redis');
  expect(io.stdout.text.split('\n').filter((line) => line.length > 80 && !line.includes(folder))).toEqual([]);
  const { instances, offsites, state } = await loadConfiguration({ file: output, env: {} });
  expect(instances['example.social']?.mastodon.root).toBe(root);
  expect(offsites['vault']).toMatchObject({ passwordFile: join(folder, 'etc/vault.password') });
  expect(existsSync(state)).toBe(true);
  expect(await readFile(output, 'utf8')).toMatch(/# services:/);
});

test('a configuration that is there is never overwritten', async () => {
  await mkdir(join(folder, 'etc'));
  await writeFile(output, 'mine');
  const io = new CapturedIo();
  expect(await init(io, '--offsite', '/srv/repo')).toBe(2);
  expect(io.stderr.text).toContain('never overwritten');
  expect(await readFile(output, 'utf8')).toBe('mine');
});

describe('without a terminal, the flag that is missing or wrong is named', () => {
  test.each([
    ['no off-site', [], '--offsite'],
    ['no credentials', ['--offsite', 's3:https://s3.example/bucket'], '--offsite-environment-file'],
    ['half a folder', ['--offsite', 'backups'], 'whole path'],
    ['a password in it', ['--offsite', 'rest:https://me:secret@vault/'], 'password'],
    ['no folder in sftp', ['--offsite', 'sftp:vault'], 'sftp:user@host:/folder'],
    [
      'an instance',
      ['--instance', 'exmaple.social', '--offsite', '/srv/repo'],
      'Did you mean example.social?',
    ],
    ['a port', ['--port', 'many'], '--port'],
    ['a host', ['--ssh', 'host', '--offsite', '/srv/repo'], 'user@address'],
  ])('%s', async (_what, flags, expected) => {
    const { code, message, next = '' } = await failing(...flags);
    expect(code).toBe(2);
    expect(`${message} ${next}`).toContain(expected);
  });

  test('a folder without Mastodon', async () => {
    await writeFile(join(root, '.env.production'), 'NODE_ENV=production\n');
    expect(await failing('--offsite', '/srv/repo')).toMatchObject({
      code: 2,
      type: 'NotFound',
      next: expect.stringContaining('--root') as string,
    });
  });
});

describe('at a terminal', () => {
  /** Types an answer when its question is there. */
  async function typing(
    io: CapturedIo,
    running: Promise<number>,
    answers: [string, string][],
  ): Promise<number> {
    let ended = false;
    void running.finally(() => (ended = true));
    for (const [question, answer] of answers) {
      while (!io.stdout.text.includes(question) && !ended) await new Promise((done) => setTimeout(done, 10));
      io.stdin.write(answer);
    }
    return running;
  }

  test('it asks for the off-site and whether to write', async () => {
    const io = new CapturedIo({}, true);
    const answers: [string, string][] = [
      ['Off-site:', `${folder}/repo\r`],
      ['Write /', '\r'],
    ];
    expect(await typing(io, init(io), answers)).toBe(0);
    const { offsites } = await loadConfiguration({ file: output, env: {} });
    expect(offsites['vault']).toMatchObject({ repository: expect.stringContaining('repo') as string });
  });

  test.each([
    ['Ctrl-C', '\x03'],
    ['Ctrl-D', '\x04'],
  ])('%s leaves nothing behind', async (_name, key) => {
    const io = new CapturedIo({}, true);
    expect(await typing(io, init(io), [['Off-site:', key]])).toBe(130);
    expect(await readdir(folder)).toEqual(['live']);
  });
});
