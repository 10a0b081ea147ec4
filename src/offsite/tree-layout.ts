import { createHash } from 'node:crypto';
import { type BackupId, backupIdPattern } from '../backups/id.js';
import type { Manifest } from '../backups/manifest.js';
import { type PartName, partNames } from '../backups/parts.js';
import type { StoredBackup, StoredBackups } from './offsite.js';

/**
 * What lies where in a tree of files, below the instance's own folder. Pure.
 *
 * ```
 * backups/<id>/<part>/<stored file>
 * backups/<id>/manifest.json
 * backups/<id>/sealed.<part-part>.<whole | on-<full backup id>>.<first 32 hex digits of the manifest's sha256>
 * backups/<id>/keep.<forever | YYYY-MM-DD>
 * backups/<id>/reports/<report>
 * media/<first 2 hex digits>/<sha256>
 * ```
 *
 * What has to be there or not, whatever dies, is a file's name and not its content.
 */

export const backupsFolder = 'backups';
/** The media of all backups: a file is called by its content, so that nothing there ever has to change. */
export const poolFolder = 'media';
export const manifestFile = 'manifest.json';
/** Of the media part: the list of its files. */
export const indexEntry = 'media.index';

export function backupFolder(backup: BackupId): string {
  return `${backupsFolder}/${backup}`;
}

export function partFolder(backup: BackupId, part: PartName): string {
  return `${backupFolder(backup)}/${part}`;
}

/** How drills and restores of a backup went. */
export function reportsFolder(backup: BackupId): string {
  return `${backupFolder(backup)}/reports`;
}

/** Where a media file lies below the pool. */
export function poolName(sha256: string): string {
  return `${sha256.slice(0, 2)}/${sha256}`;
}

/** The SHA-256 that a name below the pool stands for; undefined for what is not ours. */
export function hashOfPoolName(name: string): string | undefined {
  return /^([0-9a-f]{2})\/(\1[0-9a-f]{62})$/.exec(name)?.[2];
}

/** Names this very text of a manifest. */
export function keyOfManifest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** The name whose presence says that a backup is whole; `text` is the manifest as it is stored. */
export function sealName(manifest: Manifest, text: string): string {
  const full = manifest.database?.delta?.full;
  const parts = manifest.parts.map(({ name }) => name).join('-');
  return `sealed.${parts}.${full === undefined ? 'whole' : `on-${full}`}.${keyOfManifest(text)}`;
}

export interface Seal {
  readonly parts: readonly PartName[];
  readonly dependsOn?: BackupId;
  readonly key: string;
}

/** @returns undefined for a name that is no seal. */
export function readSeal(name: string): Seal | undefined {
  const [, listed = '', on, key] =
    /^sealed\.([a-z-]+)\.(?:whole|on-([0-9TZ]+))\.([0-9a-f]{32})$/.exec(name) ?? [];
  if (key === undefined || (on !== undefined && !backupIdPattern.test(on))) return undefined;
  const parts = listed.split('-').flatMap((part) => partNames.find((known) => known === part) ?? []);
  if (parts.length !== listed.split('-').length) return undefined;
  return { parts, key, ...(on === undefined ? {} : { dependsOn: on }) };
}

/** @param until a day, `2027-01-31`, or null: for ever. */
export function keepName(until: string | null): string {
  return `keep.${until ?? 'forever'}`;
}

function readKeep(name: string): string | undefined {
  return /^keep\.(forever|\d{4}-\d\d-\d\d)$/.exec(name)?.[1];
}

/** A file of a listing, by its path below what was listed. */
export interface ListedFile {
  readonly path: string;
  readonly bytes: number;
}

/** A line of `TreeTransport.listArgv`; undefined for what is none. */
export function readListLine(line: string): ListedFile | undefined {
  const [, bytes, path] = /^(\d+)\t([\w.-]+(?:\/[\w.-]+)*)$/.exec(line) ?? [];
  return path === undefined ? undefined : { path, bytes: Number(bytes) };
}

/** A backup's folder as it was listed. */
export interface FoundBackup {
  readonly backup: BackupId;
  /** By their names; none: never sealed, or half removed. */
  readonly seals: ReadonlyMap<string, Seal>;
  readonly kept?: 'forever' | string;
  /** All of its files, by their paths below its folder. */
  readonly files: readonly ListedFile[];
}

/** Tells backups apart in a listing of `backups/`, newest first. */
export function findBackups(files: Iterable<ListedFile>): FoundBackup[] {
  const found = new Map<BackupId, { seals: Map<string, Seal>; keeps: string[]; files: ListedFile[] }>();
  for (const { path, bytes } of files) {
    const slash = path.indexOf('/');
    const backup = path.slice(0, slash);
    if (!backupIdPattern.test(backup)) continue;
    const one = found.get(backup) ?? { seals: new Map<string, Seal>(), keeps: [], files: [] };
    found.set(backup, one);
    const name = path.slice(slash + 1);
    const seal = readSeal(name);
    const keep = readKeep(name);
    if (seal !== undefined) one.seals.set(name, seal);
    if (keep !== undefined) one.keeps.push(keep);
    one.files.push({ path: name, bytes });
  }
  return [...found]
    .map(([backup, { keeps, ...rest }]) => ({
      backup,
      ...rest,
      // Letters come after digits, so that `forever` is later than any day.
      ...(keeps.length === 0 ? {} : { kept: keeps.sort().at(-1) ?? 'forever' }),
    }))
    .sort((one, other) => (one.backup < other.backup ? 1 : -1));
}

/** What the off-site says of them. One that was sealed twice is whole under either seal: `readManifest` knows which. */
export function storedBackups(found: readonly FoundBackup[]): StoredBackups {
  return {
    sealed: found.flatMap(({ backup, seals, kept }): StoredBackup[] => {
      const [name] = [...seals.keys()].sort().slice(-1);
      const seal = name === undefined ? undefined : seals.get(name);
      return seal === undefined ? [] : [{ backup, ...seal, ...(kept === undefined ? {} : { kept }) }];
    }),
    unsealed: found.filter(({ seals }) => seals.size === 0).map(({ backup }) => backup),
  };
}

/** The file of a backup that holds its media index, as it is stored; undefined when it has none. */
export function storedIndex({ files }: FoundBackup): string | undefined {
  return files.find(({ path }) => path.startsWith(`media/${indexEntry}`))?.path;
}

/** Beside the instances' folders: says that this is the place, and no empty folder where a disk should be mounted. */
export const placeFile = 'permafrost.txt';
export const placeText = `This folder holds backups that Permafrost has made, each instance's in a folder of its name.
Do not change or remove single files here: "permafrost prune" removes what is no longer needed.
`;
