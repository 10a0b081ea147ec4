import { mkdir, mkdtemp, readFile, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { swapScript } from '../../../src/restore/swap-script.js';

/** What systemd and nginx do when the script calls them, where neither may be touched. */
let folder: string;
let user: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-swap-script-'));
  user = (await execa('id', ['-un'])).stdout;
  for (const name of ['bin', 'journal/new', 'etc']) await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, 'swap.sh'), swapScript);
  await stub('systemctl', 'case $* in *is-enabled*) exit 1;; esac');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Says what it was called with. */
async function stub(name: string, body: string): Promise<void> {
  const text = `#!/bin/sh\necho "${name} $*" >> '${folder}/calls'\n${body}\n`;
  await writeFile(join(folder, 'bin', name), text, { mode: 0o755 });
}

async function steps(...records: readonly (readonly [string, ...string[]])[]): Promise<void> {
  const words = records.flatMap(([kind, ...rest]) => [kind, String(rest.length), ...rest]);
  await writeFile(join(folder, 'journal/steps'), words.map((word) => `${word}\0`).join(''));
}

async function run(verb: string): Promise<number | undefined> {
  const env = { PATH: `${folder}/bin:${process.env['PATH'] ?? ''}` };
  const argv = [join(folder, 'swap.sh'), verb, join(folder, 'journal')];
  return (await execa('bash', argv, { env, reject: false })).exitCode;
}

const calls = async () => (await readFile(join(folder, 'calls'), 'utf8').catch(() => '')).trim().split('\n');
const content = (name: string) => readFile(join(folder, name), 'utf8').catch(() => 'absent');

async function aSite(): Promise<void> {
  await writeFile(join(folder, 'etc/site'), 'former');
  await writeFile(join(folder, 'journal/new/0'), 'restored');
  await steps(
    ['file', join(folder, 'etc/site'), 'put', '0644', user, user],
    ['link', join(folder, 'enabled/site'), join(folder, 'etc/site')],
    ['nginx', '0', '1'],
  );
}

test('the script is one that bash can read', async () => {
  const { exitCode, stderr } = await execa('bash', ['-n'], { input: swapScript, reject: false });
  expect([exitCode, stderr]).toEqual([0, '']);
});

test('a site that nginx takes is in place, and nginx reads it', async () => {
  await stub('nginx', '');
  await aSite();
  expect(await run('forward')).toBe(0);
  expect([await content('etc/site'), await content('enabled/site')]).toEqual(['restored', 'restored']);
  expect(await calls()).toContain('systemctl reload nginx');
  expect(await run('back')).toBe(0);
  expect(await content('etc/site')).toBe('former');
  expect(await readdir(folder)).not.toContain('enabled');
});

test('a site that nginx does not take is put back, with its words, and the swap goes on', async () => {
  await stub('nginx', 'echo "nginx: [emerg] no such certificate" >&2; exit 1');
  await aSite();
  expect(await run('forward')).toBe(0);
  expect([await content('etc/site'), await content('enabled/site')]).toEqual(['former', 'absent']);
  expect(await content('journal/warnings')).toMatch(/does not take the restored files.*no such certificate/);
  expect(await calls()).not.toContain('systemctl reload nginx');
});

test('units are read anew and enabled, and disabled again on the way back', async () => {
  await steps(['daemon-reload'], ['enable', 'mastodon-web.service', 'mastodon-sidekiq.service']);
  expect(await run('forward')).toBe(0);
  expect(await calls()).toContain('systemctl daemon-reload');
  expect((await calls()).filter((line) => / enable /.test(line))).toHaveLength(2);
  await rm(join(folder, 'calls'));
  expect(await run('back')).toBe(0);
  expect((await calls()).filter((line) => / disable /.test(line))).toHaveLength(2);
  expect(await calls()).toContain('systemctl daemon-reload');
});

test('an entry of the journal that a power cut has torn was never written', async () => {
  await stub('nginx', '');
  await aSite();
  await writeFile(join(folder, 'journal/journal'), 'forward\n0 begun\n0 do');
  expect(await run('settle')).toBe(0);
  expect(await content('etc/site')).toBe('former');
  expect(await run('forward')).toBe(76);
});

describe('somebody who owns the folder of a file', () => {
  beforeEach(async () => {
    await writeFile(join(folder, 'etc/site'), 'former');
    await writeFile(join(folder, 'journal/new/0'), 'restored');
    await mkdir(join(folder, 'root'));
    await writeFile(join(folder, 'root/shadow'), 'secret', { mode: 0o600 });
    await steps(['file', join(folder, 'etc/site'), 'put', '0644', user, user]);
  });
  afterEach(async () => {
    expect(await content('root/shadow')).toBe('secret');
    expect(await readdir(join(folder, 'root'))).toEqual(['shadow']);
  });

  test('leads nobody elsewhere by a link that has the name of what is going to be made', async () => {
    const plant = () => symlink(join(folder, 'root/shadow'), join(folder, 'etc/site.permafrost-journal'));
    await plant();
    expect(await run('forward')).toBe(0);
    expect(await content('etc/site')).toBe('restored');
    await plant();
    expect(await run('back')).toBe(0);
    expect(await content('etc/site')).toBe('former');
    expect(await readdir(join(folder, 'etc'))).toEqual(['site']);
  });

  test('leads nobody elsewhere by a link in place of the folder', async () => {
    await rename(join(folder, 'etc'), join(folder, 'moved'));
    await symlink(join(folder, 'root'), join(folder, 'etc'));
    expect(await run('forward')).toBe(1);
    expect(await content('journal/failed')).toContain('leads elsewhere than it did');
    expect(await content('moved/site')).toBe('former');
  });

  test('has nothing kept, and given back, that a link in place of the file leads to', async () => {
    await rm(join(folder, 'etc/site'));
    await symlink(join(folder, 'root/shadow'), join(folder, 'etc/site'));
    expect(await run('forward')).toBe(1);
    expect(await content('journal/failed')).toContain('is no file any more');
  });
});

test('folders that were missing are made, and are gone after the way back', async () => {
  await writeFile(join(folder, 'journal/new/0'), 'restored');
  await steps(['file', join(folder, 'a/b/site'), 'put', '0640', user, user]);
  expect(await run('forward')).toBe(0);
  expect(await content('a/b/site')).toBe('restored');
  expect(await readdir(join(folder, 'a'))).toEqual(['b']);
  expect(await run('back')).toBe(0);
  expect(await readdir(folder)).not.toContain('a');
});

test('a link that leads nowhere any more is removed, and there again after the way back', async () => {
  await symlink('/gone', join(folder, 'etc/link'));
  await steps(['file', join(folder, 'etc/link'), 'remove', '', '', '']);
  expect(await run('forward')).toBe(0);
  expect(await readdir(join(folder, 'etc'))).toEqual([]);
  expect(await run('back')).toBe(0);
  expect(await readdir(join(folder, 'etc'))).toEqual(['link']);
});

test('on a full disk, a swap that has begun nothing is settled, and never goes forward', async () => {
  await aSite();
  const journal = join(folder, 'journal/journal');
  await symlink('/dev/full', journal);
  expect(await run('forward')).toBe(1);
  expect(await run('settle')).toBe(0);
  await rm(journal, { force: true });
  expect(await run('forward')).toBe(76);
  expect(await content('etc/site')).toBe('former');
});
