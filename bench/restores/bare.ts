import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { SampleInstance } from '../../sample/instance.js';
import type { Manifest } from '../../src/backups/manifest.js';
import { toolPath } from '../../src/hosts/tools.js';
import { settled } from '../watch/folder.js';
import type { BareRestore } from './trial.js';

export interface BareGround {
  readonly instance: SampleInstance;
  /** A folder of its own. */
  readonly folder: string;
  readonly repository: string;
  readonly passwordFile: string;
  readonly manifest: Manifest;
}

/** What docs/restore-by-hand.md types, so far as it is slow; the media stay where they are. */
export async function restoreBare(ground: BareGround): Promise<BareRestore> {
  await rm(ground.folder, { recursive: true, force: true });
  await mkdir(ground.folder, { recursive: true });
  try {
    const fetchMs = await timed(() => fetch(ground));
    const dump = join(ground.folder, 'database', 'database.dump');
    const loadOneMs = await load(ground.instance, dump, 1);
    const loadTwoMs = await load(ground.instance, dump, 2);
    return { fetchMs, loadOneMs, loadTwoMs };
  } finally {
    await rm(ground.folder, { recursive: true, force: true });
  }
}

async function fetch({ folder, repository, passwordFile, manifest }: BareGround): Promise<void> {
  const env = { RESTIC_PASSWORD_FILE: passwordFile, RESTIC_CACHE_DIR: join(folder, 'cache') };
  for (const name of ['database', 'secrets', 'redis']) {
    const part = manifest.parts.find((one) => one.name === name);
    if (part?.snapshot === undefined) throw new Error(`the backup has no ${name}`);
    const from = `${part.snapshot}:${part.root ?? '/'}`;
    const words = ['--repo', repository, '--quiet', 'restore', from, '--target', join(folder, name)];
    await execa(toolPath('restic').path, words, { env });
  }
}

async function load(instance: SampleInstance, dump: string, jobs: number): Promise<number> {
  const { postgres } = instance.servers;
  const { user, password, port } = instance.database;
  const name = 'bench_restore';
  const drop = () => postgres.sql('postgres', `DROP DATABASE IF EXISTS ${name} WITH (FORCE);`);
  await drop();
  try {
    await postgres.sql('postgres', `CREATE DATABASE ${name} OWNER ${user} TEMPLATE template0;`);
    await settled();
    const target = ['-h', '127.0.0.1', '-p', String(port), '-U', user, '-d', name];
    const words = ['--exit-on-error', '--no-owner', '-j', String(jobs), ...target, dump];
    const restore = () =>
      execa(join(postgres.binaries, 'pg_restore'), words, { env: { PGPASSWORD: password } });
    return await timed(restore);
  } finally {
    await drop();
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
