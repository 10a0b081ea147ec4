import { createHash, randomBytes } from 'node:crypto';
import { appendFile, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Host } from '../../../src/hosts/host.js';
import { localHost } from '../../../src/hosts/local.js';
import { provideTool, type ToolName } from '../../../src/hosts/tools.js';
import { codeFiles, openCoded } from '../../../src/offsite/coded-files.js';
import type { FollowJob, OffsitePlace, StoredEntry } from '../../../src/offsite/offsite.js';
import { makeKey } from '../hosts/sshd.js';

/** Real zstd and age. */

let root: string;
let host: Host;
let recipient: string;
let identity: string;
const tool = (name: ToolName) => provideTool(host, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'permafrost-coded-'));
  host = localHost({ folder: join(root, 'host') });
  identity = join(root, 'identity');
  await execa('age-keygen', ['-o', identity]);
  recipient = (await execa('age-keygen', ['-y', identity])).stdout;
});

afterAll(async () => {
  await host.close();
  await rm(root, { recursive: true, force: true });
});

/** Runs the command at once: the durable jobs have tests of their own. */
const follow: FollowJob = async (_step, argv, options) => {
  const { exitCode, stdout, stderr } = await host.run(argv, { okCodes: options.okCodes ?? [0] });
  return { exitCode, stdoutTail: stdout, stderrTail: stderr };
};

function place(over: Partial<OffsitePlace> = {}): OffsitePlace {
  return { host, as: 'login', keys: root, tool, cache: root, work: join(root, 'work'), ...over };
}

async function folderOf(contents: Record<string, string | Buffer>): Promise<{ folder: string; to: string }> {
  const folder = await mkdtemp(join(root, 'part-'));
  for (const [path, content] of Object.entries(contents)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return { folder, to: `${folder}-stored` };
}

async function open(to: string, entry: StoredEntry, with_?: string, change?: (stored: Buffer) => Buffer) {
  const path = join(to, entry.path);
  if (change !== undefined) await writeFile(path, change(await readFile(path)));
  const stored = await host.stream(['cat', '--', path]);
  const opened = await openCoded(place(), entry, stored, with_);
  const [content, ended] = await Promise.all([buffer(opened.stdout), opened.completed]);
  return { content, exitCode: ended.exitCode, stderr: ended.stderr };
}

const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex');
const text = Buffer.from('INSERT INTO statuses VALUES (1);\n'.repeat(20_000));

describe('the files of a part', () => {
  it('are compressed, then encrypted, and come back byte for byte', async () => {
    const { folder, to } = await folderOf({
      'database.dump': text,
      'etc/nginx/mastodon': 'server {}',
      empty: '',
    });
    const entries = await codeFiles(place(), { folder, to, recipients: [recipient] }, follow);
    expect(entries.map(({ entry, path }) => [entry, path])).toEqual([
      ['database.dump', 'database.dump.zst.age'],
      ['empty', 'empty.zst.age'],
      ['etc/nginx/mastodon', 'etc/nginx/mastodon.zst.age'],
    ]);
    expect(entries[0]?.bytes).toBeLessThan(text.length / 20);
    expect((await readdir(to, { recursive: true })).sort()).toEqual(
      ['etc', 'etc/nginx', ...entries.map(({ path }) => path)].sort(),
    );
    for (const entry of entries) {
      const stored = await readFile(join(to, entry.path));
      expect(stored.subarray(0, 14).toString()).toBe('age-encryption');
      expect([stored.length, sha256(stored)]).toEqual([entry.bytes, entry.sha256]);
      const { content, exitCode } = await open(to, entry, identity);
      expect(exitCode).toBe(0);
      expect(content.equals(await readFile(join(folder, entry.entry)))).toBe(true);
    }
  });

  it('are compressed alone without recipients; what is compressed already lies there as it is', async () => {
    const { folder, to } = await folderOf({
      'media.index.zst': randomBytes(1000),
      'globals.sql': 'CREATE ROLE',
    });
    const entries = await codeFiles(place(), { folder, to, recipients: [] }, follow);
    expect(entries.map(({ path }) => path)).toEqual(['globals.sql.zst', 'media.index.zst']);
    for (const entry of entries) {
      expect(sha256(await readFile(join(to, entry.path)))).toBe(entry.sha256);
      expect((await open(to, entry)).content.equals(await readFile(join(folder, entry.entry)))).toBe(true);
    }
    expect((await lstat(join(to, 'media.index.zst'))).isSymbolicLink()).toBe(true);
  });

  it('can be meant for several, by keys of SSH too: each opens them', async () => {
    const key = makeKey(join(root, 'ssh key'), 'ed25519');
    const { folder, to } = await folderOf({ 'database.delta.zst': randomBytes(1000) });
    const recipients = [recipient, (await readFile(`${key}.pub`, 'utf8')).trim()];
    const [entry] = await codeFiles(place(), { folder, to, recipients }, follow);
    expect(entry?.path).toBe('database.delta.zst.age');
    for (const opener of [identity, key]) {
      const opened = entry === undefined ? undefined : await open(to, entry, opener);
      expect(opened?.content.equals(await readFile(join(folder, 'database.delta.zst')))).toBe(true);
    }
  });

  it('that an attempt has made before it was cut are taken as they are; what it was at is made anew', async () => {
    const { folder, to } = await folderOf({ a: text, b: text, c: text });
    // An age that ends when it has the beginning of the second file, as a power cut would.
    const cut = join(root, 'cut-age');
    await writeFile(cut, `#!/bin/sh\n[ ! -e ${to}/a.zst.age ] || { head -c 100; exit 1; }\nexec age "$@"\n`, {
      mode: 0o755,
    });
    const failing = place({ tool: async (name) => (name === 'age' ? cut : tool(name)) });
    await expect(codeFiles(failing, { folder, to, recipients: [recipient] }, follow)).rejects.toThrow();
    expect(await readdir(to)).toEqual(['a.zst.age']);

    // Another path of age is another age: the first file would be coded again.
    await writeFile(cut, '#!/bin/sh\nexec age "$@"\n');
    const before = await stat(join(to, 'a.zst.age'));
    const entries = await codeFiles(failing, { folder, to, recipients: [recipient] }, follow);
    expect((await stat(join(to, 'a.zst.age'))).ino).toBe(before.ino);
    expect(entries.map(({ path }) => path)).toEqual(['a.zst.age', 'b.zst.age', 'c.zst.age']);
    for (const entry of entries) {
      expect(sha256(await readFile(join(to, entry.path)))).toBe(entry.sha256);
      expect((await open(to, entry, identity)).content.equals(text)).toBe(true);
    }

    await appendFile(join(folder, 'b'), 'captured again');
    const again = await codeFiles(failing, { folder, to, recipients: [recipient] }, follow);
    expect(again.map(({ sha256 }) => sha256).map((hash, at) => hash === entries[at]?.sha256)).toEqual([
      true,
      false,
      true,
    ]);
  });

  it('never open to the end when they were cut or changed, wherever', async () => {
    for (const recipients of [[], [recipient]]) {
      const { folder, to } = await folderOf({ dump: randomBytes(300_000) });
      const [entry] = await codeFiles(place(), { folder, to, recipients }, follow);
      if (entry === undefined) throw new Error('nothing was made');
      const whole = await readFile(join(to, entry.path));
      const changes = {
        flipped: Buffer.concat([
          whole.subarray(0, 150_000),
          Buffer.of((whole[150_000] ?? 0) ^ 1),
          whole.subarray(150_001),
        ]),
        cut: whole.subarray(0, -1),
        halved: whole.subarray(0, 150_000),
        headless: whole.subarray(100),
        empty: Buffer.alloc(0),
      };
      for (const [how, change] of Object.entries(changes)) {
        const { exitCode } = await open(to, entry, identity, () => change);
        expect(exitCode, `${how} ${entry.path}`).not.toBe(0);
      }
    }
  });

  it('that were changed in their header, or swapped for what others can open, are damaged, not locked', async () => {
    const { folder, to } = await folderOf({ 'redis.rdb': randomBytes(300_000) });
    const [entry] = await codeFiles(place(), { folder, to, recipients: [recipient] }, follow);
    if (entry === undefined) throw new Error('nothing was made');
    const whole = await readFile(join(to, entry.path));
    const stranger = join(root, 'another');
    await execa('age-keygen', ['-o', stranger]);
    const { stdout: theirs } = await execa('age-keygen', ['-y', stranger]);
    const swapped = await execa('age', ['-r', theirs], { input: whole, encoding: 'buffer' });
    const flipped = Buffer.from(whole);
    const share = whole.indexOf('-> X25519 ') + 14;
    flipped.writeUInt8(flipped.readUInt8(share) === 65 ? 66 : 65, share);
    for (const change of [flipped, Buffer.from(swapped.stdout)]) {
      const { exitCode, stderr } = await open(to, entry, identity, () => change);
      expect(exitCode).not.toBe(0);
      expect(stderr).toContain('not what was sent');
    }
  });

  it('say whose key is missing, and end what they were read from', async () => {
    const { folder, to } = await folderOf({ dump: randomBytes(3_000_000) });
    const [entry] = await codeFiles(place(), { folder, to, recipients: [recipient] }, follow);
    if (entry === undefined) throw new Error('nothing was made');
    await execa('age-keygen', ['-o', join(root, 'stranger')]);
    await expect(open(to, entry, join(root, 'stranger'))).rejects.toMatchObject({ type: 'AuthFailed' });
    const stored = await host.stream(['sh', '-c', 'exec cat "$1" /dev/zero', 'sh', join(to, entry.path)]);
    await expect(openCoded(place(), entry, stored)).rejects.toMatchObject({ type: 'AuthFailed' });
    expect((await stored.completed).exitCode).not.toBe(0);
  });

  it('tell what went wrong where they are read, not what that did to them', async () => {
    const { folder, to } = await folderOf({ dump: randomBytes(300_000) });
    const [entry] = await codeFiles(place(), { folder, to, recipients: [recipient] }, follow);
    if (entry === undefined) throw new Error('nothing was made');
    const script = 'head -c 1000 "$1"; echo the line was cut >&2; exit 23';
    const stored = await host.stream(['sh', '-c', script, 'sh', join(to, entry.path)]);
    const opened = await openCoded(place(), entry, stored, identity);
    opened.stdout.resume();
    expect(await opened.completed).toMatchObject({ exitCode: 23, stderr: 'the line was cut\n' });
  });
});
