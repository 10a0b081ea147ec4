import { createReadStream } from 'node:fs';
import { appendFile, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest, ManifestPart } from '../backups/manifest.js';
import { emptyHeader, type MediaRecord, readMediaIndex } from '../backups/media-index.js';
import type { Finding } from '../backups/verify-report.js';
import { pickForVerify, verifyFolder } from '../backups/verify-sample.js';
import { Failure } from '../errors.js';
import { freeBytes } from '../hosts/space.js';
import type { CapturedPart, StoredPart, StoredPartRef } from '../offsite/offsite.js';
import { withOwnScratch } from '../offsite/own-scratch.js';
import { refOf } from '../offsite/part-ref.js';
import { SeenSet } from '../offsite/seen-set.js';
import { stageEntries, stageMedia } from '../offsite/stage.js';
import { type Checked, verifyCopy } from '../offsite/verify.js';
import { poolFolder, poolName } from '../offsite/tree-layout.js';
import { findFull } from '../offsite/whole-dump.js';
import { present } from '../present.js';
import { tell } from './activity.js';
import { type Copying, type Filling, needNote } from './copy-stage.js';
import { storedFacts } from './offsites.js';

/** Media come through this machine in batches: of as many files at most, and of this share of the room that is free. */
const batchFiles = 50_000;
const batchShare = 0.4;
/** With less room for a batch, copying would crawl. */
export const leastBatchBytes = 256 << 20;

const dayMs = 86_400_000;

/** A part whose files the manifest names. */
export async function copySmall(copy: Filling, part: ManifestPart): Promise<StoredPart> {
  const { manifest, target } = copy;
  await copy.forget();
  const folder = await emptied(copy, part.name);
  await stageEntries(stageOf(copy, part.bytes), refOf(manifest.backup, part), part.entries, folder);
  const full = part.name === 'database' ? manifest.database?.delta?.full : undefined;
  const stored = await target.put(
    {
      ...{ name: part.name, backup: manifest.backup, folder, exclude: [], bytes: part.bytes, again: true },
      ...present({ dependsOn: full }),
    },
    copy.follow(part.name),
  );
  await rm(folder, { recursive: true });
  return stored;
}

/**
 * The media: what the pool there lacks, by batches; all of it where a backup's media are one snapshot. The index comes
 * first, and stays for reading back.
 */
export async function copyMedia(copy: Filling, part: ManifestPart): Promise<StoredPart> {
  const { manifest, target, pooled } = copy;
  await copy.forget();
  const ref = refOf(manifest.backup, part);
  await stageEntries(stageOf(copy), ref, part.entries, await emptied(copy, 'index'));
  const stage = stageOf(copy, pooled ? undefined : part.bytes);
  const folder = await emptied(copy, 'media');
  const incoming = join(copy.folder, 'incoming');
  const captured: CapturedPart = {
    ...{ name: part.name, backup: manifest.backup, folder, exclude: [], again: true },
    indexFolder: join(copy.folder, 'index'),
  };
  const there = pooled ? await poolOf(copy, ref) : undefined;
  const excused = new Set(manifest.copy.changedMeanwhile);
  let stored: StoredPart | undefined;
  let bytesAdded = 0;
  let number = 0;
  const put = async () => {
    number += 1;
    stored = await target.put(captured, copy.follow(`media ${String(number)}`));
    bytesAdded += stored.bytesAdded;
  };

  for await (const batch of batches(
    copy,
    (record) => !excused.has(record.path) && there?.has(record.sha256, record.size) !== true,
  )) {
    await emptied(copy, 'incoming');
    await stageMedia(stage, ref, batch, incoming);
    await noteSent(copy, batch);
    await copy.host.run(['cp', '-al', '--', `${incoming}/.`, folder], { timeoutMs: 3_600_000 });
    await rm(incoming, { recursive: true });
    if (!pooled) continue;
    await put();
    await copy.forget();
    await emptied(copy, 'media');
  }
  if (stored === undefined) await put(); // the index at least
  await rm(folder, { recursive: true });
  if (stored === undefined) throw new Failure('Unexpected', 'no media were put');
  return { ref: stored.ref, bytesAdded };
}

/** Reads the copy back and compares it. @throws Failure `VerifyFailed` naming what is not what it should be. */
export async function readBack(copy: Copying, manifest: Manifest): Promise<Checked> {
  const { target, step, config, pooled } = copy;
  const refs = new Map<string, StoredPartRef>();
  for (const { name } of manifest.parts) {
    const { ref } = await needNote(copy, `stored-${name}`, storedFacts);
    refs.set(name, { backup: manifest.backup, name, ...present(ref) });
  }
  const entries = manifest.parts.flatMap(({ name, entries: all }) => {
    const ref = refs.get(name);
    return ref === undefined ? [] : all.map((entry) => ({ ref, entry }));
  });
  const media = refs.get('media');
  const sent = pooled ? await sentOf(copy) : undefined;
  const pickOld = pickForVerify(Math.floor(Date.now() / dayMs), config.verify.media.old);
  const files = async function* () {
    for await (const record of indexOf(copy, manifest)) {
      const read = sent === undefined || sent.has(record.sha256, '') || pickOld(verifyFolder(record.path));
      yield { record, read };
    }
  };
  const excused = new Set(manifest.copy.changedMeanwhile);
  const expected = { entries, ...(media === undefined ? {} : { media: { ref: media, files, excused } }) };
  const verified = await withOwnScratch(copy, (scratch) => verifyCopy(target, expected, { scratch, tell }));
  const delta = manifest.database?.delta;
  const full = delta === undefined ? undefined : await findFull(target, delta);
  const findings: Finding[] = [
    ...verified.findings,
    ...(full !== undefined && 'finding' in full ? [full.finding] : []),
  ];
  const [first] = findings;
  if (first === undefined) return verified.checked;
  // A copy removes nothing that other backups there may need.
  const [key] = pooled ? verified.damaged : [];
  const others = verified.damaged.length > 1 ? ' and the other damaged media' : '';
  const removing = key === undefined ? '' : `, remove ${poolFolder}/${poolName(key)}${others} there`;
  const more = findings.length > 1 ? ` (and ${String(findings.length - 1)} more)` : '';
  throw new Failure(
    'VerifyFailed',
    `${step.backup} did not come back from ${step.to} as it was sent: ${first.part}: ${first.path ?? ''} ${first.problem}${more}`,
    {
      next: `nothing was sealed on ${step.to}; look after it (a disk, a provider)${removing}, then copy again`,
    },
  );
}

function stageOf({ host, source }: Filling, totalBytes?: number) {
  let bytes = 0;
  return {
    ...{ host, source },
    report: (came: number) => {
      bytes += came;
      tell({ bytes, ...present({ totalBytes }) });
    },
  };
}

async function emptied({ folder }: Copying, name: string): Promise<string> {
  const path = join(folder, name);
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { recursive: true, mode: 0o700 });
  return path;
}

/** The contents that the pool there has already. */
async function poolOf({ target }: Copying, ref: StoredPartRef): Promise<SeenSet> {
  const there = new SeenSet();
  for await (const { key, size } of target.listMedia(ref)) there.add(key, size);
  return there;
}

/** The index as it was fetched and compared. */
function indexOf({ folder }: Copying, manifest: Manifest): AsyncIterable<MediaRecord> {
  const [entry] = manifest.parts.find(({ name }) => name === 'media')?.entries ?? [];
  const file = createReadStream(join(folder, 'index', entry?.path ?? ''));
  return readMediaIndex(file as AsyncIterable<Buffer>, emptyHeader());
}

/** The files of the index that are wanted, as many at a time as there is room for. */
async function* batches(
  copy: Filling,
  wanted: (record: MediaRecord) => boolean,
): AsyncIterable<MediaRecord[]> {
  const room = async () => Math.max(leastBatchBytes, (await freeBytes(copy.host, copy.folder)) * batchShare);
  let most = copy.pooled ? await room() : Infinity;
  let batch: MediaRecord[] = [];
  let bytes = 0;
  for await (const record of indexOf(copy, copy.manifest)) {
    if (!wanted(record)) continue;
    if (batch.length > 0 && (batch.length >= batchFiles || bytes + record.size > most)) {
      yield batch;
      [batch, bytes] = [[], 0];
      if (copy.pooled) most = await room();
    }
    batch.push(record);
    bytes += record.size;
  }
  if (batch.length > 0) yield batch;
}

/** Before they are sent: what an interrupted attempt may have sent is read back too. */
export async function noteSent(
  { folder }: Pick<Copying, 'folder'>,
  batch: readonly Pick<MediaRecord, 'sha256'>[],
): Promise<void> {
  // In a line of its own, whatever a killed attempt has left of its last one.
  await appendFile(join(folder, 'sent'), batch.map(({ sha256 }) => `\n${sha256}`).join(''));
}

export async function sentOf({ folder }: Pick<Copying, 'folder'>): Promise<SeenSet> {
  const sent = new SeenSet();
  const text = await readFile(join(folder, 'sent'), 'utf8').catch(() => '');
  for (const line of text.split('\n')) if (line.length === 64) sent.add(line, '');
  return sent;
}
