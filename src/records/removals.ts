import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BackupId, backupIdPattern } from '../backups/id.js';
import { giveToOwner, stateFolder } from './owner.js';

/**
 * What our own prunes have removed, by instance and off-site: a backup that is gone and is not here was removed by
 * somebody else. `<state>/removed/<instance>_<offsite>`, a line `<backup> <time>` for each.
 */

/** Noted before the removal: one that was interrupted must not look like somebody else's. */
export async function noteRemovals(
  state: string,
  place: { instance: string; offsite: string },
  backups: readonly BackupId[],
  now = new Date(),
): Promise<void> {
  if (backups.length === 0) return;
  await rewrite(state, place, (lines) => [
    ...lines,
    ...backups.map((backup) => `${backup} ${now.toISOString()}`),
  ]);
}

/** The off-site let nothing be removed. */
export async function takeRemovalsBack(
  state: string,
  place: { instance: string; offsite: string },
  backups: readonly BackupId[],
): Promise<void> {
  await rewrite(state, place, (lines) => lines.filter((line) => !backups.includes(backupIn(line))));
}

export async function removedFrom(
  state: string,
  place: { instance: string; offsite: string },
): Promise<Set<BackupId>> {
  return new Set(
    (await linesOf(fileOf(state, place))).map(backupIn).filter((id) => backupIdPattern.test(id)),
  );
}

/** Only the run that holds the instance writes: there are no two at once. */
async function rewrite(
  state: string,
  place: { instance: string; offsite: string },
  change: (lines: string[]) => string[],
): Promise<void> {
  await stateFolder(state, 'removed');
  const path = fileOf(state, place);
  const text = change(await linesOf(path)).map((line) => `${line}\n`);
  await writeFile(`${path}.new`, text.join(''), { mode: 0o600 });
  await giveToOwner(state, `${path}.new`);
  await rename(`${path}.new`, path);
}

async function linesOf(path: string): Promise<string[]> {
  try {
    return (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** No domain and no off-site has an underscore. */
function fileOf(state: string, { instance, offsite }: { instance: string; offsite: string }): string {
  return join(state, 'removed', `${instance}_${offsite}`);
}

function backupIn(line: string): BackupId {
  return line.split(' ')[0] ?? '';
}
