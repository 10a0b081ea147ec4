import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../errors.js';
import type { Running } from './transport.js';

export interface Limits {
  /** Milliseconds. */
  readonly timeoutMs: number;
  /** Bytes of stdout. */
  readonly maxOutputBytes: number;
  readonly signal: AbortSignal | undefined;
  /** How messages call the command. */
  readonly command: string;
  readonly host: string;
}

export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  /** The last 256 KiB. */
  readonly stderr: string;
}

/** What is kept of a command's stderr. */
const stderrBytes = 256 * 1024;
/** After TERM a command has this long to clean up before it is killed; the same for `timeout` on the host. */
export const graceSeconds = 5;
/** The grace, the killing, and a little for a slow line. */
const giveUpMs = 10_000;
/** A command has ended, but what it left in the background holds its output open: quiet this long, it is enough. */
const lingerMs = 1_000;

/**
 * Sees a command to its end, and ends it when it is over a limit or when its caller does not want it any more.
 *
 * @throws Failure `CommandTimedOut`, `CommandFailed` (too much output), `HostUnreachable`; the signal's reason.
 */
export async function finish(running: Running, limits: Limits, reap: () => Promise<void>): Promise<Ended> {
  const { host, command, signal } = limits;
  let stopped: Promise<{ why: unknown }> | undefined;
  let announce: (stopped: Promise<{ why: unknown }>) => void = () => undefined;
  const anyStop = new Promise<{ why: unknown }>((resolve) => (announce = resolve));
  const stop = (why: unknown): void => {
    if (stopped !== undefined) return;
    stopped = end(running, reap).then(() => ({ why }));
    announce(stopped);
  };
  const stdout = new Tail(running.stdout, limits.maxOutputBytes, () => {
    const text = `${command} on ${host} said more than ${limits.maxOutputBytes} bytes.`;
    stop(new Failure('CommandFailed', text, { host }));
  });
  const stderr = new Tail(running.stderr, stderrBytes);
  const timer = setTimeout(() => {
    const next = 'See whether the host is overloaded or the command waits for something.';
    const text = `${command} on ${host} took longer than ${Math.round(limits.timeoutMs / 100) / 10} s and was ended.`;
    stop(new Failure('CommandTimedOut', text, { host, next }));
  }, limits.timeoutMs);
  const abort = (): void => stop(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted === true) abort();
  try {
    const over = ended(running, stdout, stderr).catch(async (lost: unknown) => {
      if (stopped === undefined) throw lost;
      return await stopped;
    });
    const first = await Promise.race([over, anyStop]);
    // When it ended by our signal, the answer is why we sent it.
    const why = 'why' in first ? first : await stopped;
    if (why !== undefined) throw why.why;
    if ('why' in first) throw first.why;
    return { exitCode: first.exitCode, stdout: stdout.text(), stderr: stderr.text() };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    running.abandon();
  }
}

async function ended(running: Running, stdout: Tail, stderr: Tail): Promise<{ exitCode: number }> {
  const exitCode = await running.exited;
  const all = Promise.all([stdout.ended, stderr.ended]).then(() => true);
  let quietSince = stdout.bytes + stderr.bytes;
  while (!(await Promise.race([all, sleep(lingerMs, false)]))) {
    const now = stdout.bytes + stderr.bytes;
    if (now === quietSince) {
      await running.drained();
      if (stdout.bytes + stderr.bytes === now) break;
    }
    quietSince = stdout.bytes + stderr.bytes;
  }
  return { exitCode };
}

/**
 * Ends a command and everything it started. Returns when it is gone, or cannot be waited for any longer (the
 * connection is dead: then `timeout` ends it on the host).
 *
 * @param reap ends every process that carries the command's cookie. The cookie is there only once the command itself
 *   is, after the shell, sudo and `env`: so it is repeated.
 */
export async function end(running: Running, reap: () => Promise<void>): Promise<void> {
  let over = false;
  const gone = running.exited.then(
    () => (over = true),
    () => (over = true),
  );
  const reaped = (async () => {
    while (!over) {
      await reap().catch(() => undefined);
      await Promise.race([gone, sleep(200)]);
    }
  })();
  await Promise.race([reaped, sleep(giveUpMs, undefined, { ref: false })]);
  over = true;
}

/** The last bytes of a stream, and how many there were. */
export class Tail {
  /** Rejects when the connection was lost before the end. */
  readonly ended: Promise<void>;
  bytes = 0;
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #kept = 0;

  /** `onTooMuch` is told once there is more than the limit. */
  constructor(stream: Readable, limit: number, onTooMuch?: () => void) {
    this.#limit = limit;
    stream.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length;
      this.#chunks.push(chunk);
      this.#kept += chunk.length;
      if (this.bytes > limit) onTooMuch?.();
      if (this.#kept <= limit * 2) return;
      this.#chunks = [Buffer.concat(this.#chunks).subarray(-limit)];
      this.#kept = limit;
    });
    this.ended = new Promise((resolve, reject) => {
      stream.once('error', reject);
      stream.once('end', resolve);
      stream.once('close', resolve);
    });
    this.ended.catch(() => undefined);
  }

  text(): string {
    const all = Buffer.concat(this.#chunks);
    return (all.length > this.#limit ? all.subarray(-this.#limit) : all).toString('utf8');
  }
}
