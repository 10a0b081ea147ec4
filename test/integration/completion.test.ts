import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RunningTerminal, startInTerminal } from '../../scripts/pictures/pty.js';

const script = fileURLToPath(new URL('../../dist/scripts/permafrost.js', import.meta.url));

/** How each shell is started without anybody's own settings, and what makes its completion ready. */
const shells = {
  bash: { argv: ['bash', '--norc', '--noprofile', '-i'], ready: [] },
  zsh: { argv: ['zsh', '-f', '-i'], ready: ['autoload -Uz compinit', 'compinit -u -D'] },
  fish: { argv: ['fish', '--no-config', '-i'], ready: ['function fish_prompt; echo "> "; end'] },
} as const;

const PATIENCE_MS = 30_000;

/** What is typed before Tab, and what then stands there: `[typed, completed]`. */
const first = [
  ['permafrost sched', 'permafrost schedule '],
  ['npx permafrost backup --quiesce f', '--quiesce full '],
  ['permafrost backup --only database,se', 'database,secrets '],
] as const;
const further = [
  ['permafrost backup ex', 'permafrost backup example.social '],
  ['permafrost backup --offsite=cl', '--offsite=cloud '],
  ['permafrost --config permafrost.y', 'permafrost.yaml '],
] as const;

let folder: string;
const terminals: RunningTerminal[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-completion-'));
  const names = 'instances: { example.social: {}, other.example: {} }\noffsites: { vault: {}, cloud: {} }\n';
  await writeFile(join(folder, 'permafrost.yaml'), names, { mode: 0o644 });
});
afterAll(async () => {
  for (const terminal of terminals.splice(0)) {
    terminal.close();
    await terminal.ended;
  }
  await rm(folder, { recursive: true, force: true });
});

function installed(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((place) => existsSync(join(place, program)));
}

describe.concurrent.each(Object.entries(shells))('in %s', (shell, { argv, ready }) => {
  const missing = !installed(shell);
  if (missing && shell !== 'bash') console.warn(`NOT TESTED: completion in ${shell}, which is not installed`);

  test.skipIf(missing && shell !== 'bash')('Tab completes what is typed, and runs none of it', async () => {
    const home = { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder, HISTFILE: '', PS1: '> ' };
    const opened = startInTerminal(
      ['env', '-C', folder, ...argv],
      { columns: 200, rows: 50 },
      { ...home, PERMAFROST_CONFIG: '' },
    );
    terminals.push(opened);
    const saved = join(folder, `completion.${shell}`);
    const { stdout } = await execa(process.execPath, [script, 'completion', shell]);
    await writeFile(saved, `${stdout}\n`);
    for (const line of [...ready, `source ${saved}`, 'echo rea""dy']) opened.type(`${line}\r`);
    expect(await shown(opened, 0, 'ready')).toContain('ready'); // which was typed in two halves

    for (const [typed, expected] of shell === 'bash' ? [...first, ...further] : first) {
      expect(await completed(opened, typed, expected)).toContain(expected);
    }
    const evil = join(folder, `made-by-${shell}`);
    await completed(opened, `permafrost backup "$(touch ${evil})" --quiesce n`, '--quiesce none ');
    expect(existsSync(evil)).toBe(false);
  });
});

/** Types the beginning of a line and Tab, and leaves an empty line behind. @returns what the terminal showed. */
async function completed(opened: RunningTerminal, typed: string, expected: string): Promise<string> {
  const since = opened.bytes().length;
  opened.type(`${typed}\t`);
  const text = await shown(opened, since, expected);
  opened.type('\u0003');
  await sleep(200);
  return text;
}

/** Waits until the terminal has shown this since, patiently; what it showed, without what moves the cursor. */
async function shown(opened: RunningTerminal, since: number, expected: string): Promise<string> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const bytes = opened.bytes().subarray(since).toString('utf8');
    const text = bytes.replace(/\u001b\[[0-9;?]*[A-Za-z]|\u001b[()=>].?|\u0008/g, '');
    if (text.includes(expected) || Date.now() > deadline) return text;
    await sleep(50);
  }
}
