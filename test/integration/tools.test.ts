import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Host } from '../../src/hosts/host.js';
import { localHost } from '../../src/hosts/local.js';
import { provideTool, type ToolName, toolPath } from '../../src/hosts/tools.js';
import { handOverKeys, receiveFile } from '../../src/offsite/keys.js';

/** Debian 12's restic, as far as its version goes. */
const tooOld = '#!/bin/sh\necho restic 0.14.0 compiled with go1.19.8 on linux/amd64\n';

let folder: string;
let host: Host;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-tools-'));
  await mkdir(join(folder, 'host'), { mode: 0o700 });
  host = localHost({ folder: join(folder, 'host') });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await host.close();
  await rm(folder, { recursive: true });
});

/** Puts a program on PATH before all others: the local host's, and this process's own. */
async function onPath(name: string, script: string): Promise<string> {
  const bin = join(folder, 'bin');
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, name), script, { mode: 0o755 });
  vi.stubEnv('PATH', `${bin}:${process.env['PATH'] ?? ''}`);
  return join(bin, name);
}

/** A system may have none that is new enough besides. */
function pathOrNone(name: ToolName): string | undefined {
  try {
    return toolPath(name).path;
  } catch {
    return undefined;
  }
}

describe('a tool of this machine', () => {
  it('is the one that the set-up brought, in its pinned version', async () => {
    const { path, version, sha256 } = toolPath('temporal');
    expect(path).toMatch(/\/temporal-1\.9\.1\/temporal$/);
    expect({ version, length: sha256.length }).toEqual({ version: '1.9.1', length: 64 });
    expect(toolPath('temporal', '1.9.1').path).toBe(path);
  });

  it('is the one on PATH where the set-up brought none, if it is new enough', async () => {
    vi.stubEnv('PERMAFROST_TOOLS', folder);
    const old = await onPath('rclone', '#!/bin/sh\necho rclone v1.64.2\n');
    expect(pathOrNone('rclone')).not.toBe(old);
    const newer = await onPath('rclone', '#!/bin/sh\necho rclone v1.99.0\n');
    expect(toolPath('rclone')).toMatchObject({ path: newer, version: '1.99.0' });
  });

  it('is missed by name, with the way to get it', () => {
    vi.stubEnv('PERMAFROST_TOOLS', folder);
    vi.stubEnv('PATH', folder);
    expect(() => toolPath('restic')).toThrow(
      expect.objectContaining({ type: 'ToolMissing', next: 'npm run setup' }),
    );
    expect(() => toolPath('temporal', '1.2.3')).toThrow('temporal 1.2.3');
  });
});

describe('a tool of a host', () => {
  it('is its own when that is new enough', async () => {
    const own = await onPath('restic', '#!/bin/sh\necho restic 0.99.0\n');
    expect(await provideTool(host, 'restic')).toBe(own);
  });

  it('is brought along when the host has it too old, for its user alone', async () => {
    await onPath('restic', tooOld);
    const path = await provideTool(host, 'restic');
    expect(path).toBe(join(folder, 'host/bin/restic-0.18.0'));
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    const { stdout } = await host.run([path, 'version']);
    expect(stdout).toContain('restic 0.18.0');
  });

  it('is used again when it is already there, and replaced when it is not what it should be', async () => {
    await onPath('restic', tooOld);
    const path = await provideTool(host, 'restic');
    const first = await stat(path);
    expect((await stat(await provideTool(host, 'restic'))).ino).toBe(first.ino);
    await writeFile(path, '#!/bin/sh\necho restic 0.18.0\n');
    await provideTool(host, 'restic');
    expect((await stat(path)).size).toBe(first.size);
  });

  it('is refused, with what to install, when it cannot be brought along', async () => {
    await onPath('rsync', '#!/bin/sh\necho rsync version 2.6.9\n');
    await expect(provideTool(host, 'rsync')).rejects.toMatchObject({
      type: 'ToolMissing',
      message: expect.stringContaining('rsync is 2.6.9'),
      next: expect.stringContaining('Install rsync'),
    });
  });

  it('is refused when the host is another machine than this one can serve', async () => {
    await onPath('restic', tooOld);
    const facts = { ...(await host.facts()), arch: 'riscv64' };
    const foreign: Host = { ...bound(host), facts: () => Promise.resolve(facts) };
    await expect(provideTool(foreign, 'restic')).rejects.toThrow('riscv64');
  });

  it('is refused when what was brought does not run there', async () => {
    vi.stubEnv('PERMAFROST_TOOLS', folder);
    await onPath('restic', tooOld);
    await mkdir(join(folder, 'restic-0.18.0'));
    await writeFile(join(folder, 'restic-0.18.0/restic'), '#!/bin/sh\nexit 1\n');
    const sha256 = toolPath('restic', '0.18.0').sha256;
    const list = { restic: { path: 'restic-0.18.0/restic', version: '0.18.0', sha256 } };
    await writeFile(join(folder, 'tools.json'), JSON.stringify(list));
    await expect(provideTool(host, 'restic')).rejects.toThrow('does not run there');
  });
});

/** No machine of another kind is at hand: a host's methods, so that one of them can be another. */
function bound(host: Host): Host {
  return {
    name: host.name,
    facts: () => host.facts(),
    run: (...args) => host.run(...args),
    stream: (...args) => host.stream(...args),
    startJob: (...args) => host.startJob(...args),
    job: (id) => host.job(id),
    listJobs: () => host.listJobs(),
    putFile: (...args) => host.putFile(...args),
    argvAs: (...args) => host.argvAs(...args),
    close: () => host.close(),
  };
}

describe('files that several off-sites hand over to the same place at once', () => {
  it('are there whole, private, and leave nothing else', async () => {
    const [keys, program] = [join(folder, 'keys'), join(folder, 'program')];
    const content = Buffer.alloc(1 << 20, 'key');
    const all = Array.from({ length: 4 }, () =>
      handOverKeys(host, 'login', keys, new Map([['vault', content]])),
    );
    const lent = Array.from({ length: 4 }, () =>
      host.run(['sh', '-c', receiveFile, 'sh', program, '700'], { stdin: content }),
    );
    await Promise.all([...all, ...lent]);
    expect(await readdir(keys)).toEqual(['vault']);
    expect((await readdir(folder)).filter((name) => name.startsWith('program'))).toEqual(['program']);
    for (const [file, mode] of [
      [join(keys, 'vault'), 0o600],
      [program, 0o700],
    ] as const) {
      expect((await stat(file)).mode & 0o777).toBe(mode);
      expect((await readFile(file)).equals(content)).toBe(true);
    }
  });
});
