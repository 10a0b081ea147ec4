import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

/** The real command, beside this folder. */
const script = fileURLToPath(new URL('../permafrost.js', import.meta.url));

/** As in the script's first line: a worker that hands bytes through keeps little, so its memory is swept often. */
const flags = ['--optimize-for-size', '--max-semi-space-size=2'];

/** A running `permafrost …`. */
export interface RunningCommand {
  readonly pid: number | undefined;
  /** What it writes to stdout, and to stderr, as far as that is not shown as it is. */
  onOutput(from: 'stdout' | 'stderr', listener: (text: string) => void): void;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<{ exitCode: number; stdout: string; stderr: string }>;
}

/** The `permafrost` command with the demo's configuration, as an operator runs it: every verb is a process of its own. */
export class Permafrost {
  readonly #running = new Set<RunningCommand>();

  constructor(readonly configFile: string) {}

  /**
   * Starts a verb. It is in a session of its own, so that Ctrl-C is the demo's alone, and is asked to end when the demo
   * dies (prctl(2), PR_SET_PDEATHSIG).
   *
   * @param shown its output goes straight to the terminal.
   */
  start(words: readonly string[], { shown = false } = {}): RunningCommand {
    const argv = [process.execPath, ...flags, script, ...words, '--config', this.configFile];
    const child = execa('setpriv', ['--pdeathsig', 'TERM', '--', ...argv], {
      stdin: 'ignore',
      stdout: shown ? 'inherit' : 'pipe',
      stderr: shown ? 'inherit' : 'pipe',
      detached: true,
      reject: false,
      maxBuffer: 64 << 20,
    });
    const running: RunningCommand = {
      pid: child.pid,
      onOutput: (from, listener) => {
        child[from]?.on('data', (chunk: Buffer) => listener(chunk.toString('utf8')));
      },
      kill: (signal) => void child.kill(signal),
      ended: child.then(({ exitCode, stdout, stderr }) => ({
        exitCode: exitCode ?? 1,
        stdout: stdout ?? '',
        stderr: stderr ?? '',
      })),
    };
    this.#running.add(running);
    void running.ended.then(() => this.#running.delete(running));
    return running;
  }

  /** Runs a verb to its end. */
  run(words: readonly string[], options: { shown?: boolean } = {}) {
    return this.start(words, options).ended;
  }

  /** Runs a verb with `--json`. @returns what it printed, parsed; an empty object when that was no JSON. */
  async ask(...words: readonly string[]): Promise<unknown> {
    const { stdout } = await this.run([...words, '--json']);
    try {
      return JSON.parse(stdout);
    } catch {
      return {};
    }
  }

  /** Waits for what still runs: those verbs end by themselves within seconds; `patienceMs` later they are killed. */
  async finish(patienceMs: number): Promise<void> {
    await Promise.all(
      [...this.#running].map(async (running) => {
        const timer = setTimeout(() => running.kill('SIGKILL'), patienceMs);
        await running.ended;
        clearTimeout(timer);
      }),
    );
  }
}
