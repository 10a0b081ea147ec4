import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { permafrostCommand } from '../../scripts/permafrost.js';
import { loadConfiguration } from '../../src/config/load.js';
import { endedBy } from '../../src/hosts/ended-by.js';
import type { Host } from '../../src/hosts/host.js';
import { ownMark } from '../../src/hosts/leftovers.js';
import { sshHost } from '../../src/hosts/ssh.js';
import { toolPath } from '../../src/hosts/tools.js';
import { instanceOf, offsiteOf, withOffsite } from '../../src/offsite/read.js';
import { receiveParts } from '../../src/offsite/receive.js';
import { poolName } from '../../src/offsite/tree-layout.js';
import { startSshd } from './hosts/sshd.js';
import { CapturedIo } from '../unit/cli/captured-io.js';
import { type Capture, captured, makeCapture, type Night, special } from './offsite/capture.js';
import { commandLines, domain, Ground, manifestOf, type Place, publicKey } from './offsite/ground.js';
import { makeKeysQuick } from './offsite/quick-keys.js';

/** One backup on two off-sites, and a command that lays it out; the archive of its secrets is broken on both. */
let capture: Capture;
let here: string;
let night: Night;
let out: string;
const configuration = () => join(here, 'permafrost.yaml');

beforeAll(async () => {
  capture = await makeCapture();
  night = capture.second;
  here = await mkdtemp(join(tmpdir(), 'permafrost-to-folder-'));
  const places = { cloud: await rclone(join(here, 'cloud')), vault: await restic(join(here, 'vault')) };
  for (const [name, place] of Object.entries(places)) {
    const ground = new Ground(join(here, name), place);
    try {
      const offsite = await ground.open();
      await offsite.create();
      place.created?.();
      const sent = await ground.put(offsite, night, (part) => captured(night, part));
      await offsite.seal(manifestOf(night, sent, offsite), false);
    } finally {
      await ground.stop();
    }
  }
  await writeFile(join(here, 'signing.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
  await configure();
}, 120_000);
afterAll(async () => {
  await rm(capture.folder, { recursive: true, force: true });
  await rm(here, { recursive: true, force: true });
});
beforeEach(async () => {
  out = join(here, 'out');
  await rm(out, { recursive: true, force: true });
});

async function restic(folder: string): Promise<Place> {
  await mkdir(folder);
  const behind = join(folder, 'repository');
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, 'password of the vault\n', { mode: 0o600 });
  return {
    config: { kind: 'restic', name: 'vault', repository: behind, passwordFile },
    ...{ behind, encrypts: 'all', wrong: [], secrets: [], pool: false },
    created: () => makeKeysQuick(behind, 'password of the vault'),
  };
}

async function rclone(folder: string): Promise<Place> {
  const behind = join(folder, 'place');
  await mkdir(behind, { recursive: true });
  const configFile = join(folder, 'rclone.conf');
  await writeFile(configFile, `[disk]\ntype = alias\nremote = ${behind}\n`);
  const config = { kind: 'rclone', name: 'cloud', remote: 'disk:', configFile, encrypted: false } as const;
  return { config, behind, encrypts: 'nothing', wrong: [], secrets: [], pool: true };
}

async function configure(slow: { bandwidth?: string } = {}): Promise<void> {
  const settings = {
    instances: {
      [domain]: { host: 'local', mastodon: { root: '/nowhere' }, offsites: ['cloud', 'vault'] },
    },
    offsites: {
      cloud: { kind: 'rclone', remote: 'disk:', configFile: 'cloud/rclone.conf', encrypted: false, ...slow },
      vault: { kind: 'restic', repository: join(here, 'vault/repository'), passwordFile: 'vault/password' },
    },
    ...{ state: 'state', trustedKeys: ['signing.pub'] },
  };
  await writeFile(configuration(), JSON.stringify(settings)); // YAML takes JSON
}

function command(...words: string[]) {
  const io = new CapturedIo({ PERMAFROST_CONFIG: configuration(), NO_COLOR: '1' });
  const ended = io.run(permafrostCommand, 'restore', '--to', out, ...words);
  return { io, ended };
}

async function restore(...words: string[]) {
  const { io, ended } = command(...words, '--json');
  const exitCode = await ended;
  return { exitCode, json: io.json(), error: io.json()['error'] as { message: string; next: string } };
}

const good = '--parts=database,media,redis';

function media(path: string): Promise<Buffer> {
  return readFile(join(out, 'media', path));
}

/** What a reader leaves on this machine while it is at work. */
async function remains(): Promise<string[]> {
  const scratch = await readdir(join(here, 'state/host/scratch'), { recursive: true }).catch(() => []);
  const keys = (await readdir('/dev/shm')).filter((name) => name.includes(`_read.${String(process.pid)}.`));
  return [...scratch.filter((name) => /\/|cache|-dump-|-media-/.test(name)), ...keys];
}

test('what is damaged on one off-site is named, and fetched from the other into the same folder', async () => {
  const sum = createHash('sha256')
    .update(await readFile(join(night.parts[2]?.folder ?? '', special.large)))
    .digest('hex');
  const stored = join(here, 'cloud/place', domain, 'media', poolName(sum));
  await rename(stored, `${stored}.gone`);
  try {
    const first = await restore(good);
    expect(first).toMatchObject({
      exitCode: 6,
      json: {
        ...{ backup: night.backup, from: 'cloud', to: out, status: 'failed', downtimeMs: 0 },
        findings: [{ part: 'media', path: special.large }],
      },
      error: { type: 'NotRestorable', next: expect.stringContaining('--from vault') as string },
    });
    expect(await readFile(join(out, 'README.txt'), 'utf8')).toContain(`media: ${special.large}`);
    expect((await media(special.one)).length).toBe(22_222);
    expect((await stat(join(out, 'database.dump'))).size).toBeGreaterThan(2_000_000);

    // As it is told; which parts are wanted is known by now.
    const [, words = ''] = /permafrost restore (.*)$/.exec(first.error.next) ?? [];
    const other = await restore(...words.split(' '));
    expect(other).toMatchObject({
      exitCode: 0,
      json: { from: 'vault', status: 'restored', findings: [], media: { added: 1, bytes: 1_400_000 } },
    });
    expect(
      createHash('sha256')
        .update(await media(special.large))
        .digest('hex'),
    ).toBe(sum);
    expect((await readdir(out)).filter((name) => name.startsWith('.'))).toEqual([]);
    expect(await remains()).toEqual([]);
  } finally {
    await rename(`${stored}.gone`, stored);
  }
});

test('secrets that cannot be unpacked are a finding, and the rest is there', async () => {
  const { exitCode, json, error } = await restore('--parts', 'secrets,redis');
  expect({ exitCode, findings: json['findings'] }).toMatchObject({
    exitCode: 6,
    findings: [{ part: 'secrets', problem: expect.stringContaining('no whole archive') as string }],
  });
  expect(error.message).toContain('secrets.tar');
  expect(await readdir(out)).toContain('dump.rdb');
});

test('Ctrl-C ends it at once, with all that it started, and the same command goes on', async () => {
  await configure({ bandwidth: '300k' });
  const { io, ended } = command(good);
  // It has begun to fetch: with this line it would take eight seconds for the dump alone.
  while (!existsSync(join(out, '.permafrost-restore/database/database.dump.new'))) await sleep(20);
  // What waits on its way does so where room was asked for.
  expect(await readdir(join(out, '.permafrost-restore/offsite'))).toContain(`${domain}-cloud-folder-work`);
  io.send('SIGINT');
  expect(await ended).toBe(130);
  expect(io.stderr.text).toMatch(/this goes on there: permafrost restore/);
  expect(await commandLines()).not.toContain(join(here, 'cloud'));
  expect(await remains()).toEqual([]);
  expect(existsSync(join(out, 'database.dump'))).toBe(false);

  await configure();
  const elsewhere = await restore('--parts', 'redis');
  expect(elsewhere).toMatchObject({
    exitCode: 3,
    error: { message: expect.stringContaining('another restore') as string },
  });
  expect(await restore()).toMatchObject({
    ...{ exitCode: 0, json: { status: 'restored', parts: ['database', 'media', 'redis'] } },
  });
});

test('another machine fetches for itself, and keeps neither keys nor anything that a killed reader has left', async () => {
  const { path: program } = toolPath('rclone');
  const sshd = await startSshd({ settings: [`SetEnv PATH=${dirname(program)}:/usr/bin:/bin`] });
  const folder = join(here, 'other machine');
  const { port, identityFile, knownHosts } = sshd;
  const other = sshHost({
    ...{ user: 'root', address: '127.0.0.1', port, identityFile, knownHosts, sudo: false, folder },
  });
  let streamed = 0;
  const counting: Host = {
    ...endedBy(other, new AbortController().signal),
    async stream(...given) {
      const stream = await other.stream(...given);
      const stdout = stream.stdout.pipe(
        new PassThrough().on('data', (chunk: Buffer) => (streamed += chunk.length)),
      );
      return { ...stream, stdout };
    },
  };
  try {
    const loaded = await loadConfiguration({ file: configuration(), env: {} });
    const instance = instanceOf(loaded, domain);
    const into = join(folder, 'received');
    const keysThere = async () =>
      (await readdir('/dev/shm')).filter((name) => name.includes(`_${domain}_read-`));
    const { pid } = spawnSync('true');
    const dead = ownMark().replace(/^\d+/, String(pid));
    const scratch = join(folder, 'scratch', `${domain}-cloud-drill`);
    const received = await withOffsite(
      loaded,
      instance,
      offsiteOf(loaded, 'cloud'),
      async (copy, { host }) => {
        const [keys = ''] = await keysThere();
        const killed = [`/dev/shm/${keys.replace(/read-.*/, `read-${dead}`)}`, `${scratch}-cache.${dead}`];
        for (const left of [...killed, `${scratch}-work/call.${dead}`])
          await mkdir(left, { recursive: true });
        return receiveParts({
          ...{ copy, host, into, domain, backup: night.backup },
          ...{ parts: ['database', 'redis'], trusted: { keys: [publicKey] } },
        });
      },
      'drill',
      counting,
    );
    expect(received).toMatchObject({ findings: [], signature: 'valid', checked: { files: 3 } });
    expect(await readFile(received.files.rdb ?? '')).toEqual(
      await readFile(join(night.parts[3]?.folder ?? '', 'dump.rdb')),
    );
    expect(streamed).toBeLessThan(100_000); // the manifest, and no dump

    await withOffsite(loaded, instance, offsiteOf(loaded, 'cloud'), () => Promise.resolve(), 'drill', other);
    // A drill's caches and files on their way are its scratch's.
    const own = join(folder, 'scratch of a drill');
    await withOffsite(
      loaded,
      instance,
      offsiteOf(loaded, 'cloud'),
      async (copy, { scratch: there }) => {
        expect((await copy.list()).sealed).toHaveLength(1);
        expect(there).toBe(join(own, `${domain}-cloud-drill`));
        await copy.readManifest((await copy.list()).sealed[0] ?? expect.fail('no backup'));
        expect(await readdir(own)).toContain(`${domain}-cloud-drill-work`);
      },
      'drill',
      other,
      own,
    );
    expect(await keysThere()).toEqual([]);
    const left = await readdir(join(folder, 'scratch'), { recursive: true });
    expect(left).toEqual([`${domain}-cloud-drill-work`]);

    const vault = withOffsite(
      loaded,
      instance,
      offsiteOf(loaded, 'vault'),
      () => Promise.resolve(),
      'drill',
      other,
    );
    await expect(vault).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringContaining('vault is a folder on') as string,
    });
  } finally {
    await other.close();
    await sshd.stop();
  }
});

test('a folder that holds something is refused, and so is a part that the backup does not have', async () => {
  await mkdir(out);
  await writeFile(join(out, 'mine.txt'), 'x');
  expect(await restore(good)).toMatchObject({ exitCode: 3, error: { type: 'Refused' } });
  expect(await readdir(out)).toEqual(['mine.txt']);
  await rm(out, { recursive: true });
  await expect(restore('--parts', 'media', '20200101T000000Z')).resolves.toMatchObject({
    ...{ exitCode: 2, error: { type: 'NotFound' } },
  });
  expect(existsSync(out)).toBe(false);
});
