import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Manifest, readManifest } from '../../src/backups/manifest.js';
import { sizeText } from '../../src/backups/space.js';
import type { Configuration } from '../../src/config/configuration.js';
import { Failure } from '../../src/errors.js';
import type { Host } from '../../src/hosts/host.js';
import { freeBytes } from '../../src/hosts/space.js';
import type { Offsite } from '../../src/offsite/offsite.js';
import {
  mediaOwners,
  type Received,
  type ReceivedMedia,
  receiveMedia,
  receiveParts,
} from '../../src/offsite/receive.js';
import { offsiteOf } from '../../src/offsite/read.js';
import { trustedKeys } from '../../src/offsite/trusted-keys.js';
import type { Finding } from '../../src/offsite/verify.js';
import { dumpMajor } from '../../src/restore/code.js';
import { plainText } from '../../src/terminal/plain-text.js';
import type { Output } from '../cli/output.js';
import type { Wanted } from './choose.js';
import { type Note, RestoreFolder } from './folder.js';
import { pgRestore, writeSql } from './plain-sql.js';
import { FolderProgress } from './progress.js';
import { type Laid, laidOut, readmeText } from './readme.js';
import { unpackSecrets } from './unpack.js';

export interface ToLayOut extends Wanted {
  readonly configuration: Configuration;
  /** This machine. */
  readonly host: Host;
  /** Opens the off-site here. `work`: as the folder of `withOffsite`. */
  readonly reading: <T>(use: (copy: Offsite) => Promise<T>, work?: string) => Promise<T>;
  /** The folder, absolute. */
  readonly path: string;
  readonly before: Note | undefined;
  readonly out: Output;
  readonly signal: AbortSignal;
}

/** What came of it. */
export interface LaidOut extends Wanted {
  readonly path: string;
  readonly startedAt: Date;
  readonly received: Received;
  readonly media: ReceivedMedia | undefined;
  /** What is missing or damaged. */
  readonly findings: readonly Finding[];
  readonly warnings: readonly string[];
  readonly laid: readonly Laid[];
}

/** Fetches a backup and lays it out as plain files. What is damaged is a finding, and keeps nothing else from coming. */
export async function layOut(given: ToLayOut): Promise<LaidOut> {
  const { configuration, host, reading, path, before, out, signal, ...wanted } = given;
  const { instance, backup, parts, format } = wanted;
  const { domain } = instance;
  const startedAt = new Date();
  const program = await reading((copy) => preflight(given, copy));
  const note = { instance: domain, backup, parts: [...parts], format };
  const folder = await RestoreFolder.open(path, note, before);
  const progress = new FolderProgress(out, `Restore of ${domain} into ${path}, from ${wanted.from}:`, {
    ...{ backup, instance: domain },
  });
  const telling = (step: string) => (more: object) => {
    signal.throwIfAborted();
    progress.at({ step, ...more });
  };
  let done: LaidOut | undefined;
  try {
    for (const [as, file] of laidFrom) await folder.takeBack(as, file);
    const trusted = await trustedKeys(configuration);
    // What waits on its way lies where room was asked for.
    const { received, media } = await reading(
      async (copy) => {
        const came = await receiveParts({
          ...{ copy, host, into: folder.waiting, domain, backup, parts },
          ...{ trusted, tell: telling('receiveParts') },
        });
        return { received: came, media: await receivedMedia(given, copy, came, telling('receiveMedia')) };
      },
      join(folder.waiting, 'offsite'),
    );
    telling('layOut')({});
    await laySmall(given, folder, received, program);
    const { leftOut, broken } = await laySecrets(folder, received);
    const findings = [...received.findings, ...broken, ...(media?.findings ?? [])];
    const warnings = [...signatureWarnings(received), ...leftOut];
    const laid = laidOut(received.manifest, has(received, parts, format));
    const problems = findings.map(findingText);
    const readme = join(path, 'README.txt');
    await writeFile(readme, readmeText(received.manifest, { from: wanted.from, laid, problems }), {
      mode: 0o600,
    });
    await chmod(readme, 0o600);
    if (findings.length === 0) await folder.close(); // else another off-site may have the rest
    done = { ...wanted, path, startedAt, received, media, findings, warnings, laid };
    return done;
  } finally {
    progress.end(done === undefined ? 'failed' : 'done');
  }
}

/** `database.dump is damaged`, in one line. */
export function findingText({ part, path, problem }: Finding): string {
  return plainText(`${part}: ${path === undefined ? problem : `${path} ${problem}`}`).replace(/\s+/g, ' ');
}

/** Where an earlier attempt may have laid what `receiveParts` looks for. */
const laidFrom = [
  ['database.dump', 'database/database.dump'],
  ['roles.sql', 'database/roles.sql'],
  ['dump.rdb', 'redis/dump.rdb'],
  ['media.index', 'media.index'],
] as const;

/** @returns pg_restore, where one is needed. @throws Failure `ToolMissing`, `Refused`, before anything was touched. */
async function preflight(
  { configuration, host, from, path, before, backup, parts, format }: ToLayOut,
  copy: Offsite,
): Promise<string> {
  const stored = (await copy.list()).sealed.find((one) => one.backup === backup);
  if (stored === undefined) throw new Failure('NotFound', `${backup} is not on ${copy.name} any more`);
  const manifest = readManifest(await copy.readManifest(stored), `of ${backup} on ${copy.name}`);
  const plain = format === 'plain' && parts.includes('database');
  const program = plain ? await pgRestore(host, dumpMajor(manifest.versions.pgDump)) : '';
  if (before === undefined) {
    const staged = offsiteOf(configuration, from).kind === 'rsync';
    const need = needOf(manifest, parts, { plain, staged });
    const free = await freeBytes(host, path);
    if (free < need)
      throw new Failure(
        'Refused',
        `${path} takes ${sizeText(need)}, and its disk has ${sizeText(free)} free`,
        {
          next: 'make room, name a folder on another disk, or take fewer parts (--parts); nothing was fetched',
        },
      );
  }
  return program;
}

/** @param how.staged a file is there as it is stored before it can be read: the largest beside all others. */
function needOf(
  { parts: all, database }: Manifest,
  parts: ToLayOut['parts'],
  { plain, staged }: { plain: boolean; staged: boolean },
): number {
  const own = all.filter(({ name }) => parts.includes(name)).reduce((sum, { bytes }) => sum + bytes, 0);
  // A delta and its full dump are there beside what they make; SQL is about as large as the database without its indexes.
  const delta = parts.includes('database') ? database?.delta : undefined;
  const dump = all.find(({ name }) => name === 'database' && parts.includes(name))?.bytes ?? 0;
  const stored = staged ? (delta?.fullBytes ?? dump) : 0;
  return (
    own +
    (delta === undefined ? 0 : delta.fullBytes + delta.dumpBytes) +
    Math.max(stored, plain ? (database?.sizeBytes ?? 0) : 0)
  );
}

async function receivedMedia(
  { host, path, parts }: ToLayOut,
  copy: Offsite,
  { manifest, files }: Received,
  tell: (more: object) => void,
): Promise<ReceivedMedia | undefined> {
  if (!parts.includes('media') || files.mediaIndex === undefined) return undefined;
  const fallback = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  return receiveMedia({
    ...{ copy, host, manifest, tell, index: files.mediaIndex, into: join(path, 'media') },
    ...{ wanted: 'missing', as: 'login', owners: await mediaOwners(host, files.mediaIndex, fallback) },
  });
}

async function laySmall(
  { host, path, format }: ToLayOut,
  folder: RestoreFolder,
  { files }: Received,
  program: string,
): Promise<void> {
  if (files.dump !== undefined && format === 'custom') await folder.lay(files.dump, 'database.dump');
  if (files.dump !== undefined && format === 'plain')
    await writeSql(host, program, files.dump, join(path, 'database.sql'));
  if (files.roles !== undefined) await folder.lay(files.roles, 'roles.sql');
  if (files.rdb !== undefined) await folder.lay(files.rdb, 'dump.rdb');
  if (files.mediaIndex !== undefined) await folder.lay(files.mediaIndex, 'media.index');
  await folder.lay(files.manifest, 'manifest.json');
}

/** @returns `leftOut`: what of the archive was not unpacked, a sentence each. */
async function laySecrets(
  folder: RestoreFolder,
  { files: { secrets } }: Received,
): Promise<{ leftOut: string[]; broken: Finding[] }> {
  if (secrets === undefined) return { leftOut: [], broken: [] };
  const unpacked = join(folder.waiting, 'unpacked');
  await rm(unpacked, { recursive: true, force: true });
  let names: string[] = [];
  let broken: Finding[] = [];
  try {
    names = await unpackSecrets(secrets, unpacked);
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    broken = [{ part: 'secrets', path: 'secrets.tar', problem: `is no whole archive (${said})` }];
  }
  await folder.replace(unpacked, 'secrets');
  const why = 'of the secrets was left out: it is no file, or leads out of the folder';
  return { leftOut: names.map((name) => `${plainText(name)} ${why}`), broken };
}

function has(
  { files }: Received,
  parts: ToLayOut['parts'],
  format: ToLayOut['format'],
): (name: string) => boolean {
  const there: Record<string, boolean> = {
    'database.dump': files.dump !== undefined && format === 'custom',
    'database.sql': files.dump !== undefined && format === 'plain',
    'roles.sql': files.roles !== undefined,
    secrets: files.secrets !== undefined,
    media: parts.includes('media') && files.mediaIndex !== undefined,
    'media.index': files.mediaIndex !== undefined,
    'dump.rdb': files.rdb !== undefined,
    'manifest.json': true,
  };
  return (name) => there[name] === true;
}

function signatureWarnings({ signature }: Received): string[] {
  if (signature === 'not judged')
    return [
      'the signature of its manifest was not judged: no public key is known on this machine (trustedKeys)',
    ];
  return signature === 'unsigned' ? ['its manifest is not signed: it was made before 0.3'] : [];
}
