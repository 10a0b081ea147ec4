import { createReadStream } from 'node:fs';
import { chmod, mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';

/**
 * Unpacks the archive of secrets below a folder, absolute names as relative ones, with their modes. Whatever the archive
 * holds, nothing is written elsewhere: of what is neither a file nor a folder, or leads out, nothing is made.
 *
 * @param into a folder that is not there yet.
 * @returns names that were left out.
 */
export async function unpackSecrets(archive: string, into: string): Promise<string[]> {
  const leftOut: string[] = [];
  await mkdir(into, { mode: 0o700 });
  const entries = extract();
  const read = pipeline(createReadStream(archive), entries);
  read.catch(() => undefined); // heard below
  for await (const entry of entries) {
    const { name, type, mode = 0o600 } = entry.header;
    const path = below(name);
    const isFile = type === 'file' || type === 'contiguous-file';
    if (path === undefined || !(isFile || type === 'directory')) leftOut.push(name);
    else if (type === 'directory') await make(join(into, path));
    else {
      const file = join(into, path);
      await make(dirname(file));
      // No link is ever made here, so no name leads anywhere else; and none is written twice.
      const out = await open(file, 'wx', 0o600).catch(() => undefined);
      if (out === undefined) leftOut.push(name);
      else {
        await writeFile(out, entry as AsyncIterable<Buffer>).finally(() => out.close());
        await chmod(file, mode & 0o777);
      }
    }
    entry.resume();
  }
  await read;
  return leftOut;
}

/** What stands in the way of a name shows when its file is made. */
async function make(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch(() => undefined);
}

/** Undefined for a name that leads out of the folder, or to the folder itself. */
function below(name: string): string | undefined {
  const words = name.split('/').filter((word) => word !== '' && word !== '.');
  return words.length === 0 || words.includes('..') || name.includes('\0') ? undefined : words.join('/');
}
