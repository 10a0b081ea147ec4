import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Failure } from '../../src/errors.js';
import { formatBytes } from '../../src/terminal/format.js';
import type { Output } from './output.js';

/** A night adds a few megabytes to Temporal's database; below the first nothing can be counted on. Bytes. */
const ROOM = { least: 16_000_000, little: 256_000_000 } as const;

const LOOK_AGAIN_MS = 15_000;

type Level = 'enough' | 'little' | 'none';

/** What is left on the disk of a folder, or of the nearest one above it that is there: bytes that we may use. */
async function bytesLeft(folder: string): Promise<number> {
  try {
    const { bavail, bfree, bsize } = await statfs(folder);
    return (process.getuid?.() === 0 ? bfree : bavail) * bsize;
  } catch (error) {
    const above = dirname(folder);
    if (above === folder || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return bytesLeft(above);
  }
}

/** @throws Failure `Refused` when Temporal's server would have nowhere to write. */
export async function requireRoom(state: string): Promise<void> {
  const left = await bytesLeft(state);
  if (left >= ROOM.least) return;
  throw new Failure(
    'Refused',
    `The disk of the state folder is full: ${formatBytes(left)} left for ${state}`,
    {
      next: `Make room there (df -h ${state}; du -xh ${state} | sort -h | tail), or name another folder as "state".`,
    },
  );
}

/** Says so, once for each change, when the disk of the embedded server's database fills up and when it has room again. */
export function watchRoom(state: string, out: Output): { close(): void } {
  let before: Level = 'enough';
  const look = async (): Promise<void> => {
    const left = await bytesLeft(state);
    const now: Level = left < ROOM.least ? 'none' : left < ROOM.little ? 'little' : 'enough';
    if (now === before) return;
    before = now;
    const words = `${formatBytes(left)} left for ${state}`;
    if (now === 'enough') out.say(`The state disk has room again: ${words}. Open runs go on.`);
    else if (now === 'little') out.complain(`THE STATE DISK IS NEARLY FULL: ${words}.`);
    else {
      out.complain(
        `THE STATE DISK IS FULL: ${words}. Runs stand still until there is room again;`,
        'services that one of them has stopped are started by the lease on their host.',
      );
    }
  };
  const lookAndIgnore = (): void => void look().catch(() => undefined);
  lookAndIgnore();
  const timer = setInterval(lookAndIgnore, LOOK_AGAIN_MS);
  return { close: () => clearInterval(timer) };
}
