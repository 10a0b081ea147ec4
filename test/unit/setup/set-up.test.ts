import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { toolNames } from '../../../src/hosts/tools.js';

const root = resolve(fileURLToPath(import.meta.url), '../../../..');

async function setUpModule<Module>(name: string): Promise<Module> {
  return (await import(pathToFileURL(join(root, 'setup', name)).href)) as Module;
}

const { matchesLock } = await setUpModule<{ matchesLock(root: string): boolean }>('npm.mjs');
const { build } = await setUpModule<{ build(root: string): Promise<void> }>('build.mjs');
const { sideBySide } = await setUpModule<{
  sideBySide<Value>(promises: readonly Promise<Value>[]): Promise<Value[]>;
}>('side-by-side.mjs');
const { SetupError } = await setUpModule<{ SetupError: ErrorConstructor }>('report.mjs');
const { checkSum } = await setUpModule<{
  checkSum(file: string, sha256: string, source: string): Promise<void>;
}>('checksum.mjs');
const { atLeast, parseVersion } = await setUpModule<{
  atLeast(version: number[], minimum: number[]): boolean;
  parseVersion(text: string): number[];
}>('programs.mjs');

let clone: string;
beforeEach(async () => {
  clone = await mkdtemp(join(tmpdir(), 'permafrost-set-up-'));
});
afterEach(() => rm(clone, { recursive: true }));

function write(path: string, content: unknown): Promise<void> {
  return writeFile(join(clone, path), typeof content === 'string' ? content : JSON.stringify(content));
}

describe('npm packages', () => {
  const wanted = {
    '': {},
    'node_modules/one': { version: '1.0.0', integrity: 'sha512-one' },
    'node_modules/elsewhere': { version: '2.0.0', integrity: 'sha512-other', optional: true },
  };

  beforeEach(async () => {
    await mkdir(join(clone, 'node_modules/one'), { recursive: true });
    await write('package-lock.json', { packages: wanted });
  });

  async function installed(packages: Record<string, object>): Promise<boolean> {
    await write('node_modules/.package-lock.json', { packages });
    return matchesLock(clone);
  }

  it('are left alone when they are what the lock file names, optional ones for other systems aside', async () => {
    expect(await installed({ 'node_modules/one': wanted['node_modules/one'] })).toBe(true);
  });

  it('are installed again when one is missing, of another version, or not in the lock file', async () => {
    expect(matchesLock(clone)).toBe(false);
    expect(await installed({})).toBe(false);
    expect(await installed({ 'node_modules/one': { version: '1.0.1', integrity: 'sha512-new' } })).toBe(
      false,
    );
    const extra = { version: '3.0.0', integrity: 'sha512-extra' };
    expect(
      await installed({ 'node_modules/one': wanted['node_modules/one'], 'node_modules/extra': extra }),
    ).toBe(false);
    await rm(join(clone, 'node_modules/one'), { recursive: true });
    expect(await installed({ 'node_modules/one': wanted['node_modules/one'] })).toBe(false);
  });
});

describe('the build', () => {
  afterEach(() => vi.restoreAllMocks());
  beforeEach(async () => {
    vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    await mkdir(join(clone, 'src/room'), { recursive: true });
    await mkdir(join(clone, 'dist'));
    await write('src/room/a.ts', 'one');
    await write('package.json', { scripts: { build: 'echo built >> dist/log' } });
  });

  async function builds(): Promise<number> {
    return (await readFile(join(clone, 'dist/log'), 'utf8')).trim().split('\n').length;
  }

  it('is done once, and again when a source changed, came or went', async () => {
    await build(clone);
    await build(clone);
    expect(await builds()).toBe(1);
    await write('src/room/a.ts', 'two');
    await build(clone);
    expect(await builds()).toBe(2);
    await write('src/room/b.ts', '');
    await build(clone);
    expect(await builds()).toBe(3);
    await rm(join(clone, 'src/room/b.ts'));
    await build(clone);
    expect(await builds()).toBe(4);
  });

  it('says what went wrong, and is tried again the next time', async () => {
    await write('package.json', { scripts: { build: 'echo no such type; exit 2' } });
    await expect(build(clone)).rejects.toThrow('no such type');
    await expect(build(clone)).rejects.toThrow('exit 2');
  });
});

describe('a downloaded file', () => {
  it('is not used unless it has the pinned checksum', async () => {
    await write('file', 'content');
    const right = 'ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73';
    await checkSum(join(clone, 'file'), right, 'there');
    await write('file', 'contents');
    await expect(checkSum(join(clone, 'file'), right, 'there')).rejects.toThrow('not used');
  });
});

describe('versions', () => {
  it.each([
    ['restic 0.14.0 compiled with go1.19.8 on linux/amd64', '0.17.0', false],
    ['restic 0.18.0 compiled with go1.24.4 on linux/amd64', '0.17.0', true],
    ['rclone v1.60.1-DEV', '1.60.0', true],
    ['temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)', '1.9.1', true],
    ['temporal version 1.10.0', '1.9.1', true],
    ['v1.1', '1.1.0', true],
  ])('%s is at least %s: %s', (said, minimum, expected) => {
    expect(atLeast(parseVersion(said), parseVersion(minimum))).toBe(expected);
  });

  it('are required of every tool that Permafrost calls by name', async () => {
    const { tools } = JSON.parse(await readFile(join(root, 'setup/tools.json'), 'utf8')) as { tools: object };
    expect(Object.keys(tools).sort()).toEqual([...toolNames].sort());
  });
});

describe('the whole set-up', () => {
  it('says calmly which Node it needs, when the one there is too old', async () => {
    await cp(join(root, 'setup'), join(clone, 'setup'), { recursive: true });
    await write('old.mjs', "Object.defineProperty(process.versions, 'node', { value: '18.19.0' });");
    const run = await execa('node', ['--import', join(clone, 'old.mjs'), join(clone, 'setup/setup.mjs')], {
      reject: false,
    });
    expect(run.exitCode).toBe(1);
    expect(run.stderr).toContain('Node 18.19.0 is too old');
    expect(run.stderr).not.toContain('    at ');
  });
});

describe('steps side by side', () => {
  it('answer in their order', async () => {
    const later = sleep(20).then(() => 'one');
    expect(await sideBySide([later, Promise.resolve('two')])).toEqual(['one', 'two']);
  });

  it('come to their end when one fails, and all that failed is said', async () => {
    let ended = false;
    const slow = sleep(20).then(() => {
      ended = true;
      throw new SetupError('no restic\n');
    });
    const both = sideBySide([Promise.reject(new SetupError('no npm')), slow, Promise.resolve()]);
    await expect(both).rejects.toThrow('no npm\n\nno restic');
    expect(ended).toBe(true);
  });

  it('hide no mistake of ours behind what a user can mend', async () => {
    const mistake = new TypeError('undefined is not a function');
    const both = sideBySide([Promise.reject(new SetupError('no npm')), Promise.reject(mistake)]);
    await expect(both).rejects.toBe(mistake);
  });
});
