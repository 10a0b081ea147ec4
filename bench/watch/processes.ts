import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as jobScripts from '../../src/hosts/job-scripts.js';
import { leaseScript } from '../../src/hosts/lease-script.js';
import type { Stretch } from '../stretches.js';

const lookEveryMs = 15;

/** What a process holds in memory now, and the most that it has ever held (proc_pid_status(5)), in bytes. */
export function memoryOf(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${String(pid)}/status`, 'utf8');
  const bytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return { now: bytes('VmRSS'), peak: bytes('VmHWM') };
}

/** Something that ran on the host for a run. */
export interface Ran extends Stretch {
  readonly name: string;
}

/** What ran on the host for a run. */
export interface Work {
  readonly jobs: readonly Ran[];
  /** What the worker waits for itself: looks at the instance, stops and starts of services, what restic reads back. */
  readonly commands: readonly Ran[];
  /** Permafrost's own scripts, which start, watch and remove jobs. */
  readonly handling: readonly Ran[];
}

/** The texts by which Permafrost's own scripts are known among the commands. */
const ownScripts: ReadonlySet<string> = new Set([...Object.values(jobScripts), leaseScript]);

/**
 * Watches what a worker has running: its jobs, by their folders, and the commands that it waits for, by its child
 * processes. A command that is over within 15 ms may go unseen: then its time counts as the worker's own.
 */
export class WorkWatch {
  readonly #jobs = new Map<string, { name: string; from: number; to: number | undefined }>();
  readonly #commands = new Map<string, { words: string[]; from: number; to: number }>();
  readonly #ignored: ReadonlySet<string>;
  readonly #place: { worker: number; jobsFolder: string };
  readonly #watching: Promise<void>;
  #ending = false;

  /** @param place.worker its process; what it has running now (a Temporal server) is none of its commands. */
  constructor(place: { worker: number; jobsFolder: string }) {
    this.#place = place;
    this.#ignored = new Set(childrenOf(place.worker));
    this.#watching = this.#watch();
  }

  async end(): Promise<Work> {
    this.#ending = true;
    await this.#watching;
    const jobs = [...this.#jobs.values()].map(({ name, from, to = Date.now() }) => ({ name, from, to }));
    const all = [...this.#commands.values()];
    const named = ({ words, from, to }: (typeof all)[number]): Ran => ({ name: shortly(words), from, to });
    const isOwn = ({ words }: (typeof all)[number]) => words.some((word) => ownScripts.has(word));
    return {
      jobs,
      commands: all.filter((command) => !isOwn(command)).map(named),
      handling: all.filter(isOwn).map(named),
    };
  }

  async #watch(): Promise<void> {
    while (!this.#ending) {
      this.#lookAtCommands();
      this.#lookAtJobs();
      await sleep(lookEveryMs);
    }
  }

  #lookAtCommands(): void {
    const now = Date.now();
    for (const pid of childrenOf(this.#place.worker)) {
      if (this.#ignored.has(pid)) continue;
      const known = this.#commands.get(pid);
      // Seen for the first time, it may not yet be what it is going to be.
      const words = wordsOf(pid);
      if (known === undefined) this.#commands.set(pid, { words, from: now, to: now + lookEveryMs / 2 });
      else Object.assign(known, { to: now, ...(words.length === 0 ? {} : { words }) });
    }
  }

  #lookAtJobs(): void {
    const now = Date.now();
    const there = new Set(foldersIn(this.#place.jobsFolder));
    for (const id of there) {
      const known = this.#jobs.get(id);
      if (known?.to !== undefined) continue;
      const folder = join(this.#place.jobsFolder, id);
      const from = known?.from ?? launchedAt(folder);
      if (from === undefined) continue;
      const to = changedAt(join(folder, 'exit'));
      this.#jobs.set(id, { name: id.slice(id.lastIndexOf('_') + 1), from, to });
    }
    for (const [id, job] of this.#jobs) if (!there.has(id)) job.to ??= now;
  }
}

function childrenOf(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8').trim();
    return text === '' ? [] : text.split(' ');
  } catch {
    return [];
  }
}

function wordsOf(pid: string): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return text === '' ? [] : text.split('\0');
  } catch {
    return [];
  }
}

/** A command as somebody would name it: without `timeout … env -C …` before it, its options, and where its files are. */
export function shortly(words: readonly string[]): string {
  const isWrapper = (word: string) => /^(-C|\/|env|--|\w+=.*)$/s.test(word);
  let from = words[0] === 'timeout' ? 4 : 0;
  while (isWrapper(words[from] ?? '')) from++;
  const [program = '', ...rest] = words.slice(from);
  const name = program.slice(program.lastIndexOf('/') + 1);
  const told = rest.filter((word) => word !== '' && !/^-|^\//.test(word));
  const lines = told.map((word) => word.trim().replace(/\s+/g, ' '));
  return [name, ...lines.slice(0, 2)].join(' ').slice(0, 60);
}

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => !name.startsWith('.'));
  } catch {
    return [];
  }
}

/** `launched` holds "pid start-time boot-id started-at" (src/hosts/job-scripts.ts). */
function launchedAt(folder: string): number | undefined {
  try {
    const at = Number(readFileSync(join(folder, 'launched'), 'utf8').trim().split(' ')[3]);
    return Number.isFinite(at) ? at : undefined;
  } catch {
    return undefined;
  }
}

function changedAt(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs;
}
