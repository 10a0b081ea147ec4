import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Folders that hold programs but are often not on an ordinary user's PATH. */
const systemFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];

/** The absolute path of a program on PATH or in the system's own folders; undefined when there is none. */
export function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter(Boolean), ...systemFolders];
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

/** PostgreSQL's server programs: on PATH, or where Debian keeps each major version's. */
export function findPostgres() {
  const majors = '/usr/lib/postgresql';
  const debian = listFolder(majors).map((major) => join(majors, major, 'bin', 'initdb'));
  return findProgram('initdb') ?? debian.find(isProgram);
}

/**
 * The version that a program says it has, as `[major, minor, patch]`; undefined when it does not run.
 * The first `1.2` or `1.2.3` in what it prints counts.
 */
export function versionOf(path, argument) {
  const { status, stdout } = spawnSync(path, [argument], { encoding: 'utf8', timeout: 20_000 });
  return status === 0 ? parseVersion(stdout) : undefined;
}

export function parseVersion(text) {
  const found = /(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  return found?.slice(1, 4).map((number) => Number(number ?? 0));
}

/** Whether `version` is at least `minimum`, both `[major, minor, patch]`. */
export function atLeast(version, minimum) {
  const differs = version.findIndex((number, index) => number !== minimum[index]);
  return differs === -1 || version[differs] > minimum[differs];
}

/**
 * Runs a command to its end with its output held back.
 * Resolves with `{ code, output }`, stdout and stderr as they came; `code` is 127 when it could not be started.
 */
export function run(argv, options = {}) {
  const [program, ...args] = argv;
  return new Promise((resolve) => {
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => resolve({ code: 127, output: `${output}${error.message}\n` }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function listFolder(path) {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
