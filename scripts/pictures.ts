#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Failure } from '../src/errors.js';
import { formatBytes } from '../src/terminal/format.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { stopSignal } from './cli/stop-signal.js';
import { Stage } from './demo/stage.js';
import { findChromium, openBrowser } from './pictures/browser.js';
import { play } from './pictures/story.js';
import { terminalPicture } from './pictures/terminal-picture.js';
import { TemporalUi } from './pictures/temporal-ui.js';

/** Names that a picture may show. The folders are the only places of this machine that messages name. */
const props = {
  domain: 'example.social',
  folder: join(tmpdir(), 'permafrost'),
  // On another disk than the instance, as off-sites are.
  repositories: '/dev/shm/off-site',
  size: { accounts: 200, statuses: 4_000, media: 900, mediaBytes: 100_000 },
  offsites: ['cloud'],
  uiPort: 8233,
} as const;

const defaultFolder = fileURLToPath(new URL('../../docs/pictures', import.meta.url));

interface Options {
  to: string;
  keep?: boolean;
}

function picturesCommand(run: Run) {
  return run
    .command('pictures', 'take the pictures of the documentation, of the real program')
    .option('--to <folder>', 'where they go', defaultFolder)
    .option('--keep', 'also keep what the terminals were sent, as NAME.ansi')
    .action(async (options: Options, command) => pictures(run.context(command), options));
}

async function pictures({ io, out }: Context, { to, keep }: Options): Promise<void> {
  const chromium = findChromium();
  const there = [props.folder, props.repositories].find((folder) => existsSync(folder));
  if (there !== undefined) {
    throw new Failure('Refused', `${there} is there already`, {
      next: 'Its name is in the pictures: move it away, or wait until who else takes them has finished.',
    });
  }
  const browser = await openBrowser(chromium);
  const stage = new Stage(props);
  const stop = stopSignal(io, out);
  const save = async (name: string, content: Buffer): Promise<void> => {
    await writeFile(join(to, name), content);
    out.say(`${name}  ${formatBytes(content.length)}`);
  };
  try {
    await mkdir(to, { recursive: true });
    const ui = await TemporalUi.open(browser);
    const played = play(stage, ui, (text) => out.say(text));
    const { scenes, pages } = await Promise.race([played, stopped(stop.signal)]);
    for (const { name, bytes, size } of scenes) {
      if (keep === true) await save(`${name}.ansi`, bytes);
      for (const background of ['light', 'dark'] as const) {
        await save(`${name}-${background}.png`, await terminalPicture(browser, bytes, background, size));
      }
    }
    for (const { name, png } of pages) await save(`${name}.png`, png);
  } finally {
    out.complain(...(await stage.clear()).map((problem) => `Not tidied up: ${problem}`));
    await browser.close();
    stop.close();
  }
}

/** Rejects when somebody wants this to stop: everything is tidied up first. */
function stopped(signal: AbortSignal): Promise<never> {
  const never = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Failure('Cancelled', 'the pictures were not taken')));
  });
  never.catch(() => undefined);
  return never;
}

if (isMain(import.meta.url)) await runScript(picturesCommand);
