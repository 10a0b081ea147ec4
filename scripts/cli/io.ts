import type { Readable, Writable } from 'node:stream';

/** Everything a command reads and writes: the process's own in earnest, a test's in a test. */
export interface Io {
  readonly stdin: Readable & { isTTY?: boolean };
  readonly stdout: Writable & { isTTY?: boolean; columns?: number; rows?: number };
  readonly stderr: Writable & { isTTY?: boolean; columns?: number; rows?: number };
  readonly env: NodeJS.ProcessEnv;
  /** Calls `listener` at every such signal, instead of ending the process, until the returned function is called. */
  onSignal(signal: 'SIGINT' | 'SIGTERM', listener: () => void): () => void;
}

export const processIo: Io = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  onSignal(signal, listener) {
    process.on(signal, listener);
    return () => process.off(signal, listener);
  },
};
