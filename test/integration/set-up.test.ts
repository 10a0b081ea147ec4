import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toolPath } from '../../src/hosts/tools.js';

/** A proxy that answers nothing: what the set-up needs it to reach, it does not get. */
const noNetwork = {
  HTTPS_PROXY: 'http://127.0.0.1:9',
  https_proxy: 'http://127.0.0.1:9',
  PIP_RETRIES: '0',
  npm_config_offline: 'true',
};
const root = resolve(fileURLToPath(import.meta.url), '../../..');

let clone: string;
beforeEach(async () => {
  clone = await mkdtemp(join(tmpdir(), 'permafrost-clone-'));
  await cp(join(root, 'setup'), join(clone, 'setup'), { recursive: true });
  await writeFile(join(clone, 'package-lock.json'), JSON.stringify({ packages: { '': {} } }));
  await mkdir(join(clone, 'node_modules'));
  await writeFile(join(clone, 'node_modules/.package-lock.json'), JSON.stringify({ packages: {} }));
  await cp(dirname(dirname(toolPath('temporal').path)), join(clone, '.tools'), { recursive: true });
  const build = 'mkdir -p dist && echo built >> dist/log';
  await writeFile(join(clone, 'package.json'), JSON.stringify({ scripts: { build } }));
});
afterEach(() => rm(clone, { recursive: true }));

function setUp() {
  return execa('node', ['setup/setup.mjs'], { cwd: clone, env: noNetwork, reject: false });
}

describe('the set-up', () => {
  it('needs no network where everything is, and does nothing twice', async () => {
    const first = await setUp();
    expect(first.stderr).toBe('');
    expect(first.stdout).toMatch(/build: +compiling/);
    const second = await setUp();
    expect(second.exitCode).toBe(0);
    expect(second.stdout.match(/already there/g)).toHaveLength(6);
    expect(second.stdout).not.toMatch(/installing|downloading|compiling/);
  });

  it('does not trust a tool that is not the one it brought', async () => {
    const temporal = join(clone, '.tools/temporal-1.9.1/temporal');
    await writeFile(temporal, '#!/bin/sh\necho temporal version 1.9.1\n');
    const { stdout } = await setUp();
    expect(stdout).not.toMatch(/temporal: +already there \(1\.9\.1\)/);
  });
});
