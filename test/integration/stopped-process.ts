import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Processes of this machine whose command line holds all these words. */
export function processes(...words: string[]): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .map(Number)
    .filter((pid) => {
      const line = lineOf(pid);
      return words.every((word) => line.includes(word));
    });
}

/** Its command line; empty when it has ended. */
export function lineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/**
 * Stops a program as soon as it is there, as one that has much to do would still be at work.
 *
 * @returns lets it go on.
 * @throws when it does not come within two minutes.
 */
export async function stopAsSoonAsThere(what: string, find: () => number[]): Promise<() => void> {
  const end = Date.now() + 120_000;
  for (;;) {
    const found = find().filter((pid) => signal(pid, 'SIGSTOP'));
    if (found.length > 0) {
      // Also one that has become another program since it was found: a shell's child has the shell's words at first.
      return () => {
        for (const pid of found) signal(pid, 'SIGCONT');
      };
    }
    if (Date.now() > end) throw new Error(`not within two minutes: ${what}`);
    await sleep(2);
  }
}

/** False when it has ended meanwhile. */
function signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
