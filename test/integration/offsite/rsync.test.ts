import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa, execaSync } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RsyncConfig } from '../../../src/config/configuration.js';
import { anyExitCode, type Host } from '../../../src/hosts/host.js';
import { localHost } from '../../../src/hosts/local.js';
import { provideTool } from '../../../src/hosts/tools.js';
import { keyFiles } from '../../../src/offsite/keys.js';
import type { FollowJob, OffsitePlace } from '../../../src/offsite/offsite.js';
import { rsyncTransport } from '../../../src/offsite/rsync.js';
import type { TreeTransport } from '../../../src/offsite/tree-transport.js';
import { makeKey, type Sshd, startSshd } from '../hosts/sshd.js';

/** What is special to rsync, against a real sshd; what every kind does is in the suite that all of them pass. */

const domain = 'sample.example';
const backup = 'backups/20261122T031700Z';

let folder: string;
let sshd: Sshd;
let host: Host;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-rsync-'));
  host = localHost({ folder: join(folder, 'host') });
  sshd = await startSshd();
  // An rsync that says at its end how many bytes really went over the line.
  await writeFile(join(folder, 'rsync'), '#!/bin/sh\nexec rsync --stats "$@"\n');
  await chmod(join(folder, 'rsync'), 0o755);
});

afterAll(async () => {
  await sshd.stop();
  await host.close();
  await rm(folder, { recursive: true, force: true });
});

/** Runs the command at once: the durable jobs have tests of their own. */
const follow: FollowJob = async (_step, argv, options) => {
  const { exitCode, stdout, stderr } = await host.run(argv, { okCodes: options.okCodes ?? [0] });
  return { exitCode, stdoutTail: stdout.slice(-4096), stderrTail: stderr.slice(-4096) };
};

/** A place of its own on the other side, empty, and how it is reached. */
async function newPlace(changes: Partial<RsyncConfig> = {}): Promise<{ there: string; config: RsyncConfig }> {
  const there = await mkdtemp(join(folder, 'there-'));
  const config: RsyncConfig = {
    ...{ kind: 'rsync', name: 'box', target: `root@127.0.0.1:${there}`, port: sshd.port },
    ...{ identityFile: sshd.identityFile, knownHosts: sshd.knownHosts },
    ...{ recipients: [], encrypted: false },
    ...changes,
  };
  return { there, config };
}

/** The same through `rrsync`, by a key that may do nothing else. */
async function newRestrictedPlace(...options: string[]) {
  const { there, config } = await newPlace();
  const identityFile = makeKey(join(there, '..', `${there.slice(-6)}-key`), 'ed25519');
  const key = await readFile(`${identityFile}.pub`, 'utf8');
  const command = ['rrsync', ...options, there].join(' ');
  await appendFile(join(sshd.folder, 'authorized_keys'), `restrict,command="${command}" ${key}`);
  return { there, config: { ...config, target: 'root@127.0.0.1:/', identityFile }, open: config };
}

async function at<T>(config: RsyncConfig, use: (transport: TreeTransport) => Promise<T>): Promise<T> {
  const keys = await mkdtemp(join(folder, 'keys-'));
  for (const [name, content] of await keyFiles(config))
    await writeFile(join(keys, name), content, { mode: 0o600 });
  const place: OffsitePlace = {
    ...{ host, as: 'login', keys, cache: join(folder, 'cache'), work: join(folder, 'work') },
    tool: async (name) => (name === 'rsync' ? join(folder, 'rsync') : provideTool(host, name)),
  };
  return use(rsyncTransport(config, place, domain));
}

const run = (argv: readonly string[]) => host.run(argv, { okCodes: anyExitCode, timeoutMs: 120_000 });

async function send(config: RsyncConfig, from: string, to: string, options?: { overwrite?: boolean }) {
  return at(config, async (transport) => {
    const { exitCode, stdout, stderr } = await run(await transport.sendArgv(from, to, options));
    if (exitCode !== 0) throw transport.failureOf(exitCode, stderr);
    const literal = /^Literal data: ([\d,]+)/m.exec(stdout)?.[1] ?? 'none';
    return {
      sent: Number(literal.replaceAll(',', '')),
      progress: transport.sendProgress({ stdoutTail: stdout.slice(-4096), stderrTail: '' }),
    };
  });
}

/** Path → bytes, as the transport lists them. */
async function list(config: RsyncConfig, below: string, depth?: number): Promise<Record<string, number>> {
  return at(config, async (transport) => {
    const { exitCode, stdout, stderr } = await run(await transport.listArgv(below, depth));
    if (exitCode !== 0) throw transport.failureOf(exitCode, stderr);
    const lines = stdout.split('\n').filter((line) => line !== '');
    return Object.fromEntries(
      lines.map((line) => {
        const [bytes, path = ''] = line.split('\t');
        return [path, Number(bytes)];
      }),
    );
  });
}

async function remove(config: RsyncConfig, below: string, names: string[]) {
  const file = join(folder, 'names');
  await writeFile(file, names.map((name) => `${name}\n`).join(''));
  return at(config, (transport) => transport.remove(below, file, follow));
}

async function files(contents: Record<string, string | Buffer>): Promise<string> {
  const root = await mkdtemp(join(folder, 'files-'));
  for (const [path, content] of Object.entries(contents)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  return root;
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );
const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex');

describe('a place that rsync reaches over SSH', () => {
  it('is not there until it was set up, and an empty folder is none: its disk may not be mounted', async () => {
    const { there, config } = await newPlace();
    for (const missing of [config, { ...config, target: `${config.target}/below` }]) {
      expect(await failure(at(missing, (transport) => transport.check()))).toMatchObject({
        type: 'NotFound',
        next: expect.stringContaining('permafrost offsite init box'),
      });
      await at(missing, (transport) => transport.create());
      await at(missing, (transport) => transport.check());
      expect(await failure(at(missing, (transport) => transport.create()))).toMatchObject({
        type: 'Refused',
      });
    }
    expect(await readFile(join(there, 'below/permafrost.txt'), 'utf8')).toContain('Permafrost');
    expect(await list(config, 'backups')).toEqual({});
  });

  it('refuses recipients that age does not take', async () => {
    const { config } = await newPlace({ encrypted: true, recipients: ['age1nonsense'] });
    const refused = await failure(at(config, (transport) => transport.check()));
    expect(refused).toMatchObject({ type: 'ConfigInvalid' });
    expect(String(refused)).toContain('age1nonsense');
  });

  it('takes files by links, into folders that it makes, private; a second time nothing goes over the line', async () => {
    const { there, config } = await newPlace();
    const blob = randomBytes(300_000);
    const from = await files({ 'ab/one': blob, 'ab/empty': '', '.noise': 'x' });
    await rm(join(from, '.noise'));
    await symlink(join(from, 'ab/one'), join(from, 'linked'));
    const first = await send(config, from, 'media');
    expect(first.sent).toBe(600_000);
    expect(first.progress).toEqual({ bytes: 600_000, files: 3 });
    expect(sha256(await readFile(join(there, domain, 'media/linked')))).toBe(sha256(blob));
    expect((await stat(join(there, domain, 'media/ab'))).mode & 0o777).toBe(0o700);
    expect((await stat(join(there, domain, 'media/ab/one'))).mode & 0o777).toBe(0o600);
    expect(await list(config, 'media')).toEqual({ 'ab/one': 300_000, 'ab/empty': 0, linked: 300_000 });
    expect(await list(config, 'media', 1)).toEqual({ linked: 300_000 });
    expect(await list(config, '', 2)).toEqual({ 'media/linked': 300_000 });

    expect((await send(config, from, 'media')).sent).toBe(0);
    await writeFile(join(there, domain, 'media/linked'), Buffer.alloc(300_000));
    expect((await send(config, from, 'media', { overwrite: true })).sent).toBeGreaterThanOrEqual(300_000);
    expect(sha256(await readFile(join(there, domain, 'media/linked')))).toBe(sha256(blob));
  });

  it('fails for a file that vanished, after all others have arrived', async () => {
    const { config } = await newPlace();
    const from = await files({ there: 'x' });
    await symlink(join(from, 'gone'), join(from, 'dangling'));
    expect(await failure(send(config, from, 'media'))).toBeInstanceOf(Error);
    expect(await list(config, 'media')).toEqual({ there: 1 });
  });

  it('goes on with a file that was cut, and never shows a part of it', async () => {
    const { there, config } = await newPlace();
    const slow = { ...config, bandwidth: 2 << 20 };
    const blob = randomBytes(6 << 20);
    const from = await files({ 'database.dump.zst.age': blob });
    const sending = failure(send(slow, from, `${backup}/database`));
    const final = join(there, domain, backup, 'database/database.dump.zst.age');
    const hidden = async () => (existsSync(dirname(final)) ? await readdir(dirname(final)) : []);
    while (!(await hidden()).some((name) => name.startsWith('.database'))) await sleep(50);
    await sleep(1_200);
    await sshd.cut();
    expect(await sending).toMatchObject({ type: 'OffsiteUnavailable' });
    while (!(await hidden()).includes('.rsync-partial')) await sleep(50); // the other side tidies up by itself
    expect(await list(config, 'backups')).toEqual({});
    expect(existsSync(final)).toBe(false);

    const { sent } = await send(config, from, `${backup}/database`);
    expect(sent).toBeLessThan(blob.length * 0.9);
    expect(sha256(await readFile(final))).toBe(sha256(blob));
    expect(await readdir(dirname(final))).toEqual(['database.dump.zst.age']);
  });

  it('gives files back, each under its path, and passes over what is not there', async () => {
    const { config } = await newPlace();
    const from = await files({ 'ab/one': 'first', 'cd/two': 'second' });
    await send(config, from, 'media');
    const names = join(folder, 'wanted');
    await writeFile(names, 'ab/one\nab/absent\nef/absent\n');
    for (const [place, want] of [
      ['media', ['ab', 'ab/one']],
      ['absent', []],
    ] as const) {
      const to = await mkdtemp(join(folder, 'fetched-'));
      const fetched = await at(config, async (transport) => run(await transport.fetchArgv(place, names, to)));
      expect(fetched.exitCode, fetched.stderr).toBe(0);
      expect((await readdir(to, { recursive: true })).sort()).toEqual(want);
      expect(existsSync(`${to}.fetching`)).toBe(false);
    }
  });

  it('streams a file, and says when it is not there', async () => {
    const { config } = await newPlace();
    await at(config, async (transport) => {
      await transport.write(`${backup}/manifest.json`, '{"version":1}');
      const scratch = await mkdtemp(join(folder, 'scratch-'));
      const read = async (path: string) => host.stream(await transport.readArgv(path, scratch));
      const stream = await read(`${backup}/manifest.json`);
      expect((await buffer(stream.stdout)).toString()).toBe('{"version":1}');
      expect((await stream.completed).exitCode).toBe(0);
      const missing = await read(`${backup}/absent`);
      missing.stdout.resume();
      const { exitCode, stderr } = await missing.completed;
      expect(transport.failureOf(exitCode, stderr)).toMatchObject({ type: 'NotFound' });
    });
  });

  it('stages no file for which there is no room here', async () => {
    const { config } = await newPlace();
    const scratch = await mkdtemp(join(folder, 'scratch-'));
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', scratch]);
    try {
      const bytes = 12 << 20;
      await expect(
        at(config, (transport) => transport.readArgv(`${backup}/database/dump`, scratch, bytes)),
      ).rejects.toMatchObject({ type: 'Refused', message: expect.stringContaining('13 MB') });
    } finally {
      await execa('umount', [scratch]);
    }
  });

  it('leaves a small file alone when it has these bytes', async () => {
    const { there, config } = await newPlace();
    const path = join(there, domain, backup, 'manifest.json');
    const write = async (content: string) => {
      await at(config, (transport) => transport.write(`${backup}/manifest.json`, content));
      return (await stat(path)).ino;
    };
    const first = await write('one');
    expect(await write('one')).toBe(first);
    expect(await write('two')).not.toBe(first);
    expect(await readFile(path, 'utf8')).toBe('two');
  });

  it('removes what is named and no more, and what is left of a backup that is gone', async () => {
    const { there, config } = await newPlace();
    const other = 'backups/20261121T031700Z';
    const from = await files({ 'database/dump': 'x', 'manifest.json': '{}' });
    await send(config, from, backup);
    await send(config, from, other);
    for (const one of [backup, other]) {
      await mkdir(join(there, domain, one, 'database/.rsync-partial'));
      await writeFile(join(there, domain, one, 'database/.rsync-partial/dump'), 'a part');
      await writeFile(join(there, domain, one, 'database/.dump.AbCdEf'), 'a part');
    }
    const id = backup.slice('backups/'.length);
    expect(await remove(config, 'backups', [`${id}/manifest.json`, `${id}/absent`, 'absent/absent'])).toBe(
      'removed',
    );
    expect(await list(config, backup)).toEqual({ 'database/dump': 1 });
    expect(existsSync(join(there, domain, backup, 'database/.dump.AbCdEf'))).toBe(true);
    expect(await remove(config, backup, ['database/dump'])).toBe('removed');
    expect(existsSync(join(there, domain, backup))).toBe(false);
    expect((await readdir(join(there, domain, other), { recursive: true })).length).toBe(6);
  });

  it('says that the key, the host or the disk is wrong', async () => {
    const { there, config } = await newPlace();
    const identityFile = makeKey(join(folder, 'stranger'), 'ed25519');
    expect(await failure(list({ ...config, identityFile }, 'backups'))).toMatchObject({ type: 'AuthFailed' });
    const knownHosts = join(folder, 'other-hosts');
    await writeFile(
      knownHosts,
      `[127.0.0.1]:${String(sshd.port)} ${await readFile(`${identityFile}.pub`, 'utf8')}`,
    );
    expect(await failure(list({ ...config, knownHosts }, 'backups'))).toMatchObject({
      type: 'HostKeyRejected',
    });

    await execa('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', there]);
    try {
      const from = await files({ big: randomBytes(3 << 20) });
      const full = await failure(send(config, from, 'media'));
      expect(full).toMatchObject({ type: 'OffsiteUnavailable' });
      expect(String(full)).toContain('no room left');
      expect(await list(config, 'media')).toEqual({});
    } finally {
      await execa('umount', ['-l', there]); // the rsync that found it full may still be ending
    }
  });
});

describe('a key that rrsync restricts', () => {
  it('to a folder is enough for everything', async () => {
    const { there, config } = await newRestrictedPlace();
    await at(config, (transport) => transport.create());
    await at(config, (transport) => transport.check());
    const from = await files({ 'database/dump': 'x' });
    await send(config, from, backup);
    await at(config, (transport) => transport.write(`${backup}/manifest.json`, '{}'));
    expect(await list(config, 'backups')).toEqual({
      '20261122T031700Z/database/dump': 1,
      '20261122T031700Z/manifest.json': 2,
    });
    expect(await list(config, 'media')).toEqual({});
    const names = join(folder, 'wanted-restricted');
    await writeFile(names, 'database/dump\nabsent\n');
    const to = await mkdtemp(join(folder, 'fetched-'));
    const fetched = await at(config, async (transport) => run(await transport.fetchArgv(backup, names, to)));
    expect(fetched.exitCode, fetched.stderr).toBe(0);
    expect(await readFile(join(to, 'database/dump'), 'utf8')).toBe('x');
    expect(await remove(config, backup, ['database/dump', 'manifest.json'])).toBe('removed');
    expect(existsSync(join(there, domain, backup))).toBe(false);
  });

  it('to adding is append-only: nothing is removed, and that is no error', async () => {
    const { config } = await newRestrictedPlace('-no-del');
    await send(config, await files({ dump: 'x' }), backup);
    expect(await remove(config, backup, ['dump'])).toBe('append-only');
    expect(await list(config, backup)).toEqual({ dump: 1 });
  });

  // Newer than the rrsync of rsync 3.2.7.
  const knowsNoOverwrite = execaSync('rrsync', ['-h'], { reject: false }).stdout.includes('-no-overwrite');
  it.skipIf(!knowsNoOverwrite)(
    'to adding, and never overwriting, takes what is new and changes nothing',
    async () => {
      const { there, config } = await newRestrictedPlace('-no-lock', '-no-del', '-no-overwrite');
      await send(config, await files({ dump: 'x' }), backup);
      await send(config, await files({ dump: 'changed', more: 'y' }), backup, { overwrite: true });
      expect(await readFile(join(there, domain, backup, 'dump'), 'utf8')).toBe('x');
      expect(await list(config, backup)).toEqual({ dump: 1, more: 1 });
      expect(await remove(config, backup, ['dump'])).toBe('append-only');
    },
  );

  it('is append-only too where the disk itself lets nothing be removed', async () => {
    const { there, config } = await newPlace();
    await send(config, await files({ dump: 'x' }), backup);
    await execa('chattr', ['+a', join(there, domain, backup)]);
    try {
      expect(await remove(config, backup, ['dump'])).toBe('append-only');
    } finally {
      await execa('chattr', ['-a', join(there, domain, backup)]);
    }
    expect(await list(config, backup)).toEqual({ dump: 1 });
  });

  it('to reading or to writing says so', async () => {
    const reader = await newRestrictedPlace('-ro');
    await send(reader.open, await files({ dump: 'x' }), backup);
    expect(await list(reader.config, backup)).toEqual({ dump: 1 });
    const unwritable = await failure(send(reader.config, await files({ dump: 'y' }), 'media'));
    expect(String(unwritable)).toContain('nothing can be written there');
    const writer = await newRestrictedPlace('-wo');
    const unreadable = await failure(list(writer.config, backup));
    expect(String(unreadable)).toContain('nothing can be read there');
  });
});
