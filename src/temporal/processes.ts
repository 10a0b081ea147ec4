import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process, and no later one that got its number: the number with the moment it was started (proc(5)). */
export interface ProcessMark {
  readonly pid: number;
  /** Boot id and start time in clock ticks since that boot. */
  readonly started: string;
}

/** The mark of a process, or undefined when there is none of this number. A zombie counts as gone. */
export function markOf(pid: number): ProcessMark | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name, in brackets, may itself hold spaces and brackets: fields are counted after the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const state = fields[0];
    const startTicks = fields[19];
    if (state === undefined || startTicks === undefined || state === 'Z' || state === 'X') return undefined;
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return { pid, started: `${bootId}:${startTicks}` };
  } catch {
    return undefined;
  }
}

export function isAlive(mark: ProcessMark): boolean {
  return markOf(mark.pid)?.started === mark.started;
}

/** Our own user's Temporal servers that hold this database file, whoever started them. */
export function serversOf(database: string): ProcessMark[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && servesDatabase(pid, database))
    .flatMap((pid) => markOf(pid) ?? []);
}

function servesDatabase(pid: number, database: string): boolean {
  try {
    if (statSync(`/proc/${pid}`).uid !== process.getuid?.()) return false;
    const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    const at = argv.indexOf('--db-filename');
    return argv[1] === 'server' && argv[2] === 'start-dev' && at > 0 && argv[at + 1] === database;
  } catch {
    return false;
  }
}

/** Ends a process: SIGTERM, then SIGKILL when it is still there after `graceMs`. Returns when it is gone. */
export async function endProcess(mark: ProcessMark, graceMs: number): Promise<void> {
  signal(mark, 'SIGTERM');
  if (await goneWithin(mark, graceMs)) return;
  signal(mark, 'SIGKILL');
  if (!(await goneWithin(mark, graceMs))) throw new Error(`process ${mark.pid} does not end`);
}

function signal(mark: ProcessMark, name: NodeJS.Signals): void {
  if (!isAlive(mark)) return;
  try {
    process.kill(mark.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function goneWithin(mark: ProcessMark, ms: number): Promise<boolean> {
  for (const deadline = Date.now() + ms; Date.now() < deadline; await sleep(25)) {
    if (!isAlive(mark)) return true;
  }
  return !isAlive(mark);
}
