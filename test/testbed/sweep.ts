import { readdirSync, readFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from './baseSystem.js';
import { killMachine } from './machine.js';
import { removeBridge } from './network.js';

export const runFolder = join(cacheFolder, 'run');

/** The name of a testbed's bridge; its process can be told from it. */
export function bridgeName(pid: number, index: number): string {
  return `pfb${String(pid)}-${String(index)}`;
}

/** Removes what testbeds of processes that are gone have left behind: machines, bridges and folders. */
export async function sweepDeadTestbeds(): Promise<void> {
  for (const bridge of readdirSync('/sys/class/net')) {
    const pid = /^pfb(\d+)-\d+$/.exec(bridge)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) await removeBridge(bridge);
  }
  for (const name of await readdir(runFolder).catch(() => [])) {
    if (isAlive(Number(name))) continue;
    const folder = join(runFolder, name);
    for (const nspawn of machinesBelow(folder)) await killMachine(nspawn);
    await rm(folder, { recursive: true, force: true });
  }
}

function machinesBelow(folder: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => {
      const words = commandOf(entry);
      return (
        words.includes('systemd-nspawn') && words.some((word) => word.startsWith(`--directory=${folder}/`))
      );
    })
    .map(Number);
}

function commandOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
