import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyHeader, type MediaRecord, readMediaIndex } from '../../src/backups/media-index.js';
import { toolPath } from '../../src/hosts/tools.js';
import {
  mediaIndexArgv,
  mediaIndexFiles,
  mediaIndexScript,
  type MediaIndexSummary,
  readMediaIndexProgress,
  readMediaIndexSummary,
} from '../../src/mastodon/media-index.js';
import { makeKeysQuick } from './offsite/quick-keys.js';

/** A folder of media, and what the program on the host makes of it. */
let folder: string;
let root: string;
let runs: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-media-'));
  await chmod(folder, 0o755);
  root = join(folder, 'system');
  runs = 0;
  await mkdir(root);
  await writeFile(join(folder, 'media-index.pl'), mediaIndexScript);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Made {
  out: string;
  summary: MediaIndexSummary;
  stderr: string;
  index: MediaRecord[];
  fresh: MediaRecord[];
  missing: unknown[];
  problems: unknown[];
}

interface Options {
  root?: string;
  previous?: Made | string;
  expected?: string;
  includeCache?: boolean;
  uid?: number;
  path?: string;
}

async function outFolder(uid?: number): Promise<string> {
  const out = join(folder, `out-${(runs += 1)}`);
  await mkdir(out, { mode: 0o700 });
  if (uid !== undefined) await chown(out, uid, uid);
  return out;
}

async function run(
  out: string,
  options: Options,
): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }> {
  const { previous, expected } = options;
  if (expected !== undefined) await writeFile(join(folder, 'expected'), expected);
  const previousIndex =
    previous === undefined || typeof previous === 'string'
      ? (previous ?? null)
      : join(previous.out, mediaIndexFiles.index);
  const [command = '', ...args] = mediaIndexArgv({
    script: join(folder, 'media-index.pl'),
    root: options.root ?? root,
    previousIndex,
    expected: expected === undefined ? null : join(folder, 'expected'),
    outFolder: out,
    includeCache: options.includeCache ?? false,
  });
  const { exitCode, stdout, stderr } = await execa(command, args, {
    cwd: '/',
    reject: false,
    ...(options.path === undefined ? {} : { env: { PATH: `${options.path}:${process.env['PATH']}` } }),
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
  return { exitCode, stdout, stderr };
}

async function make(options: Options = {}): Promise<Made> {
  const out = await outFolder(options.uid);
  const result = await run(out, options);
  expect({ exitCode: result.exitCode, stderr: result.stderr }).toMatchObject({ exitCode: 0 });
  const lines = async (name: string): Promise<unknown[]> => {
    const text = await readFile(join(out, name), 'utf8');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as unknown);
  };
  return {
    out,
    summary: readMediaIndexSummary(result.stdout),
    stderr: result.stderr,
    index: await recordsIn(join(out, mediaIndexFiles.index)),
    fresh: await recordsIn(join(out, mediaIndexFiles.new)),
    missing: await lines(mediaIndexFiles.missing),
    problems: await lines(mediaIndexFiles.problems),
  };
}

async function recordsIn(file: string): Promise<MediaRecord[]> {
  const records = [];
  for await (const record of readMediaIndex(createReadStream(file))) records.push(record);
  return records;
}

const longAgo = new Date('2024-05-06T07:08:09.500Z');

/** A file that has not been touched for long, as nearly all media. */
async function put(
  path: string | Buffer,
  content: string | Buffer = 'x',
  mtime: Date | null = longAgo,
): Promise<void> {
  const full = typeof path === 'string' ? join(root, path) : Buffer.concat([Buffer.from(`${root}/`), path]);
  if (typeof full === 'string') await mkdir(dirname(full), { recursive: true });
  await writeFile(full, content);
  if (mtime) await utimes(full, mtime, mtime);
}

function paths(records: MediaRecord[]): string[] {
  return records.map((record) => record.path);
}

function sha256(content: string): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Puts a stand-in before sha256sum, for what no real disk does on demand: changes while a file is read. */
async function whileHashing(commands: string): Promise<string> {
  const bin = join(folder, 'bin');
  await mkdir(bin, { recursive: true });
  const real = (await execa('sh', ['-c', 'command -v sha256sum'])).stdout;
  await writeFile(join(bin, 'sha256sum'), `#!/bin/sh\n${commands}\nexec ${real} "$@"\n`, { mode: 0o755 });
  return bin;
}

const hostileNames = [
  ...[
    '-',
    '--help',
    '-rf',
    '#comment',
    ' leading',
    'trailing ',
    'a\nb',
    'a\rb',
    'cr\r',
    'tab\tb',
    'back\\slash',
  ],
  ...[
    '\\n',
    "it's",
    '"quoted"',
    '$(id)',
    '*',
    '?',
    '[a]',
    '%s%n',
    'ünïcödé 🦣',
    '.hidden',
    'x'.repeat(255),
    '\u0001',
  ],
].map((name) => Buffer.from(name));
const notUtf8 = Buffer.from([0x66, 0xff, 0xfe, 0x80]);

describe('the media index of a tree', () => {
  it('lists every file by whatever name, sorted by bytes, with hash, size, mtime, mode and owner', async () => {
    for (const name of [...hostileNames, notUtf8]) await put(name, `content of ${name.toString('hex')}`);
    await put('a/b', 'below');
    await put('a.b', 'beside');
    await put('empty', '');
    await chmod(join(root, 'empty'), 0o600);

    const { index, summary } = await make();

    const wanted = [...hostileNames, notUtf8, ...['a/b', 'a.b', 'empty'].map((name) => Buffer.from(name))];
    expect(index.map((record) => record.pathBytes.toString('latin1'))).toEqual(
      wanted.sort(Buffer.compare).map((name) => name.toString('latin1')),
    );
    const found = index.find((record) => record.path === 'back\\slash');
    expect(found?.sha256).toBe(sha256(`content of ${Buffer.from('back\\slash').toString('hex')}`));
    const empty = index.find((record) => record.path === 'empty');
    const { uid, gid } = await lstat(join(root, 'empty'));
    expect(empty).toMatchObject({ size: 0, mode: 0o600, uid, gid, mtime: '1714979289.500000000' });
    const bytes = index.reduce((sum, record) => sum + record.size, 0);
    expect(summary).toMatchObject({
      files: wanted.length,
      bytes,
      hashedFiles: wanted.length,
      zeroByteFiles: 1,
    });
  });

  it('is read by sha256sum as it stands', async () => {
    // sha256sum takes a '-' for its own standard input.
    const names = hostileNames.filter((name) => name.toString() !== '-');
    for (const name of [...names, notUtf8]) await put(name, name);
    const { out } = await make();
    const index = join(out, mediaIndexFiles.index);
    expect((await execa('sha256sum', ['--check', '--strict', '--quiet', index], { cwd: root })).stdout).toBe(
      '',
    );
    await put('tab\tb', 'rotten');
    expect(
      (await execa('sha256sum', ['--check', '--quiet', index], { cwd: root, reject: false })).exitCode,
    ).toBe(1);
  });

  it('leaves out cache/ unless asked, lost+found, and what is no file; follows a link only to the root', async () => {
    await put('accounts/avatars/1.png');
    await put('cache/accounts/avatars/2.png');
    await put('accounts/cache/3.png');
    await put('lost+found/4.png');
    await put(Buffer.from('elsewhere'));
    await symlink('elsewhere', join(root, 'link'));
    await symlink('accounts', join(root, 'linked-folder'));
    await execa('mkfifo', [join(root, 'fifo')]);
    await symlink(root, join(folder, 'linked-root'));

    const { index, summary, problems } = await make({ root: join(folder, 'linked-root') });
    expect(paths(index)).toEqual(['accounts/avatars/1.png', 'accounts/cache/3.png', 'elsewhere']);
    expect(summary).toMatchObject({ symlinks: 2, otherTypes: 1 });
    expect(problems).toContainEqual({ problem: 'symlink', path: 'linked-folder' });
    expect(paths((await make({ includeCache: true })).index)).toContain('cache/accounts/avatars/2.png');
  });

  it('is an index too when there is nothing', async () => {
    const { index, summary } = await make({ expected: '' });
    expect(index).toEqual([]);
    expect(summary).toMatchObject({ files: 0, bytes: 0, missing: 0, ordinal: 0 });
  });

  it('counts what cannot be read and goes on', async () => {
    await put('open');
    await put('closed');
    await put('closed-folder/inside');
    await chmod(join(root, 'closed'), 0);
    await chmod(join(root, 'closed-folder'), 0);
    const nobody = process.getuid?.() === 0 ? { uid: 65534 } : {};
    const { index, summary, problems } = await make(nobody);
    await chmod(join(root, 'closed-folder'), 0o700);
    expect(paths(index)).toEqual(['open']);
    expect(summary).toMatchObject({ files: 1, unreadable: 1, unreadableFolders: 1 });
    expect(problems).toContainEqual({ problem: 'unreadable', path: 'closed' });
    expect(problems).toContainEqual({ problem: 'unreadableFolder', path: 'closed-folder' });
  });

  it('tells restic what cannot be read, whatever it is called, and restic sends the rest', async () => {
    await put('open');
    const kept = await make();
    const odd = ['$HOME', '*', 'a b ', 'b\\c', '[x]', 'new\nline', 'ünï\u00a0', '-rf', "it's"];
    const names = [...odd.map((name) => Buffer.from(name)), Buffer.from('latin1-\xe9', 'latin1')];
    for (const name of names) await put(name);
    for (const name of odd) await put(`folder ${name}/inside`);
    for (const name of names) await chmod(Buffer.concat([Buffer.from(`${root}/`), name]), 0);
    // A folder that may be listed, and one that may be entered, are of no more use than a closed one.
    for (const [at, name] of odd.entries())
      await chmod(join(root, `folder ${name}`), [0, 0o444, 0o111][at % 3] ?? 0);
    // Was hashed before it was closed.
    await chmod(join(root, 'open'), 0);
    await put('readable $HOME');
    const uid = process.getuid?.() === 0 ? 65534 : undefined;
    const as = uid === undefined ? {} : { uid, gid: uid };
    const { index, summary, out } = await make({ previous: kept, ...(uid === undefined ? {} : { uid }) });
    expect(paths(index)).toEqual(['readable $HOME']);
    expect(summary).toMatchObject({
      unreadable: names.length + 1,
      unreadableFolders: odd.length,
      vanished: 0,
    });

    const repository = await outFolder(uid);
    const env = {
      RESTIC_REPOSITORY: repository,
      RESTIC_PASSWORD: 'x',
      RESTIC_CACHE_DIR: `${repository}/cache`,
    };
    const restic = (...words: string[]) =>
      execa(toolPath('restic').path, ['-o', 'local.connections=1', ...words], { env, cwd: '/', ...as });
    await restic('init');
    makeKeysQuick(repository, 'x');
    await restic('backup', '--exclude-file', join(out, mediaIndexFiles.excludes), '--', root); // 3: not all was read
    const listed = await restic('ls', 'latest', root, '--recursive');
    expect(listed.stdout.split('\n').filter((line) => line.startsWith(`${root}/`))).toEqual([
      `${root}/readable $HOME`,
    ]);
    for (const name of odd) await chmod(join(root, `folder ${name}`), 0o700);
  });
});

describe('the next index', () => {
  it('carries the hashes of unchanged files over without reading them', async () => {
    await put('kept', 'before');
    await put('touched', 'same');
    await put('replaced', 'old');
    await put('removed');
    const first = await make();
    expect(paths(first.fresh)).toEqual(paths(first.index));

    await put('kept', 'BEFORE'); // same size and mtime: if it were read, its hash would change
    await put('touched', 'same', new Date('2024-06-01'));
    await put('replaced', 'new', new Date('2024-06-01'));
    await put('added', 'added');
    await rm(join(root, 'removed'));
    await chmod(join(root, 'kept'), 0o600);

    const second = await make({ previous: first });
    const hashes = Object.fromEntries(second.index.map(({ path, sha256 }) => [path, sha256]));
    expect(hashes).toEqual({
      ...{ added: sha256('added'), kept: sha256('before') },
      ...{ replaced: sha256('new'), touched: sha256('same') },
    });
    expect(second.index.find(({ path }) => path === 'kept')?.mode).toBe(0o600);
    expect(paths(second.fresh)).toEqual(['added', 'replaced']);
    expect(second.summary).toMatchObject({
      ...{ files: 4, carriedFiles: 1, hashedFiles: 3, newFiles: 2, gone: 1, ordinal: 1 },
    });
    const header = emptyHeader();
    for await (const record of readMediaIndex(
      createReadStream(join(second.out, mediaIndexFiles.index)),
      header,
    ))
      expect(record.sha256).toHaveLength(64);
    expect(header.ordinal).toBe(1);
    const { uid } = await lstat(root);
    expect(header.users.get(uid)).toBe((await execa('id', ['-nu', String(uid)])).stdout);
  });

  it('reads a file again that was written while the last index was made', async () => {
    const justNow = new Date();
    await put('racy', 'before', justNow);
    const first = await make();
    await put('racy', 'BEFORE', justNow);
    expect((await make({ previous: first })).index[0]?.sha256).toBe(sha256('BEFORE'));
  });

  it('finds hostile names again, also in a gzipped index', async () => {
    for (const name of [...hostileNames, notUtf8]) await put(name, name);
    const first = await make();
    await execa('gzip', [join(first.out, mediaIndexFiles.index)]);
    const second = await make({ previous: join(first.out, `${mediaIndexFiles.index}.gz`) });
    expect(second.summary).toMatchObject({
      carriedFiles: first.index.length,
      hashedFiles: 0,
      newFiles: 0,
      gone: 0,
    });
    expect(second.index).toEqual(first.index);
    expect(second.fresh).toEqual([]);
  });

  it('reads again what a damaged index does not tell, and says so', async () => {
    await put('a', 'content');
    const first = await make();
    const file = join(first.out, mediaIndexFiles.index);
    const text = await readFile(file, 'utf8');
    const damages = [
      text.replace(sha256('content'), 'nonsense'),
      text.replace(/# end .*\n/, ''),
      'something else\n',
      '\0'.repeat(4096),
      '',
    ];
    for (const damaged of damages) {
      await writeFile(file, damaged);
      const { index, summary } = await make({ previous: first });
      expect(index.map((record) => record.sha256)).toEqual([sha256('content')]);
      expect(summary).toMatchObject({ files: 1, previousDamaged: 1 });
    }
    await rm(file);
    expect((await make({ previous: first })).summary).toMatchObject({ files: 1, previousDamaged: 1 });
    await writeFile(file, text);
    expect((await make({ previous: first })).summary).toMatchObject({ carriedFiles: 1, previousDamaged: 0 });
  });
});

describe('files that change meanwhile', () => {
  it('are left out when they vanish, and missing if the database names them', async () => {
    await put('stays');
    await put('vanishes');
    const path = await whileHashing(`rm -f ${root}/vanishes`);
    const { index, summary, missing } = await make({ path, expected: 'stays\t1\t\\N\nvanishes\t1\t\\N\n' });
    expect(paths(index)).toEqual(['stays']);
    expect(summary).toMatchObject({ files: 1, vanished: 1, missing: 1 });
    expect(missing).toEqual([{ path: 'vanishes', bytes: 1, tolerated: null }]);
  });

  it('are read again until they hold still', async () => {
    await put('a');
    await put('grows', 'one');
    const path = await whileHashing(
      `[ -e ${folder}/grown ] || { touch ${folder}/grown; printf two >>${root}/grows; }`,
    );
    const { index, summary } = await make({ path });
    const grown = index.find((record) => record.path === 'grows');
    expect(grown).toMatchObject({ size: 6, sha256: sha256('onetwo') });
    expect(summary).toMatchObject({ files: 2, bytes: 7, reread: 1, unsettled: 0 });
  });

  it('are left out when they never do', async () => {
    await put('a');
    await put('restless');
    const path = await whileHashing(`printf more >>${root}/restless`);
    const { index, summary } = await make({ path });
    expect(paths(index)).toEqual(['a']);
    expect(summary).toMatchObject({ files: 1, unsettled: 1 });
  });

  it('fail the index when the tool itself fails', async () => {
    await put('a');
    const out = await outFolder();
    const result = await run(out, { path: await whileHashing('exit 3') });
    expect(result).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('exit code 3') as string });
    expect(await readdir(out)).not.toContain(mediaIndexFiles.index);
  });
});

describe("the database's list", () => {
  it('is compared with what is there', async () => {
    await put('b\tc', 'four');
    await put('d');
    const { summary, missing, problems } = await make({
      expected: 'a\\nb\\\\\t7\tunattached\nb\\tc\t4\t\\N\nd\t99\t\\N\nz "é"\t\\N\t\\N\n',
    });
    expect(missing).toEqual([
      { path: 'a\nb\\', bytes: 7, tolerated: 'unattached' },
      { path: 'z "é"', bytes: null, tolerated: null },
    ]);
    expect(summary).toMatchObject({ expected: 4, missing: 2, missingTolerated: 1, sizeDiffers: 1 });
    expect(problems).toEqual([{ problem: 'size', path: 'd' }]);
  });

  it('must be sorted, or nothing is made of it', async () => {
    await put('a');
    const result = await run(await outFolder(), { expected: 'b\t1\t\\N\na\t1\t\\N\n' });
    expect(result.exitCode).toBe(1);
    expect(result.stderr).toContain('not sorted');
  });
});

describe('the program', () => {
  it('needs nothing that is not in perl-base', async () => {
    await put('a');
    const program = 'BEGIN { @INC = glob("/usr/lib/*-linux-*/perl-base") } do shift or die $@ || $!';
    const args = ['-e', program, join(folder, 'media-index.pl'), '--root', root, '--out', await outFolder()];
    expect(readMediaIndexSummary((await execa('perl', args)).stdout).files).toBe(1);
  });

  it('says what is wrong', async () => {
    const gone = await run(await outFolder(), { root: join(folder, 'nowhere') });
    expect(gone).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('nowhere') as string });
    expect((await run(await outFolder(), { root: 'relative' })).exitCode).toBe(2);
    expect(() => readMediaIndexSummary('')).toThrow(expect.objectContaining({ type: 'PartInvalid' }));
  });

  it('stays as small with ten times the files, and keeps order among many readers', async () => {
    const fill = async (folders: number): Promise<void> => {
      for (let i = 0; i < folders; i += 1) {
        await mkdir(join(root, 'm', String(i)), { recursive: true });
        await Promise.all(
          Array.from({ length: 100 }, (_, j) => put(`m/${i}/${j}`, `${i}.${j}`, j % 7 ? longAgo : null)),
        );
      }
    };
    await fill(50);
    const small = await make();
    await fill(500);
    const large = await make();
    expect(large.summary.files).toBe(50_000);
    const sorted = large.index.every(
      (record, i) =>
        i === 0 || Buffer.compare(large.index[i - 1]?.pathBytes ?? Buffer.alloc(0), record.pathBytes) < 0,
    );
    expect(sorted).toBe(true);
    expect(
      large.index.every(({ path, sha256: hash }) => hash === sha256(path.slice(2).replace('/', '.'))),
    ).toBe(true);
    expect(large.summary.peakKiB).toBeLessThan(small.summary.peakKiB + 8 * 1024);
    expect(large.summary.peakKiB).toBeLessThan(64 * 1024);

    const again = await make({ previous: large });
    expect(again.summary.carriedFiles).toBeGreaterThan(40_000);
    expect(again.summary.peakKiB).toBeLessThan(64 * 1024);
    expect(readMediaIndexProgress(`${large.stderr}\n{"files":7,"bytes":70}\n{"fi`)).toEqual({
      files: 7,
      bytes: 70,
    });
  });
});
