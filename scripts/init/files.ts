import { appendFile, chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Failure } from '../../src/errors.js';

/** What `init` writes, all of it at the very end: a run that was stopped before has written nothing. */

export interface NewFile {
  readonly path: string;
  readonly content: string;
  /** `add`: its lines are appended where the file is there already. Nothing that is there is ever replaced. */
  readonly when: 'absent' | 'add';
}

/** The text of a file; null when it is not there. @throws Failure `ConfigInvalid` when it cannot be read. */
export async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new Failure('ConfigInvalid', `${path} cannot be read (${code}).`, { cause: error });
  }
}

/**
 * Writes private files (0600), in private folders where they are new.
 *
 * @throws Failure `ConfigInvalid` for the first one that cannot be written, or is there by now.
 */
export async function writeFiles(files: readonly NewFile[]): Promise<void> {
  for (const { path, content, when } of files) {
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      if (when === 'add') await appendFile(path, content, { mode: 0o600 });
      else await writeFile(path, content, { flag: 'wx', mode: 0o600 });
    } catch (error) {
      throw new Failure('ConfigInvalid', `${path} cannot be written (${codeOf(error)}).`, {
        next: 'Choose another place with --output FILE, or run this as a user who may write there.',
        cause: error,
      });
    }
  }
}

/** A folder of our own, closed to others; one that is there stays as it is. */
export async function makePrivateFolder(path: string): Promise<void> {
  try {
    const made = await mkdir(path, { recursive: true, mode: 0o700 });
    if (made !== undefined) await chmod(path, 0o700);
  } catch (error) {
    throw new Failure('ConfigInvalid', `The folder ${path} cannot be made (${codeOf(error)}).`, {
      next: 'Name another one with --state FOLDER.',
      cause: error,
    });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason';
}
