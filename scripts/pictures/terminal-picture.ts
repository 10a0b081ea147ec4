import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Browser } from 'playwright-core';
import type { TerminalSize } from './pty.js';
import { smallPng } from './small-png.js';

export type Background = 'light' | 'dark';

/** GNOME Terminal's own palettes, which most people on Linux have before them. */
const themes = {
  light: {
    background: '#ffffff',
    foreground: '#1e1e1e',
    black: '#1e1e1e',
    red: '#c01c28',
    green: '#26a269',
    yellow: '#a2734c',
    blue: '#12488b',
    magenta: '#a347ba',
    cyan: '#2aa1b3',
    white: '#cfcfcf',
  },
  dark: {
    background: '#1e1e1e',
    foreground: '#e6e6e6',
    black: '#1e1e1e',
    red: '#f66151',
    green: '#57c78b',
    yellow: '#e9ad0c',
    blue: '#5b9bd5',
    magenta: '#c061cb',
    cyan: '#33c7de',
    white: '#e6e6e6',
  },
} as const;

/** More than any of our commands writes. What is drawn again goes up from where it stands, so the height is free. */
const ROWS = 120;

/** Around the text, in CSS pixels. */
const MARGIN = 14;

/**
 * Shows bytes in a real terminal emulator (xterm.js) and takes a picture of the lines that it used.
 *
 * @param bytes what a program wrote to a terminal of this size.
 * @returns a PNG.
 */
export async function terminalPicture(
  browser: Browser,
  bytes: Buffer,
  background: Background,
  size: TerminalSize,
): Promise<Buffer> {
  const require = createRequire(import.meta.url);
  const script = await readFile(require.resolve('@xterm/xterm/lib/xterm.js'), 'utf8');
  const style = await readFile(require.resolve('@xterm/xterm/css/xterm.css'), 'utf8');
  const theme = themes[background];
  const page = await browser.newPage({ deviceScaleFactor: 1.5, viewport: { width: 2000, height: 3000 } });
  try {
    await page.setContent(
      `<style>${style} body { margin: 0; background: ${theme.background} }
       #picture { display: inline-block; padding: ${String(MARGIN)}px; overflow: hidden; background: ${theme.background} }
       .xterm .xterm-viewport, .xterm .xterm-scrollable-element { overflow: hidden !important } .scrollbar { display: none !important }</style>
       <div id="picture"><div id="terminal"></div></div>`,
    );
    await page.addScriptTag({ content: script });
    const options = {
      cols: size.columns,
      rows: ROWS,
      fontFamily: '"DejaVu Sans Mono", monospace',
      fontSize: 14,
      lineHeight: 1.15,
      scrollback: 0,
      minimumContrastRatio: 1,
      drawBoldTextInBrightColors: false,
      theme: { ...theme, cursor: theme.background, cursorAccent: theme.background },
    };
    await page.evaluate(drawScript(options, bytes.toString('base64')));
    return smallPng(await page.locator('#picture').screenshot({ type: 'png' }));
  } finally {
    await page.close();
  }
}

/** What the page does: writes the bytes, then makes the terminal as high as what was written. */
function drawScript(options: object, base64: string): string {
  return `(async () => {
    const terminal = new Terminal(${JSON.stringify(options)});
    terminal.open(document.getElementById('terminal'));
    const bytes = Uint8Array.from(atob(${JSON.stringify(base64)}), (letter) => letter.charCodeAt(0));
    await new Promise((done) => terminal.write(bytes, done));
    const buffer = terminal.buffer.active;
    let used = terminal.rows;
    while (used > 1 && (buffer.getLine(used - 1)?.translateToString(true) ?? '') === '') used -= 1;
    const screen = document.querySelector('.xterm-screen');
    const box = document.getElementById('terminal');
    box.style.width = screen.clientWidth + 'px';
    box.style.height = Math.ceil((screen.clientHeight / terminal.rows) * used) + 'px';
    box.style.overflow = 'hidden';
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  })()`;
}
