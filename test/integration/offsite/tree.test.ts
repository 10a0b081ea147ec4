import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Failure } from '../../../src/errors.js';
import { hashFolder } from '../../../src/offsite/hash-folder.js';
import type { FollowJob, MediaFile } from '../../../src/offsite/offsite.js';
import { poolName } from '../../../src/offsite/tree-layout.js';
import type { Night } from './capture.js';
import { domain } from './ground.js';
import { serveReadOnly } from './servers.js';
import { hashOf, TreeGround, WorkerDied } from './tree-ground.js';

/** What is special to trees of files, over rclone and a plain folder; what every kind does is in conformance.ts. */

let tree: TreeGround;
/** What places hold that are made once for all tests. */
let template: string;
beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), 'permafrost-tree-template-'));
});
afterAll(() => rm(template, { recursive: true, force: true }));

describe('media that users change while they are sent', () => {
  beforeEach(async () => {
    tree = await TreeGround.begin(template, 'empty', (made) => made.offsite.create());
  });
  afterEach(() => tree.end());

  it('are left out when they are gone; all others arrive', async () => {
    await tree.put('a.png', 'stays');
    await tree.put('b.png', 'goes');
    await tree.put('c.png', 'gone before anything was sent');
    const one = await tree.night('20261120T031700Z');
    await rm(join(tree.media, 'c.png'));
    tree.sendingMedia({ before: `rm -f '${tree.media}/b.png'` });
    const sent = await tree.send(await tree.ground.open(), one);
    expect(await tree.missingOf(one)).toEqual(['b.png', 'c.png']);
    expect(await tree.inPool()).toEqual([hashOf('stays')]);
    const [, stored] = [...sent.values()];
    const index = stored?.ref.files?.[0]?.bytes ?? 0;
    expect(stored?.bytesAdded).toBe(index + 'stays'.length);
  });

  it('are not there under the name of what they were', async () => {
    await tree.put('a.png', 'stays');
    await tree.put('b.png', 'what was here');
    await tree.put('twin/one.png', 'two of this');
    await tree.put('twin/two.png', 'two of this');
    const one = await tree.night('20261120T031700Z');
    // In place, in the same size, and sent before anybody can see it.
    const change = `printf 'what is now!!' > '${tree.media}/b.png'; printf 'now another' > '${tree.media}/twin/one.png'`;
    tree.sendingMedia({ before: change });
    await tree.send(await tree.ground.open(), one);
    expect(await tree.missingOf(one)).toEqual(['b.png']);
    expect(await tree.inPool()).toEqual([hashOf('stays'), hashOf('two of this')].sort());
    for (const name of await tree.inPool())
      expect(hashOf(await readFile(join(tree.pool, poolName(name))))).toBe(name);
  });

  it('are found by the attempt after one that was ended while it sent', async () => {
    await tree.put('a.png', 'stays');
    await tree.put('b.png', 'what was here');
    const one = await tree.night('20261120T031700Z');
    tree.sendingMedia({
      before: `printf 'what is now!!' > '${tree.media}/b.png'`,
      after: 'kill -9 $PPID; sleep 1',
    });
    await expect(tree.send(await tree.ground.open(), one)).rejects.toThrow();
    expect(await tree.inPool()).toContain(hashOf('what was here'));
    tree.meddle = (transport) => transport;
    await tree.send(await tree.ground.open(), one);
    expect(await tree.inPool()).toEqual([hashOf('stays')]);
  });

  it('are taken out once, when the attempt after it goes on', async () => {
    await tree.put('a.png', 'stays');
    await tree.put('b.png', 'goes');
    const one = await tree.night('20261120T031700Z');
    tree.sendingMedia({ after: `rm -f '${tree.media}/b.png'` });
    const jobs = tree.follow;
    await tree.send(await tree.ground.open(), one, jobs);
    await tree.send(await tree.ground.open(), one, jobs); // nobody heard that it was done
    expect(await tree.inPool()).toEqual([hashOf('stays')]);
  });

  it('end the attempts when it is not they that are to blame', async () => {
    await tree.put('a.png', 'stays');
    const one = await tree.night('20261120T031700Z');
    await mkdir(dirname(tree.pool), { recursive: true });
    await writeFile(tree.pool, 'a file where the pool should be');
    await expect(tree.send(tree.offsite, one)).rejects.toMatchObject({ type: 'OffsiteUnavailable' });
    expect(tree.steps.filter((step) => step.startsWith('send to the pool')).length).toBeLessThanOrEqual(1);
  });
});

describe('a pool that backups share', () => {
  const nights: Night[] = [];
  const only = (at: number) => hashOf(`only in ${String(at)}`);

  /** Three nights: `all` is in each of them, `only n` in one, `first and last` comes back. */
  async function makeNights(made: TreeGround): Promise<void> {
    await made.offsite.create();
    for (const [at, backup] of ['20261120T031700Z', '20261121T031700Z', '20261122T031700Z'].entries()) {
      await rm(made.media, { recursive: true });
      await made.put('all.png', 'all');
      await made.put(`${String(at)}/only.png`, `only in ${String(at)}`);
      if (at !== 1) await made.put('again.png', 'first and last');
      const one = await made.night(backup, at === 2 ? { full: '20261121T031700Z' } : {});
      await made.seal(made.offsite, one);
      nights.push(one);
    }
  }
  beforeEach(async () => {
    tree = await TreeGround.begin(template, 'nights', makeNights);
  });
  afterEach(() => tree.end());

  it('gives back what no other backup has, and nothing else', async () => {
    expect(await tree.inPool()).toHaveLength(5);
    expect(await tree.offsite.remove(['20261120T031700Z'], tree.follow)).toBe('removed');
    expect(await tree.inPool()).toEqual([only(1), only(2), hashOf('all'), hashOf('first and last')].sort());
    for (const one of nights.slice(1)) expect(await tree.missingOf(one)).toEqual([]);
    expect(await readdir(join(tree.folder, 'behind', domain, 'backups'))).toEqual([
      '20261121T031700Z',
      '20261122T031700Z',
    ]);
    expect(await readdir(join(tree.folder, 'work'))).not.toContainEqual(
      expect.stringMatching(/^garbage|^call/),
    );
    // What the next removal has seen of indexes it still knows.
    await writeFile(
      join(tree.folder, 'behind', domain, 'backups/20261121T031700Z/media/media.index.zst'),
      'damaged',
    );
    await tree.offsite.remove(['20261122T031700Z'], tree.follow);
    expect(await tree.inPool()).toEqual([only(1), hashOf('all')].sort());
  });

  it('keeps what a backup needs that is being sent', async () => {
    await rm(tree.media, { recursive: true });
    await tree.put('again/only.png', 'only in 0');
    const sending = await tree.night('20261123T031700Z');
    await tree.send(tree.offsite, sending); // and not sealed yet
    await tree.offsite.remove(['20261120T031700Z'], tree.follow);
    expect(await tree.missingOf(sending)).toEqual([]);
  });

  it.each([
    ['is damaged', (path: string) => writeFile(path, 'damaged')],
    ['is cut off', (path: string) => execa('sh', ['-c', cutOff, 'sh', path])],
    ['is gone', (path: string) => rm(path)],
  ])('loses nothing when an index of another backup %s', async (_how, spoil) => {
    await spoil(join(tree.folder, 'behind', domain, 'backups/20261121T031700Z/media/media.index.zst'));
    const before = await tree.inPool();
    await expect(tree.offsite.remove(['20261120T031700Z'], tree.follow)).rejects.toMatchObject({
      type: 'VerifyFailed',
      message: expect.stringContaining('20261121T031700Z'),
    });
    expect(await tree.inPool()).toEqual(before);
    expect((await tree.offsite.list()).sealed).toHaveLength(3);
  });

  it('is left alone where nothing can be removed', async () => {
    const server = await serveReadOnly(join(tree.folder, 'behind'));
    try {
      tree.remote = `:webdav,url="${server.url}",vendor=rclone:`;
      const away = await tree.ground.open();
      await away.check();
      const before = await tree.inPool();
      expect(await away.remove(['20261120T031700Z'], tree.follow)).toBe('append-only');
      await expect(away.release('20261120T031700Z')).resolves.toBeUndefined(); // no mark, nothing to remove
      expect(await tree.inPool()).toEqual(before);
      expect((await away.list()).sealed).toHaveLength(3);
    } finally {
      await server.stop();
    }
  });

  it('loses nothing that somebody wants to keep since it was decided what goes', async () => {
    const going = '20261120T031700Z';
    const jobs = tree.follow;
    const follow: FollowJob = async (step, ...rest) => {
      if (step.startsWith('find what no index names')) await tree.offsite.keep(going, null);
      return jobs(step, ...rest);
    };
    const removing = tree.offsite.remove([going], follow, ({ sealed }) =>
      sealed.some(({ backup, kept }) => backup === going && kept !== undefined)
        ? Promise.reject(new Failure('Refused', 'it is kept now'))
        : Promise.resolve(),
    );
    await expect(removing).rejects.toMatchObject({ message: 'it is kept now' });
    expect(await tree.inPool()).toHaveLength(5);
    expect((await tree.offsite.list()).sealed).toHaveLength(3);
  });

  it('says so where some can be removed and some not', async () => {
    const [first, full, delta] = nights.map(({ backup }) => backup);
    const folder = join(tree.folder, 'behind', domain, 'backups', full ?? '');
    await execa('chattr', ['+a', folder]);
    const said = { type: 'OffsiteUnavailable', message: expect.stringContaining(full ?? 'no night') };
    try {
      // The seal of the delta goes; then one of two.
      await expect(tree.offsite.remove([delta ?? '', full ?? ''], tree.follow)).rejects.toMatchObject(said);
      expect((await tree.offsite.list()).sealed.map(({ backup }) => backup)).toEqual([full, first]);
      await expect(tree.offsite.remove([first ?? '', full ?? ''], tree.follow)).rejects.toMatchObject(said);
      expect(await tree.offsite.remove([full ?? ''], tree.follow)).toBe('append-only');
    } finally {
      await execa('chattr', ['-a', folder]);
    }
  });

  it('loses no full dump that a delta needs', async () => {
    await expect(tree.offsite.remove(['20261121T031700Z'], tree.follow)).rejects.toMatchObject({
      type: 'Refused',
    });
    expect((await tree.offsite.list()).sealed).toHaveLength(3);
    await tree.offsite.remove(['20261121T031700Z', '20261122T031700Z'], tree.follow);
    expect((await tree.offsite.list()).sealed.map(({ backup }) => backup)).toEqual(['20261120T031700Z']);
    expect(await tree.missingOf(nights[0] ?? { backup: '', parts: [] })).toEqual([]);
  });

  it('breaks no other backup, wherever a removal ends', async () => {
    const going = ['20261120T031700Z', '20261121T031700Z', '20261122T031700Z'].slice(1);
    const [staying] = nights;
    const jobs = tree.follow;
    let died = 0;
    for (let done = false; !done;) {
      died += 1;
      const { limited, run } = tree.dyingAfter(died, jobs);
      tree.through = limited;
      const dying = await tree.ground.open();
      tree.through = (host) => host;
      done = await dying.remove(going, run).then(
        () => true,
        (error: unknown) => {
          if (!(error instanceof WorkerDied)) throw error;
          return false;
        },
      );
      const { sealed } = await tree.offsite.list();
      const ids = sealed.map(({ backup }) => backup);
      // No delta is there without the full dump that it needs; whatever is listed is whole.
      if (ids.includes('20261122T031700Z')) expect(ids).toContain('20261121T031700Z');
      for (const one of nights) if (ids.includes(one.backup)) expect(await tree.missingOf(one)).toEqual([]);
      expect(ids).toContain('20261120T031700Z');
    }
    expect(died).toBeGreaterThan(5);
    expect(await tree.offsite.list()).toMatchObject({
      sealed: [{ backup: '20261120T031700Z' }],
      unsealed: [],
    });
    expect(await tree.inPool()).toEqual([only(0), hashOf('all'), hashOf('first and last')].sort());
    expect(await tree.missingOf(staying ?? { backup: '', parts: [] })).toEqual([]);
  });

  it('gets a damaged file anew when it is told of it', async () => {
    const [one] = nights;
    const spoiled = join(tree.pool, poolName(only(0)));
    await writeFile(spoiled, 'ONLY in 0');
    if (one === undefined) throw new Error('no night');
    expect(await tree.missingOf(one)).toEqual(['0/only.png']);
    await tree.offsite.mend?.({ backup: one.backup, name: 'media' }, [only(0), '../../backups']);
    await tree.put('0/only.png', 'only in 0');
    await tree.send(tree.offsite, await tree.night('20261124T031700Z'));
    expect(await tree.missingOf(one)).toEqual([]);
  });
});

describe('a tree', () => {
  beforeEach(async () => {
    tree = await TreeGround.begin(template, 'empty', (made) => made.offsite.create());
  });
  afterEach(() => tree.end());

  it('shows only whole backups, wherever sending one ends, and the next attempt goes on', async () => {
    await tree.put('a.png', 'one');
    await tree.put('b.png', randomBytes(100_000));
    const one = await tree.night('20261120T031700Z');
    const jobs = tree.follow;
    let died = 0;
    for (let done = false; !done;) {
      died += 1;
      const { limited, run } = tree.dyingAfter(died, jobs);
      tree.through = limited;
      const dying = await tree.ground.open();
      tree.through = (host) => host;
      done = await tree.seal(dying, one, run).then(
        () => true,
        (error: unknown) => {
          if (!(error instanceof WorkerDied)) throw error;
          return false;
        },
      );
      // The very last command is the seal's: whether that was heard of or not, the backup is whole then.
      const { sealed } = await tree.offsite.list();
      if (!done && sealed.length === 0) continue;
      expect(sealed).toMatchObject([{ backup: one.backup, parts: ['database', 'media'] }]);
      expect(await tree.missingOf(one)).toEqual([]);
      for (const found of sealed) expect(await tree.offsite.readManifest(found)).toContain(one.backup);
    }
    expect(died).toBeGreaterThan(8);

    // What has gone from the pool since is sent again, also where an attempt is gone on with.
    await rm(join(tree.pool, poolName(hashOf('one'))));
    await tree.send(tree.offsite, one);
    expect(await tree.missingOf(one)).toEqual([]);
  });

  it('names a manifest that is not the one that a backup was sealed with', async () => {
    await tree.put('a.png', 'one');
    const [first, second] = [await tree.night('20261120T031700Z'), await tree.night('20261121T031700Z')];
    await tree.seal(tree.offsite, first);
    await tree.seal(tree.offsite, second);
    const file = (backup: string) => join(tree.folder, 'behind', domain, 'backups', backup, 'manifest.json');
    const older = await readFile(file(first.backup));
    const { sealed } = await tree.offsite.list();
    const newest = sealed[0] ?? { backup: '', parts: [], key: '' };
    await writeFile(file(second.backup), older);
    const said = { type: 'NotRestorable', message: expect.stringContaining(second.backup) };
    await expect(tree.offsite.readManifest(newest)).rejects.toMatchObject(said);
    await rm(file(second.backup));
    await expect(tree.offsite.readManifest(newest)).rejects.toMatchObject(said);
    expect((await tree.offsite.list()).sealed).toEqual(sealed);
  });

  it('does not take a place that is not there for one without backups', async () => {
    expect(await tree.offsite.list()).toEqual({ sealed: [], unsealed: [] });
    await rm(join(tree.folder, 'behind'), { recursive: true });
    await mkdir(join(tree.folder, 'behind'));
    await expect(tree.offsite.list()).rejects.toMatchObject({ type: 'NotFound' });
  });

  it('takes a file that cannot be read on the host for no fault of the place', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'permafrost-unreadable-'));
    try {
      await execa('sh', [
        '-c',
        'chmod 755 "$1"; echo 1 > "$1/one"; echo 2 > "$1/two"; chmod 600 "$1/two"',
        'sh',
        folder,
      ]);
      const hashing = (async () => {
        const found = [];
        for await (const file of hashFolder(tree.ground.host, { user: 'nobody' }, folder)) found.push(file);
      })();
      await expect(hashing).rejects.toMatchObject({
        type: 'CommandFailed',
        message: expect.stringContaining('two'),
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('puts nothing outside of the folder that media are fetched into', async () => {
    const sha256 = await tree.put('a.png', 'one');
    await tree.seal(tree.offsite, await tree.night('20261120T031700Z'));
    const into = join(tree.folder, 'into');
    const ref = { backup: '20261120T031700Z', name: 'media' as const };
    const fetch = (path: string) =>
      tree.offsite.fetchMedia(ref, [{ path, sha256, size: 3 } satisfies MediaFile], into);
    for (const path of ['../out.png', '/tmp/permafrost-out.png', 'a/../../out.png'])
      await expect(fetch(path)).rejects.toThrow();
    await fetch('deep/..png/a.png');
    expect((await readdir(into, { recursive: true })).sort()).toEqual([
      'deep',
      'deep/..png',
      'deep/..png/a.png',
    ]);
    expect(await readdir(tree.folder)).not.toContain('out.png');
  });
});

/** A whole file of zstd, with a media index in it that lacks its end. */
const cutOff = 'zstd -dc "$1" | head -n -1 | zstd -q > "$1.cut" && mv "$1.cut" "$1"';
