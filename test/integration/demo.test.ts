import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const script = join(root, 'dist/scripts/demo.js');

/** Two nights and half a minute in which Temporal waits for a killed worker, on a machine that does other things too. */
const PATIENCE_MS = 400_000;

let demo: ReturnType<typeof startDemo> | undefined;
afterEach(async () => {
  // It tidies up by itself when it is asked to end.
  demo?.kill('SIGTERM');
  await demo;
});

function startDemo() {
  const started = execa(process.execPath, [script], {
    stdin: 'ignore',
    all: true,
    reject: false,
    forceKillAfterDelay: false,
  });
  demo = started;
  return started;
}

/** What of a demo is still on this machine: processes that name its folder, the folder itself, keys in memory. */
function leftOf(folder: string): string[] {
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => commandLine(pid).includes(folder))
    .map((pid) => `process ${pid}: ${commandLine(pid)}`);
  const name = folder.slice(folder.lastIndexOf('-') + 1);
  const keys = readdirSync('/dev/shm').filter((entry) => entry.includes(`demo-${name}.example`));
  return [...processes, ...keys, ...(existsSync(folder) ? [folder] : [])];
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

function folderIn(output: string): string {
  const [folder] = /\/\S*permafrost-demo-[0-9a-f]{4}/.exec(output) ?? [];
  if (folder === undefined) throw new Error(`no folder is named in: ${output}`);
  return folder;
}

describe('the demo', () => {
  it(
    'shows two nights, the second through the death of worker and server, and leaves nothing behind',
    async () => {
      const { exitCode, all } = await startDemo();
      const told = all.replace(/\s+/g, ' '); // wherever a line was wrapped
      expect(told).toContain('Everything is as it was promised.');
      expect(exitCode).toBe(0);
      expect(told).toMatch(/Backup \S+ of demo-\S+: sealed/);
      expect(told).toMatch(/downtime +\d+\.\d s \(brief\); the services are up/);
      expect(told).toMatch(/media +\S+ [kM]B +\d+/);
      expect(told).toMatch(/vault +sealed; .*read back/);
      expect(told).toMatch(/Temporal's UI: http:\/\/127\.0\.0\.1:\d+/);
      expect(told).toMatch(/longest it had to wait/);
      expect(told).toMatch(/upload running[^]*kill -9 of the worker[^]*upload done[^]*: sealed; downtime/);
      expect(told).toMatch(/yes +so is the night that was cut off/);
      expect(told).toMatch(/yes +and none of the [\d ]+ posts that came after it/);
      expect(told).not.toMatch(/ NO /);
      expect(all).not.toContain('\u001b');
      expect(Math.max(...ownLines(all).map((line) => line.length))).toBeLessThanOrEqual(80);
      expect(leftOf(folderIn(all))).toEqual([]);
    },
    PATIENCE_MS,
  );

  it(
    'tidies up when it is interrupted in the middle of a night',
    async () => {
      const running = startDemo();
      await new Promise<void>((resolve) => {
        let said = '';
        running.all.on('data', (chunk: Buffer) => {
          said += chunk.toString();
          if (said.includes('quiesce running')) resolve();
        });
        void running.then(() => resolve());
      });
      running.kill('SIGINT');
      const { exitCode, all } = await running;
      expect(all).toMatch(/quiesce running[^]*Tidying up/);
      expect(all).not.toContain('Not tidied up');
      expect(exitCode).toBe(130);
      expect(leftOf(folderIn(all))).toEqual([]);
    },
    PATIENCE_MS,
  );
});

/** What the demo says itself: the lines of a command's progress begin with a time, and the address of a run is long. */
function ownLines(output: string): string[] {
  return output.split('\n').filter((line) => !/^\d\d:\d\d:\d\dZ |https?:/.test(line));
}
