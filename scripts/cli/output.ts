import type { Writable } from 'node:stream';
import { colour, type Paint, plain } from '../../src/terminal/paint.js';
import type { Io } from './io.js';

export interface OutputOptions {
  json: boolean;
  verbose: boolean;
  /** False with --no-color. */
  color: boolean;
}

/** Narrower than this nothing is readable anyway; wider than that no line of text is. Columns. */
const NARROWEST = 40;
const WIDEST = 100;

/**
 * What goes where. A result goes to stdout: as text, or with --json as the one document that is ever written there.
 * All else goes to stdout as well while that is for people, and to stderr with --json.
 */
export class Output {
  constructor(
    readonly io: Io,
    readonly options: OutputOptions,
  ) {}

  /** Where a command tells what it is doing. */
  get progress(): Io['stdout'] {
    return this.options.json ? this.io.stderr : this.io.stdout;
  }

  paintFor(stream: Io['stdout']): Paint {
    const noColour = (this.io.env['NO_COLOR'] ?? '') !== '' || this.io.env['TERM'] === 'dumb';
    return stream.isTTY === true && this.options.color && !noColour ? colour : plain;
  }

  /** Columns that a text on this stream may take: the terminal's, as far as lines stay easy to read; 80 on a pipe. */
  widthFor(stream: Io['stdout']): number {
    if (stream.isTTY !== true) return 80;
    return Math.max(NARROWEST, Math.min(WIDEST, stream.columns ?? 80));
  }

  /** The result: a document for scripts, lines for people. */
  result(document: unknown, lines: readonly string[]): void {
    if (this.options.json) writeLines(this.io.stdout, [JSON.stringify(document, null, 2)]);
    else writeLines(this.io.stdout, lines);
  }

  /** What happens on the way to the result. */
  say(...lines: string[]): void {
    writeLines(this.progress, lines);
  }

  /** What went wrong beside the result. */
  complain(...lines: string[]): void {
    writeLines(this.io.stderr, lines);
  }
}

function writeLines(stream: Writable, lines: readonly string[]): void {
  if (lines.length > 0) stream.write(`${lines.join('\n')}\n`);
}
