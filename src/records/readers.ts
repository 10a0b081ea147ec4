import { randomBytes } from 'node:crypto';
import { readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BackupId, backupIdPattern } from '../backups/id.js';
import { giveToOwner, stateFolder } from './owner.js';

/**
 * Who reads (or fills) which backup at this moment, so that no prune removes it meanwhile: an empty file for each in
 * `<state>/reading`, whose name says what, `<offsite>_<backup>_<reader>`, touched while it lasts.
 */

const touchEveryMs = 60_000;

/** A process that is alive has touched its file ten times in this. */
const deadAfterMs = 10 * 60_000;

/** Marks a backup as being read on an off-site for as long as `use` takes. */
export async function withReading<T>(
  state: string,
  offsite: string,
  backup: BackupId,
  use: () => Promise<T>,
): Promise<T> {
  const own = `${String(process.pid)}_${randomBytes(6).toString('hex')}`;
  try {
    return await readingOn(state, { offsite, backup, reader: own }, use);
  } finally {
    await endReading(state, own);
  }
}

/**
 * The same for one who reads in several steps, also by several processes: between them, and for ten minutes after the last,
 * the backup stays marked until `endReading`.
 *
 * @param reader names him; the next step of the same one takes the mark over.
 */
export async function readingOn<T>(
  state: string,
  { offsite, backup, reader }: { offsite: string; backup: BackupId; reader: string },
  use: () => Promise<T>,
): Promise<T> {
  const folder = await stateFolder(state, 'reading');
  const file = join(folder, [offsite, backup, reader].join('_'));
  await writeFile(file, '', { mode: 0o600 }); // touches one that an earlier step has left
  await giveToOwner(state, file);
  const timer = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined); // somebody emptied the folder: nothing that a reader could mend
  }, touchEveryMs);
  timer.unref();
  try {
    return await use();
  } finally {
    clearInterval(timer);
  }
}

/** Takes off what `readingOn` has marked. */
export async function endReading(state: string, reader: string): Promise<void> {
  const folder = join(state, 'reading');
  for (const name of await readdir(folder).catch(nothingThere))
    if (name.endsWith(`_${reader}`)) await rm(join(folder, name), { force: true });
}

/** The backups of an off-site that are being read. Marks of readers that are gone are removed. */
export async function beingRead(state: string, offsite: string, now = new Date()): Promise<Set<BackupId>> {
  const folder = join(state, 'reading');
  const found = new Set<BackupId>();
  for (const name of await readdir(folder).catch(nothingThere)) {
    const [where, backup = ''] = name.split('_');
    if (where !== offsite || !backupIdPattern.test(backup)) continue;
    const file = join(folder, name);
    const touched = await stat(file).catch(nothingThere);
    if (Array.isArray(touched)) continue; // it has ended just now
    // By age alone: its process may be one of a container, where the worker looks at others.
    if (now.getTime() - touched.mtimeMs < deadAfterMs) found.add(backup);
    else await rm(file, { force: true });
  }
  return found;
}

/** @throws the error itself when it is another one: a prune that cannot look removes nothing. */
function nothingThere(error: unknown): [] {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
  throw error;
}
