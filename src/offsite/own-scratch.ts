import { randomBytes } from 'node:crypto';
import type { Reader } from './whole-dump.js';

/**
 * Gives one call a folder of its own beside the reader's scratch, which nobody has made yet: of two attempts at one step,
 * neither removes what the other reads. What a killed one has left days ago is swept.
 */
export async function withOwnScratch<T>(
  { host, scratch }: Reader,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const base = `${scratch}-media-`;
  const folder = `${base}${randomBytes(6).toString('hex')}`;
  await host.run(['sh', '-c', sweepScript, 'sh', base], { timeoutMs: 600_000 });
  try {
    return await use(folder);
  } finally {
    await host.run(['rm', '-rf', '--', folder], { timeoutMs: 600_000 });
  }
}

const sweepScript = `find "$(dirname -- "$1")" -maxdepth 1 -type d -name "$(basename -- "$1")*" -mmin +2880 \\
-exec rm -rf -- {} + 2> /dev/null; :`;
