import type { Output } from '../cli/output.js';
import { formatDuration, wrap } from '../../src/terminal/format.js';
import type { Paint } from '../../src/terminal/paint.js';

const WIDTH = 80;

/** Silence that somebody accepts without wondering; on a pipe, a line this often, in a terminal every second. */
const SIGN_OF_LIFE_MS = { pipe: 4_000, terminal: 1_000 } as const;

/** Tells the demo's story: calm text of 80 columns, and a sign of life wherever something takes a while. */
export class Narrator {
  readonly #out: Output;
  readonly #paint: Paint;
  readonly #signal: AbortSignal;
  #chapter = 0;
  /** A sign of life stands in the terminal's last line. */
  #signed = false;

  /** @param signal once it is aborted, nothing is waited for any more. */
  constructor(out: Output, signal: AbortSignal) {
    this.#out = out;
    this.#paint = out.paintFor(out.io.stdout);
    this.#signal = signal;
  }

  title(text: string): void {
    this.#write('', this.#paint.bold(text), '');
  }

  /** The chapters are numbered: nobody gets lost in the scrollback. */
  chapter(title: string): void {
    this.#chapter += 1;
    this.#write('', '', this.#paint.bold(`${String(this.#chapter)}  ${title}`));
  }

  say(...paragraphs: string[]): void {
    this.#write(...paragraphs.flatMap((paragraph) => wrap(paragraph, WIDTH)));
  }

  /** Something that nobody should miss. */
  shout(text: string): void {
    this.#write(...wrap(text, WIDTH).map((line) => this.#paint.bad(this.#paint.bold(line))));
  }

  /** A command that an operator could have typed. */
  command(line: string): void {
    this.#write('', this.#paint.dim(`$ ${line}`));
  }

  /** A line of a command's progress, `HH:MM:SSZ text`: wrapped under itself. */
  progress(line: string): void {
    const time = line.slice(0, line.indexOf(' ') + 1);
    const [first = '', ...rest] = wrap(line.slice(time.length), WIDTH - time.length);
    this.#write(`${time}${first}`, ...rest.map((more) => `${' '.repeat(time.length)}${more}`));
  }

  /** Something that was looked at, and how it was found. */
  finding(good: boolean, text: string): void {
    const mark = good ? this.#paint.good('  yes') : this.#paint.bad(this.#paint.bold('  NO '));
    const [first = '', ...rest] = wrap(text, WIDTH - 7);
    this.#write(`${mark}  ${first}`, ...rest.map((line) => `       ${line}`));
  }

  verdict(good: boolean): void {
    const text = good ? 'Everything is as it was promised.' : 'NOT EVERYTHING IS AS IT WAS PROMISED.';
    this.#write('', this.#paint.bold(good ? this.#paint.good(text) : this.#paint.bad(text)));
  }

  /** Waits, and tells how long it took. @throws the signal's reason, at once, when it is aborted. */
  async during<T>(what: string, work: Promise<T>): Promise<T> {
    const started = Date.now();
    if (!this.#terminal) this.#write(`  ${what} …`);
    const result = await this.alive(work, (ms) => `  ${what} … ${formatDuration(ms)}`);
    this.#write(`  ${what}: ${formatDuration(Date.now() - started)}`);
    return result;
  }

  /**
   * Waits, with a sign of life every few seconds; in a terminal it is one line, which goes away again.
   *
   * @throws the signal's reason, at once, when it is aborted.
   */
  async alive<T>(work: Promise<T>, sign: (ms: number) => string): Promise<T> {
    const started = Date.now();
    const show = () => {
      const text = sign(Date.now() - started);
      this.#out.progress.write(this.#terminal ? `\r${text}\u001b[K` : `${text}\n`);
      this.#signed = this.#terminal;
    };
    if (this.#terminal) show();
    const timer = setInterval(show, SIGN_OF_LIFE_MS[this.#terminal ? 'terminal' : 'pipe']);
    try {
      return await this.patiently(work);
    } finally {
      clearInterval(timer);
      this.#write();
    }
  }

  /** Waits without a word. @throws the signal's reason, at once, when it is aborted. */
  async patiently<T>(work: Promise<T>): Promise<T> {
    this.#signal.throwIfAborted();
    let stop: (() => void) | undefined;
    const aborted = new Promise<never>((_, reject) => {
      stop = () => reject(this.#signal.reason instanceof Error ? this.#signal.reason : new Error('aborted'));
      this.#signal.addEventListener('abort', stop, { once: true });
    });
    work.catch(() => undefined);
    try {
      return await Promise.race([work, aborted]);
    } finally {
      if (stop !== undefined) this.#signal.removeEventListener('abort', stop);
    }
  }

  /** Lines, in the place of a sign of life. */
  #write(...lines: string[]): void {
    if (this.#signed) this.#out.progress.write('\r\u001b[K');
    this.#signed = false;
    this.#out.say(...lines);
  }

  get #terminal(): boolean {
    return this.#out.progress.isTTY === true;
  }
}
