import type { BackupId } from '../backups/id.js';
import type { Manifest } from '../backups/manifest.js';
import type { MediaRecord } from '../backups/media-index.js';
import type { PartName } from '../backups/parts.js';
import type { StepProgress } from '../backups/report.js';
import type { Host, HostStream, Identity, JobOptions } from '../hosts/host.js';
import type { ToolName } from '../hosts/tools.js';

/**
 * A place outside the instance where backups are kept, as one host sees it. Every kind passes the same suite.
 *
 * An off-site is filled by a tool on the instance's host and read by the machine that needs the bytes.
 */
export interface Offsite {
  readonly name: string;
  readonly kind: string;

  /**
   * Whether entries can be opened with the keys at hand. Where they are encrypted for somebody else (age without its
   * identity), `readEntry` refuses, and what is stored is compared as it lies there (`StoredPartRef.files`).
   */
  readonly opens: boolean;

  /**
   * Looks whether the place is there and opens with our key.
   *
   * @throws Failure `NotFound` when nothing was ever set up there, `AuthFailed`, `OffsiteUnavailable`, `ConfigInvalid`
   *   when it does not encrypt and the configuration does not say that this is meant.
   */
  check(): Promise<void>;

  /**
   * Writes something that is removed at once and that nobody else sees as a backup; only where that leaves nothing.
   *
   * @throws Failure as `check`, or `OffsiteUnavailable` when nothing can be written or removed there.
   */
  proveWriting?(): Promise<void>;

  /** Sets the place up, empty. @throws Failure `Refused` when there is something already. */
  create(): Promise<void>;

  /** Copies a captured part there. Safe to run again: what has arrived is not sent twice. */
  put(part: CapturedPart, follow: FollowJob): Promise<StoredPart>;

  /**
   * Writes the manifest, the last act: from here on the backup exists. Returns the bytes that were added.
   *
   * @param again an earlier attempt may have left something.
   */
  seal(manifest: Manifest, again: boolean): Promise<number>;

  /** The backups of the instance. @throws Failure rather than give a list that is not complete. */
  list(): Promise<StoredBackups>;

  /** The manifest of a sealed backup, as it was stored. */
  readManifest(stored: StoredBackup): Promise<string>;

  /** One file of a part that is small enough to be named in the manifest, opened; of media, a file of their index. */
  readEntry(part: StoredPartRef, path: string): Promise<HostStream>;

  /**
   * Puts an entry, opened, into a file of the off-site's host, mode 0600, without its bytes passing through this machine.
   *
   * @returns false when it did not come: `readEntry` tells why. What came has still to be compared.
   */
  saveEntry?(part: StoredPartRef, path: string, file: string): Promise<boolean>;

  /** The same as it lies there: compressed and encrypted as `StoredPartRef.files` says. Only where `files` is given. */
  readStored?(part: StoredPartRef, path: string): Promise<HostStream>;

  /**
   * How many bytes the off-site says that an entry has, without reading it: as stored where `files` is given, else as it
   * was captured. Null when it is not there.
   */
  sizeOfEntry(part: StoredPartRef, path: string): Promise<number | null>;

  /** What a media file is called there: its path, or its SHA-256 where all backups share one pool. */
  mediaKey(file: Pick<MediaRecord, 'path' | 'sha256'>): string;

  /** The media that the off-site has, without reading their bytes: all of this backup's, maybe those of others as well. */
  listMedia(part: StoredPartRef): AsyncIterable<StoredFile>;

  /**
   * Media of a backup read back, each with the hash of what came; more than was wanted may come, and what is not there
   * does not. What the off-site itself finds damaged is left out when it can go on without it.
   *
   * @param scratch a private folder on the off-site's host, for this call alone; removed afterwards.
   */
  readMedia(part: StoredPartRef, wanted: readonly MediaFile[], scratch: string): AsyncIterable<ReadFile>;

  /** All media of a backup read back, where that is quicker than asking for them by batches. */
  readAllMedia?(part: StoredPartRef): AsyncIterable<ReadFile>;

  /** Puts media below a folder of the off-site's host, each under its path. What is not there does not come. */
  fetchMedia(part: StoredPartRef, wanted: readonly MediaFile[], into: string): Promise<void>;

  /**
   * Removes media files whose bytes are proven not to be what their name says, so that the next `put` sends them again:
   * for places that take a file that is there with its size for the right one.
   */
  mend?(part: StoredPartRef, keys: readonly string[]): Promise<void>;

  /** Marks a backup as not to be removed by retention; `until` is a day, `2027-01-31` (that day included), or null. */
  keep(backup: BackupId, until: string | null): Promise<void>;

  /** Takes all marks of `keep` off. */
  release(backup: BackupId): Promise<void>;

  /**
   * Puts a report beside a backup: how a drill or a restore of it went. Gone with the backup; no part of it. Written again
   * under the same name, it replaces the former one.
   *
   * @param name `drill-20261201T050000Z.html`: letters, digits, dots and dashes.
   */
  attach(backup: BackupId, name: string, content: string): Promise<void>;

  /** Names of the reports beside a backup, in any order. */
  listAttached(backup: BackupId): Promise<string[]>;

  readAttached(backup: BackupId, name: string): Promise<string>;

  /**
   * Removes these backups, the seals first, and gives back what no other backup needs. Interrupted anywhere, every other
   * backup is whole and those that are half gone are not listed as sealed.
   *
   * @param backups in this order: one that depends on another comes before it, so that no seal outlives what it needs.
   * @param stillGoing asked right before the seals go, with a list that was made then: what to remove was decided some
   *   time ago, and somebody may have said `keep` since, or begun to read. When it throws, nothing was removed.
   * @returns `append-only` when the off-site lets nothing be removed: then nothing was, and that is no error.
   * @throws Failure `OffsiteUnavailable` when only some of it could be removed; another call goes on.
   */
  remove(
    backups: readonly BackupId[],
    follow: FollowJob,
    stillGoing?: (now: StoredBackups) => Promise<void>,
  ): Promise<'removed' | 'append-only'>;
}

/** A part as it lies on the host, ready to be sent. */
export interface CapturedPart {
  readonly name: PartName;
  readonly backup: BackupId;
  /** The folder that holds it. */
  readonly folder: string;
  /** Below `folder`: what is not part of it (absolute paths). */
  readonly exclude: readonly string[];
  /** A file on the host that lists more of them, escaped as restic's `--exclude-file` takes it: what cannot be read. */
  readonly excludeFile?: string;
  /** For media: the folder that holds the index, and nothing else. */
  readonly indexFolder?: string;
  /** Bytes to be read, when known: for the progress. */
  readonly bytes?: number;
  /** The backup whose full dump this delta of the database needs. */
  readonly dependsOn?: BackupId;
  /** An earlier attempt may have left something. */
  readonly again: boolean;
}

export interface StoredPart {
  /** What the manifest keeps to find the part again. */
  readonly ref: StoredPartRef;
  /** Bytes that it added to the off-site. */
  readonly bytesAdded: number;
}

/** Where a part lies on an off-site; stored in the manifest. */
export interface StoredPartRef {
  readonly backup: BackupId;
  readonly name: PartName;
  /** restic: the snapshot's id. */
  readonly snapshot?: string;
  /** restic: the folder that it was read from. */
  readonly root?: string;
  /** restic, for media: where their index lies. */
  readonly index?: { readonly snapshot: string; readonly root: string };
  /** Trees of files (rclone, rsync): how each entry lies there. */
  readonly files?: readonly StoredEntry[];
}

/** An entry as it lies in a tree of files: compressed with zstd (`.zst`) and encrypted with age (`.age`), in this order. */
export interface StoredEntry {
  /** The entry's path in the part, as the manifest names it: `database.dump`. */
  readonly entry: string;
  /** Its name there: `database.dump.zst.age`. */
  readonly path: string;
  readonly bytes: number;
  /** SHA-256 of what is stored. */
  readonly sha256: string;
}

export interface StoredBackups {
  /** Newest first. */
  readonly sealed: readonly StoredBackup[];
  /** Of which something was sent and that were never sealed: what dead runs have left. */
  readonly unsealed: readonly BackupId[];
}

export interface StoredBackup {
  readonly backup: BackupId;
  readonly parts: readonly PartName[];
  /** Names this very copy of the manifest; never reused for another content. */
  readonly key: string;
  /** The backup whose full dump its delta of the database needs. */
  readonly dependsOn?: BackupId;
  /** Somebody said `keep`: for ever, or until a day, `2027-01-31`. The latest, when it was said more than once. */
  readonly kept?: 'forever' | string;
}

/** A media file to be read: what the index says of it. `pathBytes` where a path may be no UTF-8 and matters. */
export type MediaFile = Pick<MediaRecord, 'path' | 'sha256' | 'size'> &
  Partial<Pick<MediaRecord, 'pathBytes'>>;

export interface StoredFile {
  /** As `Offsite.mediaKey` gives it. Bytes of a path that are not UTF-8 read as U+FFFD, on both sides of a comparison. */
  readonly key: string;
  readonly size: number;
}

export interface ReadFile {
  /** As `Offsite.mediaKey` gives it. */
  readonly key: string;
  readonly sha256: string;
}

/** Runs a command as a durable job on the off-site's host, with heartbeats, and returns what it said at its end. */
export type FollowJob = (
  step: string,
  argv: readonly string[],
  options: JobOptions & { okCodes?: readonly number[] },
  progress: (tails: {
    stdoutTail: string;
    stderrTail: string;
  }) => Partial<StepProgress> | Promise<Partial<StepProgress>>,
) => Promise<{ exitCode: number; stdoutTail: string; stderrTail: string }>;

/** Where an off-site is opened: the host, who runs the tool there, and the folder with the keys handed over. */
export interface OffsitePlace {
  readonly host: Host;
  readonly as: Identity;
  /** Holds this off-site's key files (`keys.ts`). */
  readonly keys: string;
  /** A program on that host, absolute. @throws Failure `ToolMissing` */
  readonly tool: (name: ToolName) => Promise<string>;
  /** A private folder for the tool's cache. */
  readonly cache: string;
  /** A private folder of `as` for files of this run that wait to be sent; swept by who made it. */
  readonly work: string;
}
