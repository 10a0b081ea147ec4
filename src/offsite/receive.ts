import { z } from 'zod';
import type { BackupId } from '../backups/id.js';
import { type Manifest, readManifest } from '../backups/manifest.js';
import { type PartName, partNames } from '../backups/parts.js';
import { sizeText } from '../backups/space.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { freeBytes } from '../hosts/space.js';
import { present } from '../present.js';
import { fetchEntry } from './dump-files.js';
import { type JudgedManifest, readJudgedManifest } from './manifest-check.js';
import type { Offsite, StoredBackup } from './offsite.js';
import { refOf } from './part-ref.js';
import type { TrustedKeys } from './trusted-keys.js';
import type { Checked, Finding } from './verify.js';
import { mainFile, type WantedFile, wantedOf } from './wanted-files.js';
import { wholeDump } from './whole-dump.js';

export { mediaOwners, readMediaIndexFile } from './received-index.js';
export { type MediaToReceive, receiveMedia, type ReceivedMedia } from './receive-media.js';

/**
 * A backup on its way out of an off-site: its small parts and the index of its media, each compared with the manifest, in
 * a private folder of the machine that needs them.
 */

/** What of a backup has come to a host, and what of it is not what it should be. */
export interface Received {
  readonly manifest: Manifest;
  readonly findings: readonly Finding[];
  /** What came, and is what it should be. */
  readonly checked: Checked;
  readonly signature: JudgedManifest['signature'];
  readonly files: ReceivedFiles;
}

/** Absolute paths on the host; absent when not asked for, not in the backup, or damaged. */
export interface ReceivedFiles {
  manifest: string;
  /** In PostgreSQL's custom format, whole. */
  dump?: string;
  roles?: string;
  /** A tar archive. */
  secrets?: string;
  rdb?: string;
  /** Plain, as `backups/media-index.ts` says. */
  mediaIndex?: string;
}

export interface ToReceive {
  readonly copy: Offsite;
  /** The copy's host. */
  readonly host: Host;
  /** A private folder there, made 0700. */
  readonly into: string;
  readonly domain: string;
  readonly backup: BackupId;
  /** Of the media: their index alone. Those that the backup does not have are passed over. */
  readonly parts: readonly PartName[];
  readonly trusted: TrustedKeys;
  /** `bytes` of all parts together. What it throws ends the receiving. */
  readonly tell?: (progress: {
    bytes?: number;
    totalBytes?: number;
    files?: number;
    subject?: string;
  }) => void;
}

/** Bytes that stay free besides. */
const spareBytes = 64 << 20;
const dayMs = 86_400_000;

/**
 * Fetches parts of a sealed backup: `manifest.json`, `database/database.dump` (put together from its delta where it is
 * one) and the roles beside it, `secrets/secrets.tar`, `redis/dump.rdb`, `media.index`. What is there with its hash is
 * not fetched again. Damage is a finding, and what is damaged is not left there.
 *
 * @throws Failure `NotFound` when it is not sealed there, `NotRestorable` when its manifest cannot be read at all,
 *   `Refused` without room, and what else keeps the off-site from being read.
 */
export async function receiveParts(given: ToReceive): Promise<Received> {
  const { copy, host, into, domain, backup, trusted } = given;
  const stored = await sealedAs(copy, backup, domain);
  let text = '';
  const read = async () => (text = await copy.readManifest(stored));
  const { manifest, problems, signature, next } = await readJudgedManifest(
    copy,
    stored,
    { instance: domain, trusted },
    read,
  );
  if (manifest === undefined)
    throw new Failure(
      'NotRestorable',
      `the manifest of ${backup} on ${copy.name} ${problems.join('; it ')}`,
      {
        next,
      },
    );
  const prepare = 'umask 077; mkdir -p -- "$1" && chmod 700 -- "$1" && rm -f -- "$1/received.json"';
  await host.run(['sh', '-c', prepare, 'sh', into]);
  const files: ReceivedFiles = { manifest: `${into}/manifest.json` };
  await host.putFile(files.manifest, text);
  const findings: Finding[] = problems.map((problem) => ({ part: 'manifest', problem }));
  const checked = { files: 0, bytes: 0 };
  if (manifest.backup === backup) {
    const receiving = new Receiving(given, manifest);
    await receiving.requireRoom();
    for (const { one, came } of await receiving.receiveAll()) {
      findings.push(...came.findings);
      checked.files += came.checked.files;
      checked.bytes += came.checked.bytes;
      if (came.findings.length === 0) files[one.as] = `${into}/${one.file}`;
    }
    findings.push(...receiving.unnamed);
  }
  const note = { findings, checked, signature, files };
  await host.putFile(`${into}/received.json`, JSON.stringify(note));
  return { manifest, ...note };
}

/** What a finished `receiveParts` has left in a folder; undefined when none has come to its end there. */
export async function receivedAt(host: Host, into: string): Promise<Received | undefined> {
  const read = async (name: string) => {
    const script = '[ ! -f "$1" ] || cat -- "$1"';
    return (await host.run(['sh', '-c', script, 'sh', `${into}/${name}`], { maxOutputBytes: 64 << 20 }))
      .stdout;
  };
  const [noted, text] = [await read('received.json'), await read('manifest.json')];
  if (noted === '' || text === '') return undefined;
  const { findings, files, ...note } = noteSchema.parse(JSON.parse(noted));
  return {
    ...note,
    manifest: readManifest(text, `in ${into} on ${host.name}`),
    findings: findings.map((finding) => present(finding)),
    files: present(files),
  };
}

const noteSchema = z.object({
  findings: z.array(
    z.object({
      part: z.enum([...partNames, 'manifest']),
      path: z.string().optional(),
      problem: z.string(),
    }),
  ),
  checked: z.object({ files: z.number(), bytes: z.number() }),
  signature: z.enum(['valid', 'unsigned', 'unknown key', 'broken', 'not judged']),
  files: z.object({
    manifest: z.string(),
    dump: z.string().optional(),
    roles: z.string().optional(),
    secrets: z.string().optional(),
    rdb: z.string().optional(),
    mediaIndex: z.string().optional(),
  }),
});

async function sealedAs(copy: Offsite, backup: BackupId, domain: string): Promise<StoredBackup> {
  const stored = (await copy.list()).sealed.find((one) => one.backup === backup);
  if (stored !== undefined) return stored;
  throw new Failure('NotFound', `there is no sealed backup ${backup} of ${domain} on ${copy.name}`, {
    next: `permafrost list ${domain} shows what is where`,
  });
}

interface Came {
  findings: readonly Finding[];
  checked: Checked;
}

class Receiving {
  readonly wanted: readonly WantedFile[];
  /** What the manifest should name and does not. */
  readonly unnamed: readonly Finding[];
  /** Of each file, as far as it has come. */
  readonly #bytes = new Map<WantedFile, number>();
  readonly #totalBytes: number;

  constructor(
    private readonly given: ToReceive,
    private readonly manifest: Manifest,
  ) {
    const parts = manifest.parts.filter(({ name }) => given.parts.includes(name));
    this.wanted = parts.flatMap((part) => wantedOf(manifest, part));
    this.unnamed = parts.flatMap(({ name }) => {
      if (this.wanted.some(({ as }) => as === mainFile[name])) return [];
      return [{ part: name, problem: 'is without its file: the manifest does not name it' }];
    });
    this.#totalBytes = this.wanted.reduce((sum, { entry }) => sum + entry.bytes, 0);
  }

  /** @throws Failure `Refused` */
  async requireRoom(): Promise<void> {
    const { host, into } = this.given;
    const there = await host.run(['du', '-sB1', '--', into]);
    const need = this.#totalBytes - Number(there.stdout.split('\t')[0]) + spareBytes;
    const free = await freeBytes(host, into);
    if (free >= need) return;
    throw new Failure(
      'Refused',
      `${host.name} has ${sizeText(free)} free in ${into}, and ${sizeText(need)} are to come`,
      {
        host: host.name,
        next: 'make room there, or take another folder; nothing was fetched',
      },
    );
  }

  /** The dump beside all else: of a small file, asking the off-site for it is what takes its time. */
  async receiveAll(): Promise<{ one: WantedFile; came: Came }[]> {
    const came = new Map<WantedFile, Came>();
    const lane = async (wanted: readonly WantedFile[]) => {
      for (const one of wanted) came.set(one, await this.#receive(one));
    };
    const isDump = ({ as }: WantedFile) => as === 'dump';
    const lanes = [lane(this.wanted.filter(isDump)), lane(this.wanted.filter((one) => !isDump(one)))];
    await Promise.allSettled(lanes); // nothing goes on behind a failure's back
    await Promise.all(lanes);
    return this.wanted.flatMap((one) => {
      const its = came.get(one);
      return its === undefined ? [] : [{ one, came: its }];
    });
  }

  async #receive(one: WantedFile): Promise<Came> {
    const { copy, host, into } = this.given;
    const { as, part, entry, file } = one;
    const path = `${into}/${file}`;
    const report = (bytes: number) => {
      this.#did(one, (this.#bytes.get(one) ?? 0) + bytes);
    };
    report(0);
    const whole = { findings: [], checked: { files: 1, bytes: entry.bytes } };
    const there = await host.run(['sh', '-c', keepScript, 'sh', path, entry.sha256], {
      okCodes: [0, absent],
      timeoutMs: dayMs,
    });
    let came: Came = whole;
    if (there.exitCode === absent) {
      if (as === 'dump' && this.manifest.database?.delta !== undefined)
        came = await this.#putTogether(path, report);
      else {
        const ref = refOf(this.manifest.backup, part);
        const problem = await fetchEntry(copy, { ref, entry }, host, `${path}.new`, report);
        await host.run(
          problem === undefined ? ['mv', '-f', '--', `${path}.new`, path] : ['rm', '-f', '--', `${path}.new`],
        );
        if (problem !== undefined)
          came = { findings: [{ part: part.name, path: entry.path, problem }], checked: nothing };
      }
    }
    this.#did(one, entry.bytes);
    return came;
  }

  /** A delta and the full dump that it needs. */
  async #putTogether(path: string, report: (bytes: number) => void): Promise<Came> {
    const { copy, host, into } = this.given;
    const reader = { host, scratch: `${into}/database/from` };
    const { findings, checked, dump } = await wholeDump({
      ...{ copy, reader, manifest: this.manifest, keep: true, report },
    });
    if (dump === undefined) return { findings, checked };
    await host.run(['mv', '-f', '--', dump.path, path]);
    await host.run(['rm', '-rf', '--', dump.folder], { timeoutMs: 600_000 });
    return { findings, checked };
  }

  #did(one: WantedFile, its: number): void {
    this.#bytes.set(one, its);
    const bytes = [...this.#bytes.values()].reduce((sum, each) => sum + each, 0);
    this.given.tell?.({ subject: one.part.name, bytes, totalBytes: Math.max(bytes, this.#totalBytes) });
  }
}

const nothing = { files: 0, bytes: 0 };

const absent = 70;

/** $1 file, $2 its SHA-256. Ends with 70 when it is not there as it should be; then its folder is. */
const keepScript = `umask 077; mkdir -p -- "$(dirname -- "$1")" || exit 1
[ -f "$1" ] || exit ${String(absent)}
sum=$(if command -v openssl > /dev/null; then openssl dgst -sha256 -r < "$1"; else sha256sum < "$1"; fi) || exit 1
[ "\${sum%% *}" = "$2" ] || { rm -f -- "$1"; exit ${String(absent)}; }`;
