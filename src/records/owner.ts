import { chown, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** A private folder of the state folder (0700), made when it is not there, of whoever the state folder belongs to. */
export async function stateFolder(state: string, name: string): Promise<string> {
  const folder = join(state, name);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await giveToOwner(state, folder);
  return folder;
}

/** What root leaves there belongs to the user that the state folder belongs to: the worker's. */
export async function giveToOwner(state: string, path: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await stat(state);
  await chown(path, uid, gid);
}
