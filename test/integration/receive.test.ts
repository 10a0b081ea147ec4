import { spawnSync } from 'node:child_process';
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
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MediaRecord } from '../../src/backups/media-index.js';
import { ownMark } from '../../src/hosts/leftovers.js';
import type { Offsite } from '../../src/offsite/offsite.js';
import {
  mediaOwners,
  readMediaIndexFile,
  type Received,
  receivedAt,
  receiveMedia,
  receiveParts,
} from '../../src/offsite/receive.js';
import { takeMediaBack, whoPlacesMedia } from '../../src/restore/added-media.js';
import { type Capture, captured, makeCapture, type Night, sha256, special } from './offsite/capture.js';
import { domain, Ground, manifestOf, type Place, publicKey } from './offsite/ground.js';
import { makeKeysQuick } from './offsite/quick-keys.js';

/** Whatever way a backup lies on an off-site, it comes out of it as it was. */
let capture: Capture;
let folder: string;
beforeAll(async () => {
  capture = await makeCapture();
  folder = await mkdtemp(join(tmpdir(), 'permafrost-receive-'));
  await chmod(folder, 0o755);
});
afterAll(async () => {
  await rm(capture.folder, { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
});

async function restic(at: string): Promise<Place> {
  const behind = join(at, 'repository');
  const passwordFile = join(at, 'password');
  await writeFile(passwordFile, 'password\n', { mode: 0o600 });
  return {
    config: { kind: 'restic', name: 'vault', repository: behind, passwordFile },
    ...{ behind, encrypts: 'all', wrong: [], secrets: [], pool: false },
    created: () => makeKeysQuick(behind, 'password'),
  };
}

async function rclone(at: string): Promise<Place> {
  const behind = join(at, 'place');
  const configFile = join(at, 'rclone.conf');
  await mkdir(behind);
  await writeFile(configFile, `[disk]\ntype = alias\nremote = ${behind}\n`);
  const config = { kind: 'rclone', name: 'cloud', remote: 'disk:', configFile, encrypted: false } as const;
  return { config, behind, encrypts: 'nothing', wrong: [], secrets: [], pool: true };
}

describe.each([
  { kind: 'restic', prepare: restic },
  { kind: 'rclone', prepare: rclone },
])('out of an off-site of kind $kind', ({ kind, prepare }) => {
  let ground: Ground;
  let offsite: Offsite;
  let at: string;
  beforeAll(async () => {
    at = join(folder, kind);
    await mkdir(at);
    ground = new Ground(at, await prepare(at));
    offsite = await ground.open();
    await offsite.create();
    ground.place.created?.();
    for (const night of [capture.second, capture.third]) {
      const sent = await ground.put(offsite, night, (part) => captured(night, part));
      await offsite.seal(manifestOf(night, sent, offsite), false);
    }
  }, 120_000);
  afterAll(() => ground?.stop());

  const receive = (night: Night, name: string, more: Partial<Parameters<typeof receiveParts>[0]> = {}) =>
    receiveParts({
      ...{ copy: offsite, host: ground.host, into: join(at, name), domain, backup: night.backup },
      ...{ parts: night.parts.map((part) => part.name), trusted: { keys: [publicKey] } },
      ...more,
    });
  const part = (night: Night, name: string) => {
    const found = night.parts.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };
  const text = (path: string | undefined) => readFile(path ?? '', 'utf8');
  const media = (received: Received, into: string, more: Partial<Parameters<typeof receiveMedia>[0]> = {}) =>
    receiveMedia({
      ...{ copy: offsite, host: ground.host, manifest: received.manifest, into },
      ...{ index: received.files.mediaIndex ?? '', wanted: 'missing', as: 'login' },
      ...more,
    });

  test('the small parts come as they were, once; what is there and right is not fetched again', async () => {
    const told: number[] = [];
    const received = await receive(capture.second, 'small', {
      tell: ({ bytes = 0, totalBytes = 0 }) => told.push(bytes / totalBytes),
    });
    expect(received).toMatchObject({ findings: [], signature: 'valid', checked: { files: 5 } });
    expect(told).toEqual([...told].sort((one, other) => one - other));
    const { files } = received;
    for (const [file, of, name] of [
      [files.dump, 'database', 'database.dump'],
      [files.roles, 'database', 'roles.sql'],
      [files.secrets, 'secrets', 'secrets.tar'],
      [files.rdb, 'redis', 'dump.rdb'],
    ] as const)
      expect(sha256(await readFile(file ?? '')), name).toBe(
        sha256(await readFile(join(part(capture.second, of).folder, name))),
      );
    expect(await receivedAt(ground.host, join(at, 'small'))).toEqual(received);
    expect(await receivedAt(ground.host, join(at, 'nothing'))).toBeUndefined();

    await writeFile(files.secrets ?? '', 'x');
    const entries: string[] = [];
    const counting: Offsite = {
      ...offsite,
      readEntry: (ref, path) => (entries.push(path), offsite.readEntry(ref, path)),
    };
    const again = await receive(capture.second, 'small', { copy: counting });
    expect(entries).toEqual(['secrets.tar']);
    expect(again).toEqual(received);
    expect((await lstat(join(at, 'small'))).mode & 0o777).toBe(0o700);
  });

  test('a dump that lies there as a delta is put together, and nothing of its making is left', async () => {
    const { files, findings, manifest } = await receive(capture.third, 'delta');
    expect(findings).toEqual([]);
    expect(sha256(await readFile(files.dump ?? ''))).toBe(manifest.database?.delta?.dumpSha256);
    expect((await readdir(join(at, 'delta/database'))).sort()).toEqual(['database.dump', 'roles.sql']);
  });

  test('media get their names, bytes, rights and times, whatever they are called', async () => {
    const received = await receive(capture.second, 'media', { parts: ['media'] });
    const records: MediaRecord[] = [];
    for await (const record of readMediaIndexFile(ground.host, received.files.mediaIndex ?? ''))
      records.push(record);
    const wanted = part(capture.second, 'media').files;
    expect(records).toEqual(wanted);

    const web = join(at, 'web/public');
    await mkdir(web, { recursive: true });
    await chown(web, 65534, 65534);
    const root = join(web, 'system');
    const owners = () => ({ uid: 1234, gid: 4321 });
    const bytes = wanted.reduce((sum, { size }) => sum + size, 0);
    const came = await media(received, root, { owners });
    expect(came).toEqual({ added: wanted.length, present: 0, bytes, findings: [] });
    expect(await tree(root)).toEqual(wanted.map((record) => lineOf(record, '1234 4321')));
    expect(await readdir(web)).toEqual(['system']); // and nothing that waited for its place
    expect(await lstat(join(root, 'accounts'))).toMatchObject({ uid: 65534, gid: 65534 });

    // Once more, over what an operator, and a killed attempt, have left.
    const other = join(root, special.one);
    await writeFile(other, Buffer.alloc(22_222, 'x'));
    await utimes(join(root, special.other), 0, 0);
    await rm(join(root, special.large));
    await chmod(join(root, special.fresh), 0o600);
    const { pid } = spawnSync('true');
    const left = join(web, `.permafrost-incoming-${ownMark().replace(/^\d+/, String(pid))}`);
    await mkdir(left);
    expect(await media(received, root, { owners })).toEqual({
      ...{ added: 1, present: wanted.length - 2, bytes: 1_400_000 },
      findings: [
        { part: 'media', path: special.one, problem: 'differs from what is there, which was left as it is' },
      ],
    });
    expect(await text(other)).toBe('x'.repeat(22_222));
    expect((await lstat(join(root, special.fresh))).mode & 0o777).toBe(0o600);
    expect(await readdir(web)).toEqual(['system']);
  });

  test('media go through the hands of another user, whose they then are', async () => {
    const received = await receive(capture.second, 'media', { parts: ['media'] });
    const root = join(folder, `nobodys-${kind}`);
    await mkdir(root);
    await chown(root, 65534, 65534);
    const came = await media(received, root, {
      ...{ as: { user: 'nobody' }, wanted: { sample: 7, seed: 'a' } },
    });
    expect(came).toMatchObject({ added: 7, findings: [] });
    const own = await tree(root);
    expect(own).toHaveLength(7);
    const index = new Map(part(capture.second, 'media').files.map((record) => [nameOf(record), record]));
    for (const line of own) {
      const record = index.get(line.slice(line.indexOf('/')));
      expect(line).toBe(record && lineOf(record, '65534 65534'));
    }
    expect(
      await media(received, root, { as: { user: 'nobody' }, wanted: { sample: 7, seed: 'a' } }),
    ).toMatchObject({
      ...{ added: 0, present: 7 },
    });
    const others = await media(received, root, { as: { user: 'nobody' }, wanted: { sample: 7, seed: 'b' } });
    expect(others.added).toBeGreaterThan(0);
    expect((await readdir(folder)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test.runIf(kind === 'rclone')(
    'media that came for nothing go again, as Mastodon’s user, and with them the folders that were made',
    async () => {
      const received = await receive(capture.second, 'media', { parts: ['media'] });
      const [uid, gid] = [65534, 65534];
      const web = join(folder, `taken-back-${kind}`);
      await mkdir(web);
      const root = join(web, 'public/system');
      const noteAdded = join(at, 'added');
      const index = join(at, 'privileged.index');
      const plain = await readFile(received.files.mediaIndex ?? '', 'latin1');
      await writeFile(index, plain.replaceAll(/^(# \d+ \S+) 0?(\d{3}) /gm, '$1 6$2 '), 'latin1');

      const target = { host: ground.host, appUser: 'nobody', as: 'login' as const };
      await expect(whoPlacesMedia(target, { media: web, index })).rejects.toMatchObject({ type: 'Refused' });
      const { as } = await whoPlacesMedia(target, { media: root, index });
      expect(as).toEqual({ user: 'nobody' });
      expect(await lstat(root)).toMatchObject({ uid, gid });
      const before = join(root, 'accounts/mine');
      await mkdir(before, { recursive: true });
      await chown(join(root, 'accounts'), uid, gid);

      const came = await media(received, root, { as, index, noteAdded });
      const wanted = part(capture.second, 'media').files;
      expect(came).toMatchObject({ added: wanted.length, findings: [] });
      expect(await tree(root)).toEqual(wanted.map((record) => lineOf(record, '65534 65534')));
      // Another file of that name by now: an operator's.
      await rm(join(root, special.large));
      await writeFile(join(root, special.large), 'mine');
      await takeMediaBack(ground.host, noteAdded);
      const left = await readdir(root, { recursive: true });
      const own = (path: string) => special.large.startsWith(path) || 'accounts/mine'.startsWith(path);
      expect(left.filter((path) => !own(path))).toEqual([]);
      expect(await text(join(root, special.large))).toBe('mine');

      // A link of his leads where he may go, and no farther.
      const closed = join(at, 'closed');
      await mkdir(closed);
      const top = wanted[0]?.path.split('/')[0] ?? '';
      await rm(join(root, top), { recursive: true, force: true });
      await symlink(closed, join(root, top));
      await expect(media(received, root, { as, index, noteAdded })).rejects.toMatchObject({
        type: 'CommandFailed',
      });
      expect(await readdir(closed)).toEqual([]);
      await takeMediaBack(ground.host, noteAdded);
    },
  );

  test('what is damaged is named, does not come, and keeps nothing else from coming', async () => {
    const spoilt: Offsite = {
      ...offsite,
      readEntry: (ref, path) =>
        path === 'dump.rdb'
          ? ground.host.stream(['head', '-c', '60000', '/dev/zero'])
          : offsite.readEntry(ref, path),
      fetchMedia: async (ref, wanted, into) => {
        await offsite.fetchMedia(ref, wanted, into);
        await rm(join(into, special.twin), { force: true });
        await writeFile(join(into, special.fresh), Buffer.alloc(31_000));
      },
    };
    const received = await receive(capture.second, 'spoilt', { copy: spoilt });
    expect(received.findings).toEqual([{ part: 'redis', path: 'dump.rdb', problem: 'came back changed' }]);
    expect(received.files.rdb).toBeUndefined();
    expect(await readdir(join(at, 'spoilt/redis'))).toEqual([]);
    expect(received.files.dump).toBeDefined();
    const root = join(at, 'spoilt/system');
    const excusing = {
      ...received.manifest,
      copy: { ...received.manifest.copy, changedMeanwhile: [special.twin] },
    };
    const first = await media(received, root, { copy: spoilt });
    const missing = {
      part: 'media',
      path: special.twin,
      problem: expect.stringContaining('did not come') as string,
    };
    const changed = { part: 'media', path: special.fresh, problem: 'came back changed' };
    expect(first.findings).toEqual([missing, changed]);
    expect(first.added).toBe(part(capture.second, 'media').files.length - 2);
    const second = await media(received, root, { copy: spoilt, manifest: excusing });
    expect(second).toMatchObject({ added: 0, findings: [changed] });
  });

  test('a backup that is not there, or whose manifest somebody changed, is told apart', async () => {
    await expect(receive({ ...capture.second, backup: '20200101T000000Z' }, 'none')).rejects.toMatchObject({
      type: 'NotFound',
    });
    const forging: Offsite = {
      ...offsite,
      readManifest: async (stored) => (await offsite.readManifest(stored)).replace('"4.6.2"', '"4.6.3"'),
    };
    const forged = await receive(capture.third, 'forged', { copy: forging });
    expect(forged).toMatchObject({
      ...{ signature: 'broken' },
      findings: [
        { part: 'manifest', problem: expect.stringContaining('changed after it was sealed') as string },
      ],
    });
  });
});

test('owners are those of the same name here; who has none here becomes the other one', async () => {
  const ground = new Ground(folder, await restic(folder));
  try {
    const index = join(folder, 'index');
    await writeFile(
      index,
      '# permafrost media index 1\n# user 991 nobody\n# user 7 mastodon-elsewhere\n# group 8 root\n# end 0 0\n',
    );
    const owners = await mediaOwners(ground.host, index, { uid: 1, gid: 2 });
    expect([owners(991, 8), owners(7, 991), owners(0, 0)]).toEqual([
      { uid: 65534, gid: 0 },
      { uid: 1, gid: 2 },
      { uid: 1, gid: 2 },
    ]);
  } finally {
    await ground.host.close();
  }
});

/** `mode mtime size sha256 owner /path`, the path in Latin-1 so that all of its bytes count. */
function lineOf({ mode, mtime, size, sha256: sum, ...record }: MediaRecord, owner: string): string {
  return `${mode.toString(8)} ${mtime}0 ${String(size)} ${sum} ${owner} ${nameOf(record)}`;
}

function nameOf({ pathBytes }: Pick<MediaRecord, 'pathBytes'>): string {
  return `/${pathBytes.toString('latin1')}`;
}

/** The files of a folder as they really are, in the order of an index. */
async function tree(root: string): Promise<string[]> {
  const script = `cd -- "$1" && find . -type f -printf '%m %T@ %s\\0%U %G\\0%P\\0'`;
  const { stdout } = await execa('sh', ['-c', script, 'sh', root], { encoding: 'buffer' });
  const words = Buffer.from(stdout).toString('latin1').split('\0').slice(0, -1);
  const lines: string[] = [];
  for (let at = 0; at < words.length; at += 3) {
    const [facts = '', owner = '', path = ''] = words.slice(at, at + 3);
    const sum = sha256(await readFile(Buffer.from(`${root}/${path}`, 'latin1')));
    lines.push([facts, sum, owner, `/${path}`].join(' '));
  }
  const pathOf = (line: string) => line.slice(line.indexOf('/'));
  return lines.sort((one, other) => (pathOf(one) < pathOf(other) ? -1 : 1));
}
