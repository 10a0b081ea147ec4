import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Stage } from '../demo/stage.js';
import { bytesOf, type RunningTerminal, startInTerminal, type TerminalSize } from './pty.js';

/** The real command, beside this folder. */
const script = fileURLToPath(new URL('../permafrost.js', import.meta.url));

/** How long a run may take before something is wrong with it. Milliseconds. */
const PATIENCE_MS = 240_000;

/** What a terminal showed: the command line and all that came after it. */
export interface Scene {
  readonly name: string;
  readonly bytes: Buffer;
  readonly size: TerminalSize;
}

const size: TerminalSize = { columns: 80, rows: 50 };

/** Starts `permafrost …` in a terminal, as somebody in the folder of the configuration would type it. */
export function permafrost(stage: Stage, ...words: readonly string[]): RunningTerminal {
  const argv = ['env', '-C', stage.folder, process.execPath, script, ...words];
  return startInTerminal(argv, size);
}

function scene(name: string, words: readonly string[], bytes: Buffer): Scene {
  const typed = Buffer.from(`\u001b[2m$\u001b[22m permafrost ${words.join(' ')}\r\n`);
  return { name, bytes: Buffer.concat([typed, bytes]), size };
}

/** Runs a verb to its end. */
export async function whole(stage: Stage, name: string, ...words: readonly string[]): Promise<Scene> {
  const recording = await permafrost(stage, ...words).ended;
  return scene(name, words, bytesOf(recording));
}

/** Runs a backup, with a look at it while the media are on their way. `meanwhile` happens during that look. */
export async function night(stage: Stage, meanwhile: () => Promise<void>): Promise<Scene[]> {
  const words = ['backup'];
  const terminal = permafrost(stage, ...words);
  try {
    await shows(terminal, /media to vault[^\r\n]*left[\s\S]*media to cloud[^\r\n]*left/);
    const middle = scene('night', words, terminal.bytes());
    await meanwhile();
    return [middle, scene('night-end', words, afterLiveView(bytesOf(await terminal.ended)))];
  } finally {
    terminal.close();
  }
}

/** What stays when the live view has ended: the summary, without the view's last picture above it. */
function afterLiveView(bytes: Buffer): Buffer {
  const end = '\u001b[J';
  return bytes.subarray(bytes.lastIndexOf(end) + end.length);
}

/** Runs a verb while the password of an off-site is not that of its repository. */
export async function withWrongPassword(
  stage: Stage,
  offsite: string,
  name: string,
  ...words: readonly string[]
): Promise<Scene> {
  const right = await stage.takePassword(offsite);
  try {
    return await whole(stage, name, ...words);
  } finally {
    await writeFile(join(stage.folder, `${offsite}.password`), right, { mode: 0o600 });
  }
}

/** Waits until the last picture that the live view has drawn looks like this. */
async function shows(terminal: RunningTerminal, pattern: RegExp): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  let ended = false;
  void terminal.ended.then(() => (ended = true));
  while (!ended && Date.now() < deadline) {
    const frames = terminal.bytes().toString('utf8').split('\u001b[J');
    if (pattern.test(frames.at(-1) ?? '') || pattern.test(frames.at(-2) ?? '')) return;
    await sleep(100);
  }
  throw new Error(`the terminal did not show ${String(pattern)}:\n${terminal.bytes().toString('utf8')}`);
}
