import { EventEmitter } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { execute, type VerbCommand } from '../../../scripts/cli/command.js';
import type { Io } from '../../../scripts/cli/io.js';

class Captured extends Writable {
  text = '';
  constructor(
    readonly isTTY: boolean,
    readonly columns = 80,
    readonly rows = 40,
  ) {
    super();
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** What a command wrote, and the keys and signals that it is sent. */
export class CapturedIo implements Io {
  readonly stdin: PassThrough & { isTTY: boolean };
  readonly stdout: Captured;
  readonly stderr: Captured;
  private readonly signals = new EventEmitter();

  constructor(
    readonly env: NodeJS.ProcessEnv = {},
    terminal = false,
  ) {
    this.stdin = Object.assign(new PassThrough(), { isTTY: terminal });
    this.stdout = new Captured(terminal);
    this.stderr = new Captured(terminal);
  }

  onSignal(signal: 'SIGINT' | 'SIGTERM', listener: () => void): () => void {
    this.signals.on(signal, listener);
    return () => this.signals.off(signal, listener);
  }

  send(signal: 'SIGINT' | 'SIGTERM'): void {
    this.signals.emit(signal);
  }

  /** The document on stdout. @throws SyntaxError when there is not exactly one. */
  json(): Record<string, unknown> {
    return JSON.parse(this.stdout.text) as Record<string, unknown>;
  }

  run(command: VerbCommand, ...args: string[]): Promise<number> {
    return execute(command, args, this);
  }
}
