import { posix } from 'node:path';
import type { BackupId } from '../backups/id.js';
import { type Manifest, readManifest } from '../backups/manifest.js';
import { gigabytes } from '../backups/space.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { ownMark, sweepLeft } from '../hosts/leftovers.js';
import { freeBytes } from '../hosts/space.js';
import { damageOf } from './damage.js';
import {
  type Delta,
  deltaEntry,
  type DumpEntry,
  dumpEntry,
  fetchEntry,
  hashStored,
  patchDump,
} from './dump-files.js';
import type { Offsite } from './offsite.js';
import { refOf } from './part-ref.js';
import type { Checked, Finding } from './verify.js';

/**
 * The dump of a backup, whatever way it lies on an off-site: as it is, or as a delta against the full dump of another
 * backup there. One that is put together again is compared with the SHA-256 of the dump that the delta was made from.
 */

/** Where the bytes come together: what `withOffsite` gives. */
export interface Reader {
  readonly host: Host;
  /** A private folder there; files go into one beside it, which nobody else uses. */
  readonly scratch: string;
}

export interface WholeDump {
  readonly findings: readonly Finding[];
  /** What was read back and is what it should be. */
  readonly checked: Checked;
  /** Where the dump lies on the reader's host, 0600, when it was asked for and is right: the caller removes its folder. */
  readonly dump?: { readonly path: string; readonly folder: string };
}

/** Besides the dumps. */
const spareBytes = 64 << 20;

/**
 * Looks for the full dump that a delta needs, without reading it: it is sealed, it is the one that the delta was made
 * against, and it has its size, as far as the off-site can say.
 *
 * @throws Failure when the off-site cannot be asked.
 */
export async function findFull(
  copy: Offsite,
  delta: Delta,
): Promise<{ full: DumpEntry; manifest: Manifest } | { finding: Finding }> {
  const { sealed } = await copy.list();
  const missing = (problem: string) => ({ finding: ofFull(delta.full, problem) });
  const stored = sealed.find(({ backup }) => backup === delta.full);
  if (stored === undefined) return missing('is not there: no backup of that name is sealed on this off-site');
  if (!stored.parts.includes('database')) return missing('is not there: its backup has lost its database');
  const text = await damageOf(async () => ({
    manifest: readManifest(await copy.readManifest(stored), `of ${delta.full} on ${copy.name}`),
  }));
  if (typeof text === 'string') return missing(`cannot be found (${text})`);
  const full = fullDumpOf(text.manifest);
  if (full?.entry.sha256 !== delta.fullSha256 || full.entry.bytes !== delta.fullBytes) {
    return missing('is another one than the delta was made against');
  }
  const problem = await standsThere(copy, full);
  return problem === undefined ? { full, manifest: text.manifest } : missing(problem);
}

/**
 * What is wrong with a dump as far as the off-site can say without reading it; undefined when nothing is.
 *
 * @throws Failure when the off-site cannot be asked.
 */
export async function standsThere(copy: Offsite, { ref, entry }: DumpEntry): Promise<string | undefined> {
  const wanted = ref.files?.find((file) => file.entry === entry.path)?.bytes ?? entry.bytes;
  const bytes = await damageOf(() => copy.sizeOfEntry(ref, entry.path));
  if (typeof bytes === 'string') return `cannot be found (${bytes})`;
  if (bytes === null) return 'is not there';
  return bytes === wanted ? undefined : `has ${String(bytes)} bytes there instead of ${String(wanted)}`;
}

/** The full dump that a manifest names; undefined when its database is a delta, or not in the backup. */
function fullDumpOf(manifest: Manifest): DumpEntry | undefined {
  return entryOf(manifest, dumpEntry);
}

function entryOf(manifest: Manifest, path: string): DumpEntry | undefined {
  const part = manifest.parts.find(({ name }) => name === 'database');
  const entry = part?.entries.find((candidate) => candidate.path === path);
  return part === undefined || entry === undefined ? undefined : { ref: refOf(manifest.backup, part), entry };
}

/**
 * Reads the dump of a backup back, puts it together where it is a delta, and compares it with what was captured.
 *
 * @param request.keep the dump is wanted as a file, which can be read from anywhere; else only the proof.
 * @throws Failure when the off-site cannot be asked, `ToolMissing` without rdiff, `Refused` without room for it, each on
 *   the reader's host.
 */
export async function wholeDump(request: {
  copy: Offsite;
  reader: Reader;
  manifest: Manifest;
  keep?: boolean;
  report?: (bytes: number) => void;
}): Promise<WholeDump> {
  const { copy, manifest } = request;
  const delta = manifest.database?.delta;
  if (delta === undefined) {
    const full = fullDumpOf(manifest);
    return full === undefined ? nothing([]) : rebuildDump({ ...request, full });
  }
  const sent = entryOf(manifest, deltaEntry);
  if (sent === undefined) {
    return nothing([{ part: 'database', path: deltaEntry, problem: 'is not named in the manifest' }]);
  }
  const found = await findFull(copy, delta);
  if ('finding' in found) return nothing([found.finding]);
  return rebuildDump({ ...request, full: found.full, delta: { ...sent, ...delta } });
}

/** As `wholeDump`, for a full dump and a delta that the caller has found. */
export async function rebuildDump({
  copy,
  reader,
  full,
  delta,
  keep = false,
  report = () => undefined,
}: {
  copy: Offsite;
  reader: Reader;
  full: DumpEntry;
  /** With the SHA-256 and the size of the dump that it was made from. */
  delta?: DumpEntry & Pick<Delta, 'full' | 'dumpBytes' | 'dumpSha256'>;
  keep?: boolean;
  report?: (bytes: number) => void;
}): Promise<WholeDump> {
  const stored = full.ref.files?.find((file) => file.entry === full.entry.path);
  const own = delta === undefined;
  if (!keep && !copy.opens && stored?.path.endsWith('.age') === true) {
    // Without the key that opens it: what lies there is what was sent.
    const problem = await hashStored(copy, full.ref, stored, report);
    return problem === undefined ? whole([stored]) : nothing([ofFull(full.ref.backup, problem, own)]);
  }
  const { host } = reader;
  await sweepDumps(host, posix.dirname(reader.scratch));
  await requireRoom(reader, full.entry.bytes + (keep && !own ? delta.dumpBytes : 0));
  const folder = `${reader.scratch}-dump-${ownMark()}`;
  let kept = false;
  try {
    await host.run(['mkdir', '-p', '-m', '700', '--', folder]);
    const base = `${folder}/${dumpEntry}`;
    const fetched = await fetchEntry(copy, full, host, base, report);
    if (fetched !== undefined) return nothing([ofFull(full.ref.backup, fetched, own)]);
    if (delta === undefined) {
      kept = keep;
      return { ...whole([full.entry]), ...(keep ? { dump: { path: base, folder } } : {}) };
    }
    const path = keep ? `${folder}/whole.dump` : undefined;
    const finding = await patchDump(copy, delta, host, base, path, report);
    if (finding !== undefined) return { ...whole([full.entry]), findings: [finding] };
    kept = path !== undefined;
    return {
      ...whole([full.entry, delta.entry]),
      ...(path === undefined ? {} : { dump: { path, folder } }),
    };
  } finally {
    if (!kept) await host.run(['rm', '-rf', '--', folder], { timeoutMs: 600_000 });
  }
}

/**
 * Removes the dumps that killed processes have left on a host in the clear.
 *
 * @param scratch the folder on the host that the readers' scratch folders lie in.
 */
export async function sweepDumps(host: Host, scratch: string): Promise<void> {
  await sweepLeft(host, scratch, (name) => /-dump-(?:\d+\.[0-9a-f]{12}\.)?[0-9a-f]{12}$/.test(name));
}

async function requireRoom({ host, scratch }: Reader, needBytes: number): Promise<void> {
  const free = await freeBytes(host, scratch);
  if (free >= needBytes + spareBytes) return;
  throw new Failure(
    'Refused',
    `${host.name} has ${gigabytes(free)} free under ${scratch}, and reading the dump back takes ${gigabytes(needBytes + spareBytes)}`,
    { host: host.name, next: 'make room there, or put the state folder on another disk' },
  );
}

/** @param own the full dump is the backup's own, and not that of another one. */
function ofFull(backup: BackupId, problem: string, own = false): Finding {
  return own
    ? { part: 'database', path: dumpEntry, problem }
    : {
        part: 'database',
        path: dumpEntry,
        problem: `of ${backup}, the full dump that the delta needs, ${problem}`,
      };
}

function whole(entries: readonly { readonly bytes: number }[]): WholeDump {
  const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  return { findings: [], checked: { files: entries.length, bytes } };
}

function nothing(findings: readonly Finding[]): WholeDump {
  return { findings, checked: { files: 0, bytes: 0 } };
}
