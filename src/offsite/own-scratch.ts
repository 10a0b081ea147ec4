import { posix } from 'node:path';
import { ownMark, sweepLeft } from '../hosts/leftovers.js';
import type { Reader } from './whole-dump.js';

/**
 * Gives one call a folder of its own beside the reader's scratch, which nobody has made yet: of two attempts at one step,
 * neither removes what the other reads. What a killed one has left is swept.
 */
export async function withOwnScratch<T>(
  { host, scratch }: Reader,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const base = `${scratch}-media-`;
  const folder = `${base}${ownMark()}`;
  await sweepLeft(host, posix.dirname(base), (name) => name.startsWith(posix.basename(base)));
  try {
    return await use(folder);
  } finally {
    await host.run(['rm', '-rf', '--', folder], { timeoutMs: 600_000 });
  }
}
