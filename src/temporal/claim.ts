import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../errors.js';
import { type ProcessMark, isAlive, markOf } from './processes.js';

/** A folder that this process holds alone. */
export interface Claim {
  release(): void;
}

/**
 * Claims a folder for this process: a file in it names the process, and a process that is gone holds nothing.
 *
 * @throws Failure `Refused` when another process, still alive, holds the folder.
 */
export function claimFolder(folder: string): Claim {
  const path = join(folder, 'up.json');
  const mine = join(folder, `up.json.${process.pid}`);
  const mark = markOf(process.pid);
  if (mark === undefined) throw new Error('this process is not listed in /proc');
  writeFileSync(mine, JSON.stringify(mark), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 10; attempt += 1) {
      if (linked(mine, path)) return { release: () => release(path, mark) };
      const holder = readMark(path);
      if (holder !== undefined && isAlive(holder)) throw alreadyHeld(folder, holder);
      removeStale(path, holder);
    }
  } finally {
    rmSync(mine, { force: true });
  }
  throw new Failure('Refused', `${folder} is being claimed by several processes at once`, {
    next: 'Try again.',
  });
}

/** link(2) makes the file whole or not at all, and never over another one. */
function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function removeStale(path: string, seen: ProcessMark | undefined): void {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  // Somebody else may have claimed it since we looked: then this is theirs, and goes back.
  const taken = readMark(aside);
  if (taken !== undefined && !same(taken, seen) && isAlive(taken)) linked(aside, path);
  rmSync(aside, { force: true });
}

function release(path: string, mark: ProcessMark): void {
  if (same(readMark(path), mark)) rmSync(path, { force: true });
}

function readMark(path: string): ProcessMark | undefined {
  try {
    const { pid, started } = JSON.parse(readFileSync(path, 'utf8')) as Partial<ProcessMark>;
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : undefined;
  } catch {
    return undefined;
  }
}

function same(one: ProcessMark | undefined, other: ProcessMark | undefined): boolean {
  return one?.pid === other?.pid && one?.started === other?.started;
}

function alreadyHeld(folder: string, holder: ProcessMark): Failure {
  return new Failure(
    'Refused',
    `Process ${holder.pid} already runs Permafrost's Temporal server in ${folder}`,
    {
      next: `Use that one; or end it (kill ${holder.pid}); or give this one a state folder of its own.`,
    },
  );
}
