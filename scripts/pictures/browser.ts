import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { Failure } from '../../src/errors.js';

/** Debian's place for it, and what other distributions call theirs. */
const usualPlaces = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/**
 * The path of Chromium: `$CHROMIUM`, else where distributions put it.
 *
 * @throws Failure `ToolMissing` naming Debian's package.
 */
export function findChromium(env: NodeJS.ProcessEnv = process.env, places = usualPlaces): string {
  const named = env['CHROMIUM'] || undefined;
  const found = (named === undefined ? places : [named]).find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new Failure('ToolMissing', `there is no Chromium at ${named ?? places.join(', ')}`, {
    next: 'Install it (Debian: apt-get install chromium), or name it: CHROMIUM=/path/to/chromium npm run pictures',
  });
}

/** A headless Chromium. It is only ever shown pages of this machine. */
export async function openBrowser(path: string): Promise<Browser> {
  return chromium.launch({
    executablePath: path,
    // Its sandbox needs rights that root in a container does not have, and that it would not use.
    args: [...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), '--font-render-hinting=none'],
  });
}
