import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { partNames } from '../../src/backups/parts.js';
import { Failure } from '../../src/errors.js';

/**
 * The folder that a backup is laid out in. While that is under way a note in it says of which backup, so that the same
 * command goes on where it was cut off; what came so far waits in a private folder beside the note.
 */

const noteFile = '.permafrost-restore.json';
const waiting = '.permafrost-restore';

const noteSchema = z.object({
  instance: z.string(),
  backup: z.string(),
  parts: z.array(z.enum(partNames)),
  format: z.enum(['custom', 'plain']),
});
export type Note = z.infer<typeof noteSchema>;

/** The backup that a folder holds in part; undefined for an empty one, or none. @throws Failure `Refused` */
export async function begunIn(folder: string): Promise<Note | undefined> {
  const names: string[] = await readdir(folder).catch((error: unknown): string[] => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ENOENT') return [];
    throw new Failure(
      'Refused',
      `${folder} cannot be used (${code === 'ENOTDIR' ? 'it is no folder' : code})`,
      {
        next: 'name a folder that is empty, or that is not there yet',
      },
    );
  });
  if (names.length === 0) return undefined;
  if (names.includes(noteFile)) {
    const text = await readFile(join(folder, noteFile), 'utf8');
    try {
      return noteSchema.parse(JSON.parse(text));
    } catch {
      // of another version, or cut
    }
  }
  throw new Failure('Refused', `${folder} is not empty: nothing was touched`, {
    next: 'name a folder that is empty, or that is not there yet',
  });
}

export class RestoreFolder {
  /** Where what came waits until all of it is there. */
  readonly waiting: string;

  private constructor(readonly path: string) {
    this.waiting = join(path, waiting);
  }

  /** Begins, or goes on. @param before what `begunIn` has found. @throws Failure `Refused` when that is something else. */
  static async open(path: string, note: Note, before: Note | undefined): Promise<RestoreFolder> {
    const folder = new RestoreFolder(path);
    if (before !== undefined) requireSame(path, note, before);
    await mkdir(path, { recursive: true, mode: 0o700 });
    const file = join(path, noteFile);
    await writeFile(`${file}.new`, `${JSON.stringify(note)}\n`, { mode: 0o600 });
    await rename(`${file}.new`, file);
    await mkdir(folder.waiting, { recursive: true, mode: 0o700 });
    return folder;
  }

  /** Gives a file that has come its place. */
  async lay(file: string, as: string): Promise<void> {
    await rename(file, join(this.path, as));
  }

  /** The same for a folder, of which an earlier attempt may have laid out another. */
  async replace(folder: string, as: string): Promise<void> {
    await rm(join(this.path, as), { recursive: true, force: true });
    await this.lay(folder, as);
  }

  /** Takes a file that an earlier attempt has laid out already back to where it is looked for. */
  async takeBack(as: string, file: string): Promise<void> {
    const from = join(this.path, as);
    const to = join(this.waiting, file);
    if ((await isThere(to)) || !(await isThere(from))) return;
    await mkdir(join(to, '..'), { recursive: true, mode: 0o700 });
    await rename(from, to);
  }

  /** All is in its place. */
  async close(): Promise<void> {
    await rm(this.waiting, { recursive: true, force: true });
    await rm(join(this.path, noteFile), { force: true });
  }
}

function requireSame(path: string, wanted: Note, before: Note): void {
  const differs = (['instance', 'backup', 'format'] as const).find((key) => wanted[key] !== before[key]);
  if (differs === undefined && wanted.parts.join() === before.parts.join()) return;
  const begun = `${before.parts.join(', ')} of ${before.backup} of ${before.instance}, ${before.format} format`;
  throw new Failure('Refused', `${path} holds a part of another restore: ${begun}`, {
    next: `go on with that one, or name another folder than ${basename(path)}`,
  });
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
