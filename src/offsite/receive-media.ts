import type { Manifest } from '../backups/manifest.js';
import type { MediaRecord } from '../backups/media-index.js';
import type { Host, Identity } from '../hosts/host.js';
import { ownMark, sweepLeft } from '../hosts/leftovers.js';
import { damageOf } from './damage.js';
import type { Offsite, StoredPartRef } from './offsite.js';
import { MediaBatch } from './media-batch.js';
import { refOf } from './part-ref.js';
import { type ComparedFile, type ComparedMedia, compareMedia, hashesOf, sampleOf } from './compare-media.js';
import {
  addedFolder,
  incomingArgv,
  incomingFolder,
  incomingPlacesArgv,
  missingArgv,
  placeMedia,
} from './receive-media-scripts.js';
import type { Owners } from './received-index.js';
import type { Finding } from './verify.js';

/** What came of putting media in place. */
export interface ReceivedMedia {
  /** Files. */
  added: number;
  /** Files that were there already. */
  present: number;
  /** Of what was added. */
  bytes: number;
  /** The first ones, and how many more there are. */
  findings: Finding[];
}

export interface MediaToReceive {
  readonly copy: Offsite;
  /** The copy's host. */
  readonly host: Host;
  readonly manifest: Manifest;
  /** The media's index, plain, on that host. */
  readonly index: string;
  /** The media's folder there; made when there is none. */
  readonly into: string;
  /** `sample`: so many files at most, spread over all; another choice with every seed (default: the day). */
  readonly wanted: 'missing' | { readonly sample: number; readonly seed?: string };
  /** Who puts the files in place; where that is root, they get owners, too. */
  readonly as: Identity;
  /** Ids of the index to those of this host (`mediaOwners`); default: as they are. */
  readonly owners?: Owners;
  /**
   * A file of the login user on the host, where each file is noted before it gets its name, `<inode> <absolute path>` and
   * a NUL, and each folder before it is made, `folder <absolute path>`: whoever takes them back removes these and no
   * other. It begins with who has put them there: `as login`, `as privileged` or `as user <name>`.
   */
  readonly noteAdded?: string;
  /**
   * A private folder of the login user on the host, for what another user gets from it: default in Permafrost's own.
   */
  readonly work?: string;
  /** Of all that is wanted, with what is there already. What it throws ends it. */
  readonly tell?: (progress: {
    bytes?: number;
    totalBytes?: number;
    files?: number;
    totalFiles?: number;
  }) => void;
}

/** Files whose content is looked at together. */
const mostUnsure = 1_000;
/** Findings that are named. */
const namedFindings = 200;
const dayMs = 86_400_000;

/**
 * Adds media that are missing in a folder, each compared with the index before it gets its name. Deletes and overwrites
 * nothing: a file that is there as another is a finding, and stays. Safe to run again: what is in place is not fetched
 * twice.
 *
 * @throws Failure when the off-site cannot be asked, or the folder cannot be filled.
 */
export async function receiveMedia(given: MediaToReceive): Promise<ReceivedMedia> {
  const part = given.manifest.parts.find(({ name }) => name === 'media');
  if (part === undefined) return { added: 0, present: 0, bytes: 0, findings: [] };
  await sweepIncoming(given.host, given.as, given.into);
  const receiving = new Receiving(given, refOf(given.manifest.backup, part));
  try {
    if (given.wanted === 'missing') {
      receiving.expect({ files: part.files, bytes: part.bytes });
      for await (const found of compareMedia(given)) await receiving.take(found);
    } else {
      const chosen = await sampleOf(given, given.wanted);
      const bytes = chosen.reduce((sum, { record }) => sum + record.size, 0);
      receiving.expect({ files: chosen.length, bytes });
      for (const found of chosen) await receiving.take(found);
    }
    return await receiving.finish();
  } finally {
    await receiving.tidy();
  }
}

/** Removes what a killed `receiveMedia` has left beside the media; one that is at work is left alone. */
export async function sweepIncoming(host: Host, as: Identity, into: string): Promise<void> {
  const { stdout } = await host.run(incomingPlacesArgv(into), { as });
  for (const place of stdout.split('\0').slice(0, -1))
    await sweepLeft(host, place, (name) => name.startsWith(incomingFolder), as);
}

class Receiving {
  readonly #came: ReceivedMedia = { added: 0, present: 0, bytes: 0, findings: [] };
  readonly #done = { files: 0, bytes: 0 };
  readonly #excused: ReadonlySet<string>;
  #total: { totalFiles?: number; totalBytes?: number } = {};
  readonly #batch = new MediaBatch();
  #unsure: MediaRecord[] = [];
  #unnamed = 0;
  #folder: string | undefined;

  constructor(
    private readonly given: MediaToReceive,
    private readonly ref: StoredPartRef,
  ) {
    this.#excused = new Set(given.manifest.copy.changedMeanwhile);
  }

  expect({ files, bytes }: { files: number; bytes: number }): void {
    this.#total = { totalFiles: files, totalBytes: bytes };
    this.#tell();
  }

  async take(found: ComparedMedia | ComparedFile): Promise<void> {
    switch (found.state) {
      case 'passed':
        this.#came.present += found.files;
        this.#batch.passOver(found.files);
        return this.#did(found);
      case 'present':
        this.#batch.passOver(1);
        return this.#present(found.record);
      case 'differs':
        this.#batch.passOver(1);
        return this.#differs(found.record);
      case 'unsure':
        this.#batch.passOver(1);
        if (this.#unsure.push(found.record) >= mostUnsure) await this.#makeSure();
        return;
      case 'missing':
        return this.#fetch(this.#batch.add(found.record));
    }
  }

  async finish(): Promise<ReceivedMedia> {
    if (this.#unsure.length > 0) await this.#makeSure();
    await this.#fetch(this.#batch.take());
    const { findings } = this.#came;
    if (this.#unnamed > 0)
      findings.push({ part: 'media', problem: `and ${String(this.#unnamed)} more files like these` });
    return this.#came;
  }

  async tidy(): Promise<void> {
    const { host, as } = this.given;
    if (this.#folder !== undefined)
      await host.run(['rm', '-rf', '--', this.#folder], { as, timeoutMs: 3_600_000 });
  }

  /** Files with the size and another time, as a copy by other tools has: what is in them tells. */
  async #makeSure(): Promise<void> {
    const { host, as, into } = this.given;
    const records = this.#unsure;
    this.#unsure = [];
    const hashes = await hashesOf(host, as, into, records);
    for (const record of records) {
      if (hashes.get(record.pathBytes.toString('latin1')) === record.sha256) this.#present(record);
      else this.#differs(record);
    }
  }

  async #fetch({ records, bytes }: { records: readonly MediaRecord[]; bytes: number }): Promise<void> {
    if (records.length === 0) return;
    const { copy, host, as, into, owners = (uid, gid) => ({ uid, gid }) } = this.given;
    const from = await this.#emptyFolder();
    const came = await this.#fetchInto(from, (folder) =>
      damageOf(async () => {
        await copy.fetchMedia(this.ref, records, folder);
      }),
    );
    const problems = await placeMedia(host, as, {
      ...{ from, into, records, owners },
      note: (added) => this.#note(added),
    });
    for (const record of records) {
      const problem = problems.get(record.pathBytes.toString('latin1'));
      if (problem === 'e') this.#came.present += 1;
      else if (problem === undefined) {
        this.#came.added += 1;
        this.#came.bytes += record.size;
      } else if (problem === 'c') this.#finding(record, 'came back changed');
      else
        this.#finding(
          record,
          typeof came === 'string'
            ? `cannot be read (${came})`
            : 'did not come: it is missing there, or damaged',
        );
    }
    this.#did({ files: records.length, bytes });
  }

  /** A folder of who places the files, beside their place. */
  async #emptyFolder(): Promise<string> {
    const { host, as, into } = this.given;
    await this.tidy();
    if (this.given.noteAdded !== undefined) {
      const { stdout } = await host.run(missingArgv(into), { as });
      const folders = stdout.split('\0').slice(0, -1).reverse();
      await this.#note(folders.map((folder) => addedFolder(Buffer.from(folder))));
    }
    const made = await host.run(incomingArgv(into, `${incomingFolder}${ownMark()}`), { as });
    return (this.#folder = made.stdout);
  }

  async #note(added: readonly Buffer[]): Promise<void> {
    const { host, as, noteAdded } = this.given;
    if (noteAdded === undefined || added.length === 0) return;
    const who = typeof as === 'string' ? as : `user ${as.user}`;
    const script = `umask 077; [ -s "$1" ] || printf 'as %s\\0' "$2" > "$1"; cat >> "$1" && sync -- "$1"`;
    const stdin = Buffer.concat(added.flatMap((one) => [one, Buffer.from('\0')]));
    await host.run(['sh', '-c', script, 'sh', noteAdded, who], { stdin });
  }

  /** The off-site's tool runs as the login user, who may have to hand over what it has fetched. */
  async #fetchInto<T>(folder: string, fetch: (folder: string) => Promise<T>): Promise<T> {
    const { host, as } = this.given;
    const facts = await host.facts();
    const own = await host.argvAs(['true'], as);
    const isLogin = own.length === 1 || (typeof as === 'object' && as.user === facts.user);
    if (isLogin) return fetch(folder);
    const work = this.given.work ?? `${facts.folder}/scratch`;
    const mine = `${work}/media-${ownMark()}`;
    try {
      await sweepLeft(host, work, (name) => name.startsWith('media-'));
      await host.run(['sh', '-c', 'umask 077; mkdir -p -- "$1"', 'sh', mine]);
      const came = await fetch(mine);
      const unpack = await host.argvAs(['tar', '-C', folder, '--no-same-owner', '-xf', '-'], as);
      const script = 'set -o pipefail; from=$1; shift; tar -C "$from" -cf - . | "$@"';
      await host.run(['bash', '-c', script, 'bash', mine, ...unpack], { timeoutMs: dayMs });
      return came;
    } finally {
      await host.run(['rm', '-rf', '--', mine], { timeoutMs: 3_600_000 });
    }
  }

  #present({ size }: MediaRecord): void {
    this.#came.present += 1;
    this.#did({ files: 1, bytes: size });
  }

  #differs(record: MediaRecord): void {
    this.#finding(record, 'differs from what is there, which was left as it is');
    this.#did({ files: 1, bytes: record.size });
  }

  #finding({ path }: MediaRecord, problem: string): void {
    if (this.#excused.has(path)) return;
    if (this.#came.findings.length < namedFindings)
      this.#came.findings.push({ part: 'media', path, problem });
    else this.#unnamed += 1;
  }

  #did({ files, bytes }: { files: number; bytes: number }): void {
    this.#done.files += files;
    this.#done.bytes += bytes;
    this.#tell();
  }

  #tell(): void {
    this.given.tell?.({ ...this.#done, ...this.#total });
  }
}
