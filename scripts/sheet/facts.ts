import type { Manifest } from '../../src/backups/manifest.js';

/** What a recovery sheet is made of. */
export interface SheetFacts {
  readonly domain: string;
  readonly madeAt: Date;
  /** Our own version. */
  readonly permafrost: string;
  /** Where the clone on this machine came from; absent when it is no clone. */
  readonly repository?: string;
  /** Eight digits that stand for keys, off-sites and configuration together: others, when any of them changes. */
  readonly mark: string;
  readonly withSecrets: boolean;
  /** What has to lie on the new server before a restore, the configuration first. */
  readonly files: readonly SheetFile[];
  readonly offsites: readonly SheetOffsite[];
  readonly instance: SheetInstance;
  /** Of the newest backup; null when none was found, or no off-site could be read. */
  readonly manifest: Manifest | null;
  /** Off-sites that had it when the sheet was made. */
  readonly newestOn: readonly string[];
  /** What the sheet lacks, and why: sentences. */
  readonly missing: readonly string[];
}

export interface SheetInstance {
  /** Where it lives now, as messages call it. */
  readonly host: string;
  readonly root: string;
  readonly appUser?: string;
  /** As the code says: `3.4.7`. */
  readonly ruby?: string;
  readonly node?: string;
}

export interface SheetOffsite {
  readonly name: string;
  readonly kind: string;
  /** `sftp:backup@vault:/srv/restic`. */
  readonly place: string;
  /** The files that open it, on the new server. */
  readonly files: readonly SheetFile[];
  /** What to call with a tool of its own, to see that it opens; variables in it need no other line. */
  readonly byHand: string;
}

export interface SheetFile {
  /** Absolute, on the new server. */
  readonly path: string;
  /** Where it lies on this machine; absent for what is made for the sheet, or is not here. */
  readonly from?: string;
  /** It is of the home folder of whoever made the sheet. */
  readonly fromHome?: true;
  /** In a few words: `the password of the repository`. */
  readonly what: string;
  readonly secret: boolean;
  /** Absent when it is not for this sheet, or not on this machine. */
  readonly content?: Buffer;
  /** By which the right one is known, without giving it away: `SHA256:…` of SSH, age's public key. */
  readonly fingerprint?: string;
}
