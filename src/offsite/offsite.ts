import type { BackupId } from '../backups/id.js';
import type { Manifest } from '../backups/manifest.js';
import type { PartName } from '../backups/parts.js';
import type { StepProgress } from '../backups/report.js';
import type { Host, HostStream, Identity, JobOptions } from '../hosts/host.js';

/**
 * A place outside the instance where backups are kept, as one host sees it. Every kind passes the same suite.
 *
 * An off-site is filled by a tool on the instance's host and read by the machine that needs the bytes.
 */
export interface Offsite {
  readonly name: string;
  readonly kind: string;

  /**
   * Looks whether the place is there and opens with our key.
   *
   * @throws Failure `NotFound` when nothing was ever set up there, `AuthFailed`, `OffsiteUnavailable`.
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

  /** The backups of the instance. */
  list(): Promise<StoredBackups>;

  /** The manifest of a sealed backup, as it was stored. */
  readManifest(stored: StoredBackup): Promise<string>;

  /** One file of a part that is small enough to be named in the manifest. */
  readEntry(part: StoredPartRef, path: string): Promise<HostStream>;

  /** What the off-site knows of the media of a backup, without reading their bytes. */
  listMedia(part: StoredPartRef): AsyncIterable<StoredFile>;

  /**
   * The media of a backup read back, `all` or the named files and folders, each with the hash of what came back; more
   * than was asked for may come.
   */
  readMedia(part: StoredPartRef, paths: 'all' | readonly string[], scratch: string): AsyncIterable<ReadFile>;

  /** Removes these backups, the manifest first, and gives the space back. */
  remove(backups: readonly BackupId[], follow: FollowJob): Promise<void>;
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
  /** For media: the folder that holds the index. */
  readonly indexFolder?: string;
  /** Bytes to be read, when known: for the progress. */
  readonly bytes?: number;
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
  /** restic: the snapshot's id. */
  readonly snapshot: string;
  /** The folder that it was read from. */
  readonly root: string;
  /** For media: where their index lies. */
  readonly index?: { readonly snapshot: string; readonly root: string };
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
}

export interface StoredFile {
  /** Below the media's root. Bytes that are not UTF-8 read as U+FFFD, on both sides of every comparison. */
  readonly path: string;
  readonly size: number;
}

export interface ReadFile {
  readonly path: string;
  readonly sha256: string;
}

/** Runs a command as a durable job on the off-site's host, with heartbeats, and returns what it said at its end. */
export type FollowJob = (
  step: string,
  argv: readonly string[],
  options: JobOptions & { okCodes?: readonly number[] },
  progress: (stdoutTail: string) => Partial<StepProgress>,
) => Promise<{ exitCode: number; stdoutTail: string; stderrTail: string }>;

/** Where an off-site is opened: the host, who runs the tool there, and the folder with the keys handed over. */
export interface OffsitePlace {
  readonly host: Host;
  readonly as: Identity;
  /** Holds this off-site's key files (`keys.ts`). */
  readonly keys: string;
  /** The tool's program on that host. */
  readonly program: string;
  /** A private folder for the tool's cache. */
  readonly cache: string;
}
