import { execa } from 'execa';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyFolder } from '../../../src/backups/verify-sample.js';
import type { ResticConfig } from '../../../src/config/configuration.js';
import type { Host } from '../../../src/hosts/host.js';
import { localHost } from '../../../src/hosts/local.js';
import { provideTool } from '../../../src/hosts/tools.js';
import { keyFiles, withKeys } from '../../../src/offsite/keys.js';
import type { FollowJob, Offsite, StoredPart } from '../../../src/offsite/offsite.js';
import { resticOffsite } from '../../../src/offsite/restic.js';

/** A real repository with media whose names are as bad as names can be. */
const names = [
  'accounts/avatars/000/000/001/original/plain.png',
  'media/a $HOME.png',
  'media/two\nlines.png',
  'media/[brackets]*?.png',
  'media/back\\slash.png',
  'media/quote\'s "both".png',
  'media/trailing blank ',
  'media/#hash.png',
  'media/ünïcödé 🐘.png',
  'media/empty.png',
];

let folder: string;
let host: Host;
let config: ResticConfig;

/** Runs the command at once: the durable jobs have tests of their own. */
const follow: FollowJob = async (_step, argv, options) => {
  const { exitCode, stdout, stderr } = await host.run(argv, {
    as: options.as ?? 'login',
    env: options.env ?? {},
    okCodes: options.okCodes ?? [0],
  });
  return { exitCode, stdoutTail: stdout.slice(-4096), stderrTail: stderr.slice(-4096) };
};

async function withRepository<T>(use: (offsite: Offsite) => Promise<T>): Promise<T> {
  const program = await provideTool(host, 'restic');
  return withKeys(host, null, await keyFiles(config), (keys) =>
    use(
      resticOffsite(
        config,
        { host, as: 'login', keys, program, cache: join(folder, 'cache') },
        'sample.example',
      ),
    ),
  );
}

const contentOf = (name: string) => (name.includes('empty') ? '' : `content of ${name}`);
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-restic-'));
  host = localHost({ folder: join(folder, 'host') });
  await writeFile(join(folder, 'password'), 'a long password\n', { mode: 0o600 });
  config = {
    kind: 'restic',
    name: 'vault',
    repository: join(folder, 'repository'),
    passwordFile: join(folder, 'password'),
  };
  for (const name of names) {
    const path = join(folder, 'system', name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, contentOf(name));
  }
  await mkdir(join(folder, 'system/cache'), { recursive: true });
  await writeFile(join(folder, 'system/cache/remote.png'), 'fetched again');
  await mkdir(join(folder, 'index'));
  await writeFile(join(folder, 'index/media.index'), 'the index');
});

afterAll(async () => {
  await host.close();
  await rm(folder, { recursive: true, force: true });
});

describe('a restic off-site', () => {
  let stored: StoredPart;

  it('says that nothing is there yet, and how it is made', async () => {
    const failure = await withRepository((offsite) => offsite.check()).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      type: 'NotFound',
      next: expect.stringContaining('permafrost offsite init vault'),
    });
    await withRepository((offsite) => offsite.create());
    await withRepository((offsite) => offsite.check());
  });

  it('refuses another password, and a second repository in the same place', async () => {
    await writeFile(join(folder, 'wrong'), 'not it\n');
    const right = config;
    config = { ...right, passwordFile: join(folder, 'wrong') };
    await expect(withRepository((offsite) => offsite.check())).rejects.toMatchObject({ type: 'AuthFailed' });
    config = right;
    await expect(withRepository((offsite) => offsite.create())).rejects.toMatchObject({ type: 'Refused' });
  });

  it('takes media with any name, without the cache, and gives each back', async () => {
    stored = await withRepository((offsite) =>
      offsite.put(
        {
          ...{ name: 'media', backup: '20261122T031700Z', again: false },
          ...{ folder: join(folder, 'system'), exclude: [join(folder, 'system/cache')] },
          indexFolder: join(folder, 'index'),
        },
        follow,
      ),
    );
    const want = new Map(names.map((name) => [name, sha256(contentOf(name))]));
    await withRepository(async (offsite) => {
      const listed: string[] = [];
      for await (const file of offsite.listMedia(stored.ref)) listed.push(file.path);
      expect(listed.sort()).toEqual([...names].sort());
      const folders = [...new Set(names.map((name) => verifyFolder(name) || name))];
      expect(folders.length).toBeLessThan(names.length);
      for (const wanted of ['all', names, folders] as const) {
        const read = new Map<string, string>();
        for await (const file of offsite.readMedia(stored.ref, wanted, join(folder, 'scratch')))
          read.set(file.path, file.sha256);
        expect(read).toEqual(want);
      }
      const index = await offsite.readEntry(stored.ref, 'media.index');
      expect(await index.stdout.toArray().then((chunks: Buffer[]) => Buffer.concat(chunks).toString())).toBe(
        'the index',
      );
    });
  });

  it('lists nothing that was not sealed, and names it as what a dead run has left', async () => {
    await withRepository(async (offsite) => {
      expect(await offsite.list()).toEqual({ sealed: [], unsealed: ['20261122T031700Z'] });
    });
  });

  it('keeps one snapshot for a part that was sent again', async () => {
    await withRepository(async (offsite) => {
      await offsite.put(
        {
          ...{ name: 'media', backup: '20261122T031700Z', again: true },
          ...{ folder: join(folder, 'system'), exclude: [], indexFolder: join(folder, 'index') },
        },
        follow,
      );
      const program = await provideTool(host, 'restic');
      const { stdout } = await execa(program, [
        '-r',
        config.repository,
        '-p',
        config.passwordFile,
        'snapshots',
        '--json',
        '--tag',
        'part=media',
      ]);
      expect(JSON.parse(stdout)).toHaveLength(1);
    });
  });

  it('removes a backup whole, and leaves no key behind', async () => {
    await withRepository(async (offsite) => {
      await offsite.remove(['20261122T031700Z'], follow);
      expect(await offsite.list()).toEqual({ sealed: [], unsealed: [] });
    });
    const { stdout } = await execa('sh', [
      '-c',
      `ls -d /dev/shm/permafrost_*_read.${String(process.pid)}.* 2>/dev/null || true`,
    ]);
    expect(stdout).toBe('');
    expect(await readFile(config.passwordFile, 'utf8')).toBe('a long password\n');
  });
});
