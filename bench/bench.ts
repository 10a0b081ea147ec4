#!/usr/bin/env node
import { writeFile } from 'node:fs/promises';
import { CommanderError } from 'commander';
import { exitCodeOf } from '../src/errors.js';
import { failureText } from '../src/terminal/failure.js';
import { processIo } from '../scripts/cli/io.js';
import { failureOf } from '../scripts/cli/failures.js';
import { Output } from '../scripts/cli/output.js';
import { markdown } from './figures/markdown.js';
import type { Results, Round } from './figures/results.js';
import { machineOf } from './machine.js';
import { type Options, readOptions } from './options.js';
import { tryRestores } from './restores/run.js';
import { Stage } from './stage.js';
import { ownTimes } from './watch/services.js';
import { installed, openWay } from './ways/open.js';
import { alone, type Night, type Way, type WayName, wayTitles } from './ways/way.js';

/** How often the services' own stop and start are measured in a round. */
const ownTries = 3;

const began = Date.now();

function say(text: string): void {
  const seconds = Math.round((Date.now() - began) / 1000);
  process.stderr.write(`${String(seconds).padStart(5)} s  ${text}\n`);
}

/**
 * Measures round by round. What is whole is told after each, so that a bench that is ended early has measured something.
 *
 * @param tell gets everything that was measured so far.
 */
async function measure(
  options: Options,
  command: string,
  ended: AbortSignal,
  tell: (results: Results) => Promise<void>,
): Promise<void> {
  const ways = options.only.filter((name) => installed(name));
  say(`data set in ${options.folder}`);
  const stage = await Stage.open(options, say);
  try {
    const machine = await machineOf(options.folder, stage.instance, ways);
    const data = { ...(await stage.dataset.measure()), ...pick(options) };
    const rounds: Round[] = [];
    for (let at = 0; at < options.rounds; at++) {
      // Everybody is first at some time, and last.
      const order = ways
        .map((_, index) => ways[(index + at) % ways.length])
        .filter((name) => name !== undefined);
      const title = `round ${String(at + 1)}`;
      const round = await oneRound(stage, options, title, order, ended);
      ended.throwIfAborted();
      const restores =
        options.restores &&
        (await tryRestores(stage, at % 2 === 0, (text) => {
          say(`${title}: ${text}`);
        }));
      rounds.push(restores === false ? round : { ...round, restores });
      await tell({ command, at: new Date(began).toISOString(), machine, data, rounds });
    }
  } finally {
    await stage.close();
  }
}

async function oneRound(
  stage: Stage,
  options: Options,
  title: string,
  order: readonly WayName[],
  ended: AbortSignal,
): Promise<Round> {
  const ownMs = await ownTimes(stage.instance, ownTries);
  const nights: Partial<Record<WayName, Night[]>> = {};
  const quiet: Partial<Record<WayName, Night>> = {};
  const open = new Map<WayName, Way>();
  const spend = async (name: WayName, what: string): Promise<Night> => {
    ended.throwIfAborted();
    const way = open.get(name) ?? (await openWay(name, stage));
    open.set(name, way);
    const result = await way.night();
    say(`${title}: ${wayTitles[name]}, ${what}: ${(result.wallMs / 1000).toFixed(1)} s`);
    return result;
  };
  try {
    for (let night = 1; order.length > 0 && night <= options.nights; night++) {
      ended.throwIfAborted();
      if (night > 1) {
        say(`${title}: a day's changes`);
        await stage.dataset.liveADay(stage.folder);
      }
      for (const name of order) {
        // The recipe stores everything every night: once in a round tells all.
        if (name === 'recipe' && night > 1) continue;
        (nights[name] ??= []).push(await spend(name, `night ${String(night)}`));
      }
    }
    for (const name of order.filter((name) => isComparedWhenQuiet(name, order)))
      quiet[name] = await spend(name, 'a quiet night');
  } finally {
    for (const way of open.values()) await way.clear();
  }
  return { ownMs, nights, quiet };
}

/** A quiet night shows what looking at everything costs: beside the bare tool, or not at all. */
function isComparedWhenQuiet(name: WayName, ways: readonly WayName[]): boolean {
  return Object.values(alone).some(
    (pair) => Object.values(pair).includes(name) && Object.values(pair).every((one) => ways.includes(one)),
  );
}

function pick({ mediaFiles, mediaBytes }: Options) {
  return { mediaFiles, mediaBytes };
}

async function main(words: readonly string[]): Promise<number> {
  const out = new Output(processIo, { json: false, verbose: false, color: true });
  const stop = new AbortController();
  let page: string | undefined;
  const end = () => {
    if (!stop.signal.aborted) say('It is ended and tidied up after what is being measured now.');
    stop.abort(new Error('the bench was ended'));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end);
  // Whoever read what we say may be gone; what we made has to go all the same.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', end);
  try {
    const options = readOptions(words);
    const command = ['npm run bench', ...(words.length === 0 ? [] : ['--', ...words])].join(' ');
    await measure(options, command, stop.signal, async (results) => {
      page = markdown(results);
      if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(results, null, 1)}\n`);
    });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodeOf('ConfigInvalid');
    if (stop.signal.aborted) return exitCodeOf('Cancelled');
    out.complain(...failureText(failureOf(error), out.paintFor(processIo.stderr)));
    return 1;
  } finally {
    if (page !== undefined) process.stdout.write(`${page}\n`);
  }
}

const exitCode = await main(process.argv.slice(2));
await new Promise((done) => process.stdout.write('', done));
process.exit(exitCode);
