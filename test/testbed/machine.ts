import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { execa } from 'execa';
import { Failure } from '../../src/errors.js';

export interface MachineOptions {
  /** At most 12 characters: the network device outside is called after it. */
  readonly machine: string;
  readonly root: string;
  readonly bridge: string;
  /** Read-only, `outside:inside`. */
  readonly binds: readonly string[];
  readonly console: string;
}

/** One machine: systemd-nspawn with the whole root file system of a host. */
export class Machine {
  readonly #options: MachineOptions;
  #process: ChildProcess | undefined;

  constructor(options: MachineOptions) {
    this.#options = options;
  }

  /** Switches it on. Ends with this process, whatever ends this process. */
  switchOn(): void {
    const { machine, root, bridge, binds, console: log } = this.#options;
    const output = openSync(log, 'a');
    const nspawn = ['systemd-nspawn', '-q', '--register=no', '--keep-unit', '--boot'];
    const what = [`--directory=${root}`, `--machine=${machine}`, `--network-bridge=${bridge}`];
    // The machine's own init survives the death of systemd-nspawn alone; nothing survives that of its PID namespace.
    const namespace = ['unshare', '--mount', '--pid', '--mount-proc', '--fork', '--kill-child'];
    const child = spawn(
      'setpriv',
      [
        '--pdeathsig',
        'KILL',
        '--',
        ...namespace,
        ...nspawn,
        ...what,
        ...binds.map((bind) => `--bind-ro=${bind}`),
      ],
      {
        stdio: ['ignore', output, output],
        detached: true,
        // The tree of control groups that every current distribution has, also where the outside has the older one.
        env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' },
      },
    );
    closeSync(output);
    this.#process = child;
  }

  /** @throws Failure `CommandFailed`, with the end of its console, when it is not on. */
  requireOn(): void {
    const child = this.#process;
    if (child?.exitCode === null && child.signalCode === null) return;
    throw new Failure('CommandFailed', `${this.#options.machine} is off: ${this.consoleTail()}`);
  }

  consoleTail(): string {
    return existsSync(this.#options.console) ? readFileSync(this.#options.console, 'utf8').slice(-1500) : '';
  }

  /** Every process of it is killed at once; returns when nothing is left. */
  async cutPower(): Promise<void> {
    const pid = this.#process?.pid;
    this.#process = undefined;
    if (pid === undefined) return;
    await killMachine(pid);
    while (existsSync(`/sys/class/net/${this.#device}`))
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async setCable(plugged: boolean): Promise<void> {
    await execa('ip', ['link', 'set', this.#device, plugged ? 'up' : 'down']);
  }

  /** The outer end of its network cable (systemd-nspawn(1), `--network-bridge=`). */
  get #device(): string {
    return `vb-${this.#options.machine}`;
  }
}

/** Kills the process that a machine was started by, and with it, through the kernel, everything in the machine. */
export async function killMachine(pid: number): Promise<void> {
  const pids = withDescendants(pid);
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
  while (pids.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 20));
}

function withDescendants(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(withDescendants)];
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8');
    return text.trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${String(pid)}/status`, 'utf8'));
  } catch {
    return false;
  }
}
