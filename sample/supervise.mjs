#!/usr/bin/env node
/**
 * Keeps the sample's services running where there is no systemd: `supervise.mjs start|stop|status NAME --root DIR
 * [--port N] [--owner PID]`. NAME is web, sidekiq or streaming. Starting what runs and stopping what does not are
 * fine. Exit code of status: 0 running, 3 not. A lock keeps two of them from starting the same service twice.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const [verb, name, ...rest] = process.argv.slice(2);
const flag = (key) => (rest.includes(key) ? rest[rest.indexOf(key) + 1] : undefined);
const verbs = { start, stop, status };
const root = flag('--root') === undefined ? undefined : resolve(flag('--root'));
if (
  !Object.hasOwn(verbs, verb ?? '') ||
  !['web', 'sidekiq', 'streaming'].includes(name) ||
  root === undefined
) {
  console.error(
    'usage: supervise.mjs start|stop|status web|sidekiq|streaming --root DIR [--port N] [--owner PID]',
  );
  process.exit(2);
}

const script = join(dirname(fileURLToPath(import.meta.url)), 'services', `${name}.mjs`);
const pidFile = join(root, 'tmp', 'pids', `${name}.pid`);

if (verb !== 'status' && process.env.SUPERVISE_LOCKED !== '1') {
  mkdirSync(dirname(pidFile), { recursive: true });
  // flock gives the lock up when this process ends, however it ends; -o keeps it from the service.
  const again = [fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const { status: code } = spawnSync('flock', ['-o', `${pidFile}.lock`, process.execPath, ...again], {
    stdio: 'inherit',
    env: { ...process.env, SUPERVISE_LOCKED: '1' },
  });
  process.exit(code ?? 1);
}
process.exitCode = await verbs[verb]();

function start() {
  if (runningPid() !== undefined) return 0;
  mkdirSync(join(root, 'log'), { recursive: true });
  const log = openSync(join(root, 'log', `${name}.log`), 'a');
  const environment = { ...process.env, RAILS_ENV: 'production', NODE_ENV: 'production' };
  delete environment.SUPERVISE_LOCKED;
  if (flag('--port') !== undefined) environment.PORT = flag('--port');
  const owner = flag('--owner') === undefined ? [] : ['--owner', flag('--owner')];
  const service = spawn(process.execPath, [script, '--root', root, ...owner], {
    cwd: root,
    detached: true,
    stdio: ['ignore', log, log],
    env: environment,
  });
  writeFileSync(pidFile, `${service.pid}\n`);
  service.unref();
  return 0;
}

async function stop() {
  const pid = runningPid();
  if (pid !== undefined) {
    signal(pid, 'SIGTERM');
    for (let waited = 0; runningPid() === pid; waited += 20) {
      if (waited === 5000) signal(pid, 'SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  rmSync(pidFile, { force: true });
  return 0;
}

function signal(pid, what) {
  try {
    process.kill(pid, what);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function status() {
  const pid = runningPid();
  console.log(pid === undefined ? `${name} is stopped` : `${name} is running (${pid})`);
  return pid === undefined ? 3 : 0;
}

/** The service's pid, when that process is there, has not ended, and is this service of this root. */
function runningPid() {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8'));
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words.includes(script) && words.includes(root) ? pid : undefined;
  } catch {
    return undefined;
  }
}
