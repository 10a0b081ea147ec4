import { execa } from 'execa';
import { shellLine } from '../../src/hosts/quote.js';

/** What a program wrote to its terminal, and when. */
export interface Recording {
  /** In the order in which it came; milliseconds since the start. */
  readonly chunks: readonly { readonly atMs: number; readonly bytes: Buffer }[];
  readonly exitCode: number;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface RunningTerminal {
  /** What came so far. */
  bytes(): Buffer;
  /** Types into the terminal: `\u0003` is Ctrl-C. */
  type(keys: string): void;
  /** Ends the program, as closing the terminal's window does. */
  close(): void;
  readonly ended: Promise<Recording>;
}

/**
 * Runs a program in a real terminal of a given size, with colour, by util-linux's script(1): it opens the pty, and what
 * it writes to stdout is byte for byte what a terminal would have shown.
 */
export function startInTerminal(
  argv: readonly string[],
  size: TerminalSize = { columns: 80, rows: 50 },
  env: NodeJS.ProcessEnv = {},
): RunningTerminal {
  const command = shellLine(argv);
  const inside = `stty cols ${String(size.columns)} rows ${String(size.rows)}; exec ${command}`;
  const inherited = { ...process.env };
  delete inherited['NO_COLOR'];
  const child = execa('script', ['-qefc', inside, '/dev/null'], {
    stdin: 'pipe',
    buffer: false,
    reject: false,
    extendEnv: false,
    env: { ...inherited, TERM: 'xterm-256color', LANG: 'C.UTF-8', SHELL: '/bin/sh', ...env },
  });
  const started = Date.now();
  const chunks: { atMs: number; bytes: Buffer }[] = [];
  child.stdout.on('data', (bytes: Buffer) => void chunks.push({ atMs: Date.now() - started, bytes }));
  child.stderr.resume();
  return {
    bytes: () => Buffer.concat(chunks.map(({ bytes }) => bytes)),
    type: (keys) => void child.stdin.write(keys),
    close: () => void child.kill('SIGTERM'),
    ended: child.then(({ exitCode }) => ({ chunks, exitCode: exitCode ?? 1 })),
  };
}

/** Runs a program in a terminal to its end. */
export function runInTerminal(
  argv: readonly string[],
  size?: TerminalSize,
  env?: NodeJS.ProcessEnv,
): Promise<Recording> {
  return startInTerminal(argv, size, env).ended;
}

export function bytesOf(recording: Recording): Buffer {
  return Buffer.concat(recording.chunks.map(({ bytes }) => bytes));
}
