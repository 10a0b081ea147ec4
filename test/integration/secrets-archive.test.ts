import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Host } from '../../src/hosts/host.js';
import { localHost } from '../../src/hosts/local.js';
import { archivedTexts, archiveSecrets } from '../../src/mastodon/secrets-archive.js';

/** The archive of the secrets, on this machine: what is in it is what a server without the rest would have. */

let folder: string;
let host: Host;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-archive-'));
  host = localHost({ folder: join(folder, 'host') });
});
afterEach(async () => {
  await host.close();
  rmSync(folder, { recursive: true, force: true });
});

const at = (...path: string[]) => join(folder, ...path);

function write(path: string, text: string, mode = 0o644): string {
  mkdirSync(join(at(path), '..'), { recursive: true });
  writeFileSync(at(path), text);
  chmodSync(at(path), mode);
  return at(path);
}

function link(path: string, to: string): string {
  mkdirSync(join(at(path), '..'), { recursive: true });
  symlinkSync(to, at(path));
  return at(path);
}

const file = () => at('secrets.tar');
const archive = (paths: string[]) => archiveSecrets(host, { paths, as: 'login', file: file() });

/** As it comes back on a machine that has nothing else. */
function unpacked(): (path: string) => string {
  const back = at('back');
  mkdirSync(back);
  execFileSync('tar', ['--extract', '--preserve-permissions', `--file=${file()}`, `--directory=${back}`]);
  return (path) => join(back, path);
}

test('an env file that is a link, as Capistrano has it, is there with its content, mode and owner', async () => {
  const kept = write('kept/.env.production', 'SECRET_KEY_BASE=kept\n', 0o600);
  const env = link('releases/1/.env.production', '../../kept/.env.production');
  if (process.getuid?.() === 0) execFileSync('chown', ['1:2', kept]);
  const { files, bytes, sha256 } = await archive([env]);
  expect(files).toEqual([expect.objectContaining({ path: env, mode: '0600', bytes: 21 })]);
  const back = unpacked();
  const copy = statSync(back(env));
  expect([copy.isFile(), copy.mode & 0o777]).toEqual([true, 0o600]);
  if (process.getuid?.() === 0) expect([copy.uid, copy.gid]).toEqual([1, 2]);
  expect(await archivedTexts(host, file(), [env])).toEqual(new Map([[env, 'SECRET_KEY_BASE=kept\n']]));
  const sum = execFileSync('sha256sum', [file()], { encoding: 'utf8' });
  expect([bytes, sha256]).toEqual([statSync(file()).size, sum.split(' ')[0]]);
});

test('two names of one file are two files, each whole', async () => {
  const one = write('sites-available/mastodon', 'server {}\n');
  const two = link('sites-enabled/mastodon', one);
  await archive([one, two]);
  const texts = await archivedTexts(host, file(), [one, two]);
  expect([texts.get(one), texts.get(two)]).toEqual(['server {}\n', 'server {}\n']);
});

test('a folder stands for what is in it, links to files included, and is not left by a link to a folder', async () => {
  write('etc/conf.d/plain', 'a');
  write('elsewhere/large', 'not asked for');
  link('etc/conf.d/file', at('elsewhere/large'));
  link('etc/conf.d/folder', at('elsewhere'));
  link('etc/conf.d/nothing', at('gone'));
  link('etc/conf.d/loop', at('etc'));
  const folderByLink = link('conf', at('etc/conf.d'));
  const { files } = await archive([folderByLink, join(folderByLink, 'plain')]);
  expect(files.map(({ path }) => path)).toEqual(['file', 'plain'].map((name) => join(folderByLink, name)));
});

test('names are taken as they are', async () => {
  // systemd escapes with backslashes; the others are what tar might read something into.
  const names = ['mastodon\\x2dweb.service', 'back\\nslash', 'two  spaces\tand tab', '-C', '*', 'new\nline'];
  const paths = names.map((name) => write(`odd/${name}`, name));
  const { files } = await archive(paths);
  expect(files.map(({ path }) => path).sort()).toEqual([...paths].sort());
  const texts = await archivedTexts(host, file(), paths);
  expect(paths.map((path) => texts.get(path))).toEqual(names);
});

test('a path that is not there is no archive', async () => {
  const env = write('.env.production', 'A=1\n');
  await expect(archive([env, at('gone')])).rejects.toMatchObject({ type: 'CommandFailed' });
  expect(() => statSync(file())).toThrow();
});
