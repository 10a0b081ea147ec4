import { Writable } from 'node:stream';
import { checkbox, confirm, input, password } from '@inquirer/prompts';
import { Failure } from '../../src/errors.js';
import type { Output } from '../cli/output.js';

/** Questions at a terminal. Where nobody can answer there is no asker, and a flag must have said it. */
export interface Asker {
  yesOrNo(message: string, standard: boolean): Promise<boolean>;
  /** `check` returns what is wrong with an answer. */
  line(
    message: string,
    options?: { standard?: string; check?: (answer: string) => string | null },
  ): Promise<string>;
  secret(message: string): Promise<string>;
  some(message: string, choices: readonly string[]): Promise<string[]>;
}

/** @returns undefined without a terminal, or when the defaults are to be taken (`--yes`). */
export function askerFor(out: Output, yes: boolean): Asker | undefined {
  const { stdin } = out.io;
  if (yes || stdin.isTTY !== true || out.progress.isTTY !== true) return undefined;
  const asked = <T>(ask: (context: PromptContext) => Promise<T>) => untilStopped(out, ask);
  return {
    yesOrNo: (message, standard) => asked((context) => confirm({ message, default: standard }, context)),
    line: async (message, { standard, check } = {}) => {
      const question = {
        message,
        required: true,
        ...(standard === undefined ? {} : { default: standard }),
        validate: (answer: string) => check?.(answer.trim()) ?? true,
      };
      return (await asked((context) => input(question, context))).trim();
    },
    secret: (message) => asked((context) => password({ message, validate: (text) => text !== '' }, context)),
    some: (message, choices) => {
      const all = choices.map((value) => ({ value, checked: true }));
      return asked((context) => checkbox({ message, required: true, choices: all }, context));
    },
  };
}

interface PromptContext {
  input: NodeJS.ReadableStream;
  output: NodeJS.WritableStream;
  signal: AbortSignal;
}

/** Asks until there is an answer, or somebody stops: Ctrl-C, Ctrl-D, the end of the input. */
async function untilStopped<T>(out: Output, ask: (context: PromptContext) => Promise<T>): Promise<T> {
  const { stdin } = out.io;
  const stop = new AbortController();
  const end = () => stop.abort();
  const keypress = (_text: unknown, key: { ctrl?: boolean; name?: string } | undefined) => {
    if (key?.ctrl === true && key.name === 'd') end();
  };
  // A prompt ends what it writes to, and we have more to say.
  const terminal = out.progress;
  const output = Object.assign(
    new Writable({ write: (chunk: Buffer, _encoding, done) => void terminal.write(chunk, () => done()) }),
    { columns: terminal.columns, rows: terminal.rows, isTTY: true },
  );
  stdin.on('keypress', keypress);
  stdin.once('end', end);
  try {
    return await ask({ input: stdin, output, signal: stop.signal });
  } catch (error) {
    if (!(error instanceof Error) || !/^(?:Exit|Abort|Cancel)PromptError$/.test(error.name)) throw error;
    throw new Failure('Cancelled', 'Stopped: nothing was written.', {
      next: 'Start again when it suits: permafrost init',
      cause: error,
    });
  } finally {
    stdin.off('keypress', keypress);
    stdin.off('end', end);
  }
}

/** What to say where a question has no answer and nobody to ask. */
export function missingFlag(what: string, flag: string): Failure {
  return new Failure('ConfigInvalid', `${what} is not known, and there is no terminal to ask at.`, {
    next: `Say it with ${flag}.`,
  });
}
