import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { findChromium } from '../../../scripts/pictures/browser.js';
import { bytesOf, runInTerminal, startInTerminal } from '../../../scripts/pictures/pty.js';

test('a program believes that it is in a terminal of that size, and its bytes and exit code come back', async () => {
  const script =
    'process.stdout.write(`${process.stdout.isTTY} ${process.stdout.columns}x${process.stdout.rows} ` +' +
    '`${process.env.NO_COLOR ?? "colour"} \\u001b[1m${process.argv[1]}\\u001b[22m\\n`); process.exitCode = 3;';
  const words = ["it's $HOME; `id`", 'ü'];
  const recording = await runInTerminal(
    [process.execPath, '-e', script, words.join(' ')],
    { columns: 72, rows: 20 },
    { TEST: 'x' },
  );
  expect(bytesOf(recording).toString('utf8')).toBe(
    `true 72x20 colour \u001b[1m${words.join(' ')}\u001b[22m\r\n`,
  );
  expect(recording.exitCode).toBe(3);
});

test('what is typed arrives, and closing the terminal ends the program', async () => {
  const terminal = startInTerminal(['sh', '-c', 'read line; echo "got $line as $$"; exec sleep 600']);
  terminal.type('hello\r');
  await expect.poll(() => terminal.bytes().toString('utf8'), { timeout: 10_000 }).toContain('got hello as');
  const [, pid] = /got hello as (\d+)/.exec(terminal.bytes().toString('utf8')) ?? [];
  terminal.close();
  await terminal.ended;
  await expect.poll(() => existsSync(`/proc/${String(pid)}`), { timeout: 10_000 }).toBe(false);
});

test('without a Chromium the package is named', () => {
  expect(() => findChromium({ CHROMIUM: '/nowhere/chromium' })).toThrowError(/no Chromium at \/nowhere/);
  expect(() => findChromium({}, [])).toThrowError(expect.objectContaining({ type: 'ToolMissing' }));
});
