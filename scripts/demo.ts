#!/usr/bin/env node
import { CommanderError } from 'commander';
import { exitCodeOf } from '../src/errors.js';
import { failureText } from '../src/terminal/failure.js';
import { isMain, Run } from './cli/command.js';
import { failureOf } from './cli/failures.js';
import { type Io, processIo } from './cli/io.js';
import { Output } from './cli/output.js';
import { Narrator } from './demo/narrator.js';
import { Stage } from './demo/stage.js';
import { play } from './demo/story.js';

interface Options {
  keep?: boolean;
  color?: boolean;
}

/**
 * Shows what Permafrost does, with a Mastodon of its own: a night, and a night whose worker is killed.
 *
 * @returns 0 when everything was as it was promised and nothing was left behind, 130 after Ctrl-C, else 1.
 */
async function demo(options: Options, io: Io): Promise<number> {
  const out = new Output(io, { json: false, verbose: false, color: options.color !== false });
  const stop = stopOn(io, out);
  const narrator = new Narrator(out, stop.signal);
  const stage = new Stage();
  let exitCode: number;
  try {
    const { good, ui } = await play(stage, narrator);
    exitCode = good ? 0 : 1;
    narrator.verdict(good);
    if (options.keep === true) await stayUp(stage, narrator, ui, stop.signal);
  } catch (error) {
    exitCode = stop.signal.aborted ? exitCodeOf('Cancelled') : 1;
    if (!stop.signal.aborted) out.complain('', ...failureText(failureOf(error), out.paintFor(io.stderr)));
  }
  stop.tidying();
  narrator.say('', 'Tidying up: services, servers, folders.');
  const problems = await stage.clear();
  out.complain(...problems.map((problem) => `Not tidied up: ${problem}`));
  return problems.length > 0 && exitCode === 0 ? 1 : exitCode;
}

/** Waits for Ctrl-C. */
async function stayUp(stage: Stage, narrator: Narrator, ui: string, signal: AbortSignal): Promise<void> {
  const { configFile } = stage.permafrost;
  narrator.say(
    '',
    "It stays up. The runs in Temporal's UI:",
    `  ${ui}/namespaces/default/workflows`,
    'Commands to try, from another terminal:',
    `  export PERMAFROST_CONFIG=${configFile}`,
    ...['status', 'list', 'show latest', 'backup', 'schedule list'].map((verb) => `  npx permafrost ${verb}`),
    'Ctrl-C ends it and removes everything.',
  );
  if (signal.aborted) return;
  // An open timer keeps the process alive: a listener alone does not.
  const awake = setInterval(() => undefined, 60_000);
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  clearInterval(awake);
}

/** Everything that ends a program ends the demo in good order: it tidies up first. */
function stopOn(io: Io, out: Output): { signal: AbortSignal; tidying(): void } {
  const stop = new AbortController();
  let tidying = false;
  const end = () => {
    if (stop.signal.aborted || tidying) out.say('Still tidying up; that takes some seconds.');
    stop.abort(new Error('the demo was ended'));
  };
  io.onSignal('SIGINT', end);
  io.onSignal('SIGTERM', end);
  process.on('SIGHUP', () => stop.abort(new Error('the terminal is gone')));
  for (const stream of [io.stdout, io.stderr])
    stream.on('error', () => stop.abort(new Error('nobody reads any more')));
  return { signal: stop.signal, tidying: () => void (tidying = true) };
}

/** Reads the command line, plays the demo, and ends the process. */
async function main(): Promise<void> {
  const run = new Run(processIo);
  const command = run
    .command('demo', 'show a night, and a night whose worker is killed, with a Mastodon made for it')
    .option('--keep', 'stay up afterwards, for a look around')
    .option('--no-color', 'no colour (nor with NO_COLOR set)');
  try {
    command.parse(process.argv.slice(2), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    processIo.stderr.write(run.heldBack);
    process.exit(error.exitCode === 0 ? 0 : exitCodeOf('ConfigInvalid'));
  }
  const exitCode = await demo(command.opts<Options>(), processIo);
  await new Promise((done) => process.stdout.write('', done));
  process.exit(exitCode);
}

if (isMain(import.meta.url)) await main();
