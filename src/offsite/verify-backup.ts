import { tmpdir } from 'node:os';
import type { BackupId } from '../backups/id.js';
import type { Manifest, ManifestPart } from '../backups/manifest.js';
import type { VerifyDepth } from '../backups/verify-report.js';
import { pickForVerify, verifyFolder } from '../backups/verify-sample.js';
import { Failure } from '../errors.js';
import { present } from '../present.js';
import { damageOf } from './damage.js';
import { type JudgedManifest, readJudgedManifest } from './manifest-check.js';
import { lastWord } from './last-word.js';
import type { Offsite, StoredBackup } from './offsite.js';
import { withOwnScratch } from './own-scratch.js';
import { refOf } from './part-ref.js';
import { spoolIndex, type SpooledIndex } from './spooled-index.js';
import type { Tell } from './tally.js';
import type { TrustedKeys } from './trusted-keys.js';
import { type Checked, type ExpectedFile, type Finding, verifyCopy } from './verify.js';
import { findFull, type Reader, wholeDump } from './whole-dump.js';

export interface VerifiedBackup {
  readonly backup: BackupId;
  /** The off-site. */
  readonly from: string;
  readonly passed: boolean;
  /** What was read back. */
  readonly checked: Checked;
  readonly findings: readonly Finding[];
  readonly signature: JudgedManifest['signature'];
}

export interface BackupToVerify {
  readonly copy: Offsite;
  /** The off-site's host, and a private folder there for this call alone. */
  readonly reader: Reader;
  /** The instance. */
  readonly domain: string;
  readonly backup: BackupId;
  readonly depth: VerifyDepth;
  readonly trusted: TrustedKeys;
  /** Shares of the media to read back with `sample`, 0 to 1. */
  readonly share?: { readonly new: number; readonly old: number };
  /** Which share of the old media; the next one is another. Default: the day. */
  readonly turn?: number;
  /** A folder on this machine with room for the media's index. */
  readonly work?: string;
  readonly tell?: Tell;
}

/** Files written this much before the backup before this one began are taken for new as well: clocks differ. */
const slackMs = 3_600_000;

const dayMs = 86_400_000;

/**
 * Reads a sealed backup back from its off-site and compares it with its own manifest and index.
 *
 * @throws Failure `NotFound` when it is not sealed there, and what else keeps the off-site from being read.
 */
export async function verifyBackup(given: BackupToVerify): Promise<VerifiedBackup> {
  const { copy, backup, domain, trusted } = given;
  const { sealed } = await copy.list();
  const stored = sealed.find((one) => one.backup === backup);
  if (stored === undefined) {
    throw new Failure('NotFound', `there is no sealed backup ${backup} of ${domain} on ${copy.name}`, {
      next: `permafrost list ${domain} shows what is where`,
    });
  }
  const judged = await readJudgedManifest(copy, stored, { instance: domain, trusted });
  const findings: Finding[] = judged.problems.map((problem) => ({ part: 'manifest', problem }));
  const { manifest } = judged;
  if (manifest === undefined || manifest.backup !== backup) return result(given, judged, findings);
  const before = sealed.find((one) => one.backup < backup && one.parts.includes('media'));
  const { checked, findings: more } = await readBack(given, manifest, before);
  return result(given, judged, [...findings, ...more], checked);
}

function result(
  { backup, copy }: BackupToVerify,
  { signature }: JudgedManifest,
  findings: readonly Finding[],
  checked: Checked = { files: 0, bytes: 0 },
): VerifiedBackup {
  return { backup, from: copy.name, passed: findings.length === 0, checked, findings, signature };
}

async function readBack(
  given: BackupToVerify,
  manifest: Manifest,
  before: StoredBackup | undefined,
): Promise<{ checked: Checked; findings: readonly Finding[] }> {
  const { copy, reader, tell } = given;
  const small = manifest.parts.filter(({ name }) => name !== 'media');
  const entries = small.flatMap((part) =>
    part.entries.map((entry) => ({ ref: refOf(manifest.backup, part), entry })),
  );
  const media = manifest.parts.find(({ name }) => name === 'media');
  const index = media === undefined ? undefined : await openIndex(given, manifest.backup, media);
  try {
    const since = given.depth === 'all' || before === undefined ? undefined : await startOf(given, before);
    const files = index?.records === undefined ? undefined : picked(index.records, given, since);
    const expected = {
      entries,
      ...(files === undefined || media === undefined
        ? {}
        : {
            media: {
              ref: refOf(manifest.backup, media),
              files,
              excused: new Set(manifest.copy.changedMeanwhile),
            },
          }),
    };
    const { checked, findings } = await withOwnScratch(reader, (scratch) =>
      verifyCopy(copy, expected, present({ scratch, tell })),
    );
    const dump = await verifyDump(given, manifest, checked);
    return {
      checked: {
        files: checked.files + (index === undefined ? 0 : 1) + dump.checked.files,
        bytes: checked.bytes + (index?.bytes ?? 0) + dump.checked.bytes,
      },
      findings: [...findings, ...(index?.findings ?? []), ...dump.findings],
    };
  } finally {
    await index?.close();
  }
}

/** What a delta needs: that its full dump is there, or, with `all`, that both make the dump that was taken. */
async function verifyDump(
  { copy, reader, depth, tell }: BackupToVerify,
  manifest: Manifest,
  before: Checked,
): Promise<{ checked: Checked; findings: readonly Finding[] }> {
  const checked = { files: 0, bytes: 0 };
  const delta = manifest.database?.delta;
  if (delta === undefined) return { checked, findings: [] };
  let { bytes } = before;
  const report = (came: number) => {
    bytes += came;
    tell?.({ files: before.files, bytes });
  };
  if (depth === 'all') return wholeDump({ copy, reader, manifest, report });
  const found = await findFull(copy, delta);
  return { checked, findings: 'finding' in found ? [found.finding] : [] };
}

interface OpenedIndex {
  bytes: number;
  findings: Finding[];
  /** Undefined when it is not what the manifest says: it is no measure for the media then. */
  records?: SpooledIndex['records'];
  close(): Promise<void>;
}

/** Reads the index of the media, once; it is gone through several times. */
async function openIndex(
  { copy, work = tmpdir() }: BackupToVerify,
  backup: BackupId,
  part: ManifestPart,
): Promise<OpenedIndex> {
  const close = () => Promise.resolve();
  const [entry] = part.entries;
  if (entry === undefined)
    return { bytes: 0, findings: [{ part: 'media', problem: 'are without an index' }], close };
  const broken = (problem: string): Finding => ({ part: 'media', path: entry.path, problem });
  const read = await damageOf(async () =>
    spoolIndex(await copy.readEntry(refOf(backup, part), entry.path), work),
  );
  if (typeof read === 'string') return { bytes: 0, findings: [broken(`cannot be read (${read})`)], close };
  const { bytes, ended, sha256 } = read;
  if (ended.exitCode === 0 && sha256 === entry.sha256)
    return { bytes, findings: [], records: () => read.records(), close: () => read.close() };
  const problem = ended.exitCode === 0 ? 'came back changed' : `cannot be read (${lastWord(ended)})`;
  return { bytes, findings: [broken(`${problem}; the media were not compared`)], close: () => read.close() };
}

/** The files of an index, with those to be read picked out. */
function picked(
  records: SpooledIndex['records'],
  { depth, share = { new: 1, old: 0.05 }, turn = Math.floor(Date.now() / dayMs) }: BackupToVerify,
  since: Date | undefined,
): () => AsyncIterable<ExpectedFile> {
  const newFrom = (since?.getTime() ?? 0) - slackMs;
  const pickNew = pickForVerify(turn, depth === 'sample' ? share.new : 1);
  const pickOld = pickForVerify(turn, depth === 'sample' ? share.old : 0);
  return async function* () {
    for await (const record of records()) {
      const isNew = since === undefined || Number(record.mtime) * 1000 >= newFrom;
      const read = depth === 'all' || (isNew ? pickNew(record.path) : pickOld(verifyFolder(record.path)));
      yield { record, read };
    }
  };
}

/** When the backup before this one began; undefined when that cannot be told: then all media are new. */
async function startOf(
  { copy, domain, trusted }: BackupToVerify,
  before: StoredBackup,
): Promise<Date | undefined> {
  const { manifest } = await readJudgedManifest(copy, before, { instance: domain, trusted });
  return manifest === undefined ? undefined : new Date(manifest.startedAt);
}
