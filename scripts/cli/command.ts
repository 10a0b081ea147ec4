import { existsSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command, CommanderError } from 'commander';
import type { Configuration } from '../../src/config/configuration.js';
import { loadConfiguration } from '../../src/config/load.js';
import { Failure, exitCodeOf } from '../../src/errors.js';
import { failureReport, failureText } from '../../src/terminal/failure.js';
import { version } from '../../src/version.js';
import { failureOf, VerbFailed } from './failures.js';
import { type Io, processIo } from './io.js';
import { Output } from './output.js';

/** What a verb works with: its output, the configuration, and the exit code of an end that is not a failure. */
export interface Context {
  readonly io: Io;
  readonly out: Output;
  /** @throws Failure `ConfigInvalid`. */
  configuration(): Promise<Configuration>;
  /** Ends with this code although nothing was thrown. */
  exitWith(code: number): void;
}

/** Makes a verb's command; `permafrost` holds all of them, and each is a script of its own. */
export type VerbCommand = (run: Run) => Command;

/** One run of the command: what its commands share while commander takes the arguments apart. */
export class Run {
  exitCode = 0;
  /** Usage and errors as commander writes them, held back so that they come out in one form. */
  heldBack = '';

  constructor(readonly io: Io) {}

  /** A command with the habits of all of ours. */
  command(name: string, summary: string): Command {
    return new Command(name)
      .description(summary)
      .summary(summary)
      .exitOverride()
      .configureHelp({ helpWidth: 80 })
      .configureOutput({
        writeOut: (text) => this.io.stdout.write(text),
        writeErr: (text) => {
          this.heldBack += text;
        },
      });
  }

  /** What the verb works with, from the options of its command and of those above it. */
  context(command: Command): Context {
    const options = command.optsWithGlobals<GlobalOptions>();
    const out = new Output(this.io, {
      json: options.json === true,
      verbose: options.verbose === true,
      color: options.color !== false,
    });
    return {
      io: this.io,
      out,
      configuration: () =>
        loadConfiguration({
          env: this.io.env,
          ...(options.config === undefined ? {} : { file: options.config }),
        }),
      exitWith: (code) => {
        this.exitCode = code;
      },
    };
  }
}

interface GlobalOptions {
  config?: string;
  json?: boolean;
  verbose?: boolean;
  color?: boolean;
}

export function withGlobalOptions(command: Command): Command {
  return command
    .option(
      '--config <file>',
      'the configuration (else PERMAFROST_CONFIG, ./permafrost.yaml, /etc/permafrost/permafrost.yaml)',
    )
    .option('--json', 'one JSON document on stdout, everything else on stderr')
    .option('--verbose', 'with a failure, show where in the program it was')
    .option('--no-color', 'no colour (nor with NO_COLOR set)')
    .version(version(), '-V, --version', 'show the version');
}

/** Runs one command line to its end, whatever happens, and returns the exit code. */
export async function execute(makeCommand: VerbCommand, args: readonly string[], io: Io): Promise<number> {
  const run = new Run(io);
  try {
    const command = withGlobalOptions(makeCommand(run));
    await command.parseAsync([...args], { from: 'user' });
    return run.exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    return tell(error, run, args);
  }
}

/** Runs the process's own command line: the end of every script. */
export async function runScript(makeCommand: VerbCommand): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    // The reader of a pipe has gone away (`| head`): nothing is left to say to it.
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
    });
  }
  const exitCode = await execute(makeCommand, process.argv.slice(2), processIo);
  await Promise.all(
    [process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write('', done))),
  );
  process.exit(exitCode);
}

/** Whether this module is the program that was started (also through a link, as npx does). */
export function isMain(moduleUrl: string): boolean {
  const program = process.argv[1];
  return program !== undefined && existsSync(program) && realpathSync(program) === fileURLToPath(moduleUrl);
}

/** The one place where an error becomes output. */
function tell(error: unknown, run: Run, args: readonly string[]): number {
  const given = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  const out = new Output(run.io, {
    json: given.includes('--json'),
    verbose: given.includes('--verbose'),
    color: !given.includes('--no-color'),
  });
  const failure = error instanceof CommanderError ? usageFailure(error) : failureOf(error);
  const failed = error instanceof VerbFailed ? error : undefined;
  const report = failureReport(failure);
  if (error instanceof CommanderError && error.code === 'commander.help') out.complain(run.heldBack);
  if (out.options.json) out.result({ ...failed?.fields, error: report }, []);
  else
    out.complain(
      ...(failed?.state === undefined ? [] : ['']), // below what the run has shown
      ...failureText(failure, out.paintFor(run.io.stderr), failed?.state, out.widthFor(run.io.stderr)),
    );
  if (out.options.verbose) out.complain(...stackOf(error));
  return exitCodeOf(failure.type);
}

/** Commander's complaint in our form: wrong usage. */
function usageFailure(error: CommanderError): Failure {
  const next = 'See: permafrost --help, or permafrost VERB --help';
  if (error.code === 'commander.help') return new Failure('ConfigInvalid', 'no verb was given', { next });
  const message = error.message
    .replace(/^error: /, '')
    .split('\n')
    .join(' ');
  return new Failure('ConfigInvalid', message, { next });
}

function stackOf(error: unknown): string[] {
  const lines: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) lines.push('', at.stack ?? String(at));
  return lines;
}
