import { type Manifest, writeManifest } from '../backups/manifest.js';
import { Failure } from '../errors.js';
import { anyExitCode, type HostStream } from '../hosts/host.js';
import { noReport, requireReportName } from './attached.js';
import { codeFiles, openCoded, saveCoded } from './coded-files.js';
import type { BackupId } from '../backups/id.js';
import type {
  CapturedPart,
  FollowJob,
  Offsite,
  OffsitePlace,
  StoredEntry,
  StoredPart,
  StoredPartRef,
} from './offsite.js';
import { listTree, readText, readTree, removeFiles, type Tree, withScratch } from './tree-commands.js';
import {
  backupFolder,
  backupsFolder,
  findBackups,
  keepName,
  keyOfManifest,
  manifestFile,
  partFolder,
  readSeal,
  reportsFolder,
  sealName,
  storedBackups,
} from './tree-layout.js';
import { treeMedia } from './tree-media.js';
import { fillPool, workOf } from './tree-pool.js';
import { removeBackups } from './tree-prune.js';
import type { TreeTransport } from './tree-transport.js';

/** How the small parts are encrypted on their way there. */
export interface TreeCoding {
  /** age's public keys; empty: the place encrypts by itself, or nobody does. */
  readonly recipients: readonly string[];
  /** The file on the off-site's host that opens them; without it they are compared as they are stored. */
  readonly identity?: string;
}

/**
 * An off-site of a place that is nothing but a tree of files; `tree-layout.ts` says what lies where. Nothing is ever
 * renamed there, and what seals a backup is that a name is there, so that it is whole or not listed whatever dies.
 */
export function treeOffsite(
  name: string,
  place: OffsitePlace,
  transport: TreeTransport,
  { recipients, identity }: TreeCoding,
): Offsite {
  const tree: Tree = { name, place, transport };

  /** Compresses and encrypts the files of a folder, and sends them. */
  async function send(
    part: CapturedPart,
    folder: string,
    encryptFor: readonly string[],
    follow: FollowJob,
  ): Promise<StoredEntry[]> {
    const to = `${workOf(place, part)}/${part.name}`;
    const entries = await codeFiles(place, { folder, to, recipients: encryptFor }, follow);
    const sent = await follow(
      'send',
      await transport.sendArgv(to, partFolder(part.backup, part.name), {
        overwrite: await isFirst(`${to}.sent`),
      }),
      { as: place.as, cwd: '/', nice: 10, okCodes: anyExitCode },
      (tails) => ({ ...transport.sendProgress(tails), totalBytes: bytesOf(entries) }),
    );
    if (sent.exitCode !== 0)
      throw transport.failureOf(sent.exitCode, `${sent.stdoutTail}\n${sent.stderrTail}`);
    return entries;
  }

  /**
   * Whether these very stored files are sent for the first time: then something else may lie under their names (what
   * another run has left, encrypted anew and of the same size). Later, what has arrived is not sent again.
   */
  async function isFirst(note: string): Promise<boolean> {
    const script = 'if [ -e "$1" ]; then echo again; else : > "$1"; fi';
    const { stdout } = await place.host.run(['sh', '-c', script, 'sh', note], { as: place.as });
    return stdout.trim() === '';
  }

  function storedEntry({ backup, name: part, files = [] }: StoredPartRef, path: string): StoredEntry {
    const stored = files.find(({ entry }) => entry === path);
    if (stored !== undefined) return stored;
    throw new Failure(
      'NotRestorable',
      `the manifest of ${backup} on ${name} does not say where ${part}: ${path} lies`,
      {
        next: 'take the backup from another off-site (--from NAME)',
      },
    );
  }

  async function readStored(part: StoredPartRef, path: string): Promise<HostStream> {
    const { path: stored, bytes } = storedEntry(part, path);
    return readTree(tree, `${partFolder(part.backup, part.name)}/${stored}`, bytes);
  }

  return {
    name,
    kind: transport.kind,
    opens: recipients.length === 0 || identity !== undefined,

    check: () => transport.check(),
    create: () => transport.create(),

    async put(part, follow): Promise<StoredPart> {
      const media = part.indexFolder !== undefined;
      // The index goes first: from then on nobody takes the files that it names for garbage.
      const files = await send(part, part.indexFolder ?? part.folder, media ? [] : recipients, follow);
      const sent = media ? await fillPool(tree, part, follow) : 0;
      return { ref: { backup: part.backup, name: part.name, files }, bytesAdded: bytesOf(files) + sent };
    },

    async seal(manifest: Manifest) {
      const { backup } = manifest;
      const folder = backupFolder(backup);
      const there = await listTree(tree, folder, 1);
      const old = there.map(({ path }) => path).filter((path) => readSeal(path) !== undefined);
      const text = writeManifest(manifest);
      if (old.length > 0) {
        // An attempt before this one came to its end, and nobody heard of it.
        const before = await readText(tree, `${folder}/${manifestFile}`);
        const sealed = before !== null && old.some((seal) => readSeal(seal)?.key === keyOfManifest(before));
        if (sealed && before === text) return 0;
        if ((await removeFiles(tree, folder, old)) === 'append-only') {
          if (sealed) return 0;
          throw cannotRemove(name, backup, 'a seal without its manifest');
        }
      }
      await transport.write(`${folder}/${manifestFile}`, text);
      await transport.write(`${folder}/${sealName(manifest, text)}`, `${keyOfManifest(text)}\n`);
      return Buffer.byteLength(text);
    },

    async list() {
      const files = await listTree(tree, backupsFolder);
      // A disk that is not mounted, a bucket that is gone: that is not a place without backups.
      if (files.length === 0) await transport.check();
      return storedBackups(findBackups(files));
    },

    async readManifest({ backup, key }) {
      const folder = backupFolder(backup);
      const text = await readText(tree, `${folder}/${manifestFile}`);
      const next = `take the backup from another off-site (--from NAME); see what has happened to ${name}`;
      if (text === null)
        throw new Failure('NotRestorable', `the manifest of ${backup} on ${name} cannot be read`, { next });
      const is = keyOfManifest(text);
      if (is === key) return text;
      const seals = await listTree(tree, folder, 1);
      if (seals.some(({ path }) => readSeal(path)?.key === is)) return text; // sealed again since it was listed
      throw new Failure(
        'NotRestorable',
        `the manifest of ${backup} on ${name} is not the one that the backup was sealed with: it was changed, or another was put in its place`,
        { next },
      );
    },

    readStored,
    async readEntry(part, path): Promise<HostStream> {
      return openCoded(place, storedEntry(part, path), await readStored(part, path), identity);
    },

    async saveEntry(part, path, file) {
      const entry = storedEntry(part, path);
      return withScratch(tree, async (scratch) => {
        const from = `${partFolder(part.backup, part.name)}/${entry.path}`;
        const read = await transport.readArgv(from, scratch, entry.bytes);
        return saveCoded(place, entry, { read, file, identity });
      });
    },

    async sizeOfEntry(part, path) {
      const stored = part.files?.find(({ entry }) => entry === path)?.path;
      if (stored === undefined) return null;
      const there = await listTree(tree, partFolder(part.backup, part.name));
      return there.find((file) => file.path === stored)?.bytes ?? null;
    },

    ...treeMedia(tree),

    async keep(backup, until) {
      await transport.write(`${backupFolder(backup)}/${keepName(until)}`, `${backup}\n`);
    },

    async release(backup) {
      const folder = backupFolder(backup);
      const marks = (await listTree(tree, folder, 1))
        .map(({ path }) => path)
        .filter((path) => path.startsWith('keep.'));
      if ((await removeFiles(tree, folder, marks)) === 'append-only')
        throw cannotRemove(name, backup, 'a mark that keeps it');
    },

    async attach(backup, report, content) {
      requireReportName(report);
      await transport.write(`${reportsFolder(backup)}/${report}`, content);
    },

    async listAttached(backup) {
      return (await listTree(tree, reportsFolder(backup), 1)).map(({ path }) => path);
    },

    async readAttached(backup, report) {
      requireReportName(report);
      const text = await readText(tree, `${reportsFolder(backup)}/${report}`);
      if (text !== null && text !== '') return text;
      throw noReport(name, backup, report); // of what is not there, an object store gives nothing
    },

    remove: (...removal) => removeBackups(tree, ...removal),
  };
}

function bytesOf(entries: readonly StoredEntry[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes, 0);
}

function cannotRemove(name: string, backup: BackupId, what: string): Failure {
  return new Failure('Refused', `off-site ${name} lets nothing be removed: ${backup} has ${what} there`, {
    next: 'remove it (keep.…, sealed.…) from the folder of the backup there with a key that may remove files',
  });
}
