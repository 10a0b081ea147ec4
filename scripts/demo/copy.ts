import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { type Manifest, manifestSchema } from '../../src/backups/manifest.js';
import type { PartName } from '../../src/backups/parts.js';
import { Failure } from '../../src/errors.js';
import { toolPath } from '../../src/hosts/tools.js';

/** Where a copy lies, and what opens it. */
export interface Vault {
  readonly repository: string;
  readonly passwordFile: string;
  /** pg_restore of the server's major. */
  readonly pgRestore: string;
  /** A folder for what is fetched. */
  readonly scratch: string;
}

/** What a sealed copy holds of the writer's posts, got back without Permafrost: by restic, rdiff and pg_restore alone. */
export interface RecoveredPosts {
  /** Ids of the statuses in the dump. */
  readonly statuses: ReadonlySet<string>;
  /** Whether a picture, by its address `/system/…`, is in the copy of the media. */
  hasPicture(mediaUrl: string): boolean;
}

/** @throws what parsing throws when `permafrost show --json` did not print a manifest. */
export function manifestOf(shown: unknown): Manifest {
  return manifestSchema.parse(shown);
}

/** @throws Failure `NotFound` when the manifest lacks a part. */
export async function recoverPosts(vault: Vault, manifest: Manifest): Promise<RecoveredPosts> {
  const media = partOf(manifest, 'media');
  await mkdir(vault.scratch, { recursive: true, mode: 0o700 });
  const dump = await recoverDump(vault, manifest);
  const statuses = new Set<string>();
  const restoring = execa(vault.pgRestore, ['--data-only', '--table=statuses', '--file=-', dump]);
  for await (const line of createInterface({ input: restoring.stdout })) {
    const [, id] = /^(\d+)\t/.exec(line) ?? [];
    if (id !== undefined) statuses.add(id);
  }
  await restoring;
  const { stdout } = await restic(vault, 'ls', media.snapshot);
  const paths = new Set(stdout.split('\n'));
  return {
    statuses,
    hasPicture: (mediaUrl) => paths.has(`${media.root}/${mediaUrl.slice('/system/'.length)}`),
  };
}

/** The dump as a file: fetched, or patched together from a full dump and the delta of this night, as by hand. */
async function recoverDump(vault: Vault, manifest: Manifest): Promise<string> {
  const database = partOf(manifest, 'database');
  const from = `${database.snapshot}:${database.root}`;
  const delta = manifest.database?.delta;
  const full = join(vault.scratch, 'database.dump');
  if (delta === undefined) {
    await fetchFile(vault, from, 'database.dump', full);
    return full;
  }
  await fetchFile(vault, await databaseOf(vault, delta.full), 'database.dump', full);
  const changes = join(vault.scratch, 'database.delta.zst');
  await fetchFile(vault, from, 'database.delta.zst', changes);
  await execa(toolPath('zstd').path, ['--decompress', '--quiet', changes]);
  const whole = join(vault.scratch, 'whole.dump');
  await execa(toolPath('rdiff').path, ['patch', full, changes.replace(/\.zst$/, ''), whole]);
  return whole;
}

/** Where the database of a backup lies, by the tags of its snapshot: `SNAPSHOT:FOLDER`. */
async function databaseOf(vault: Vault, backup: string): Promise<string> {
  const tags = ['--tag', `permafrost,backup=${backup},part=database`];
  const { stdout } = await restic(vault, 'snapshots', '--json', ...tags);
  const [found] = JSON.parse(stdout) as { id: string; paths: string[] }[];
  return `${found?.id ?? ''}:${found?.paths[0] ?? ''}`;
}

async function fetchFile(vault: Vault, from: string, name: string, to: string): Promise<void> {
  const fetching = restic(vault, 'dump', from, `/${name}`);
  await pipeline(fetching.stdout, createWriteStream(to, { mode: 0o600 }));
  await fetching;
}

function restic({ repository, passwordFile }: Vault, ...words: string[]) {
  const options = [
    '--repo',
    repository,
    '--password-file',
    passwordFile,
    '--no-lock',
    '--no-cache',
    '--quiet',
  ];
  return execa(toolPath('restic').path, [...options, ...words], { maxBuffer: 256 << 20 });
}

function partOf({ parts, backup }: Manifest, name: PartName): { snapshot: string; root: string } {
  const { snapshot, root } = parts.find((part) => part.name === name) ?? {};
  if (snapshot !== undefined && root !== undefined) return { snapshot, root };
  throw new Failure('NotFound', `the manifest of ${backup} names no ${name}`, {
    next: 'This is a defect of Permafrost: please report it.',
  });
}
