import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './programs.mjs';
import { say, since, SetupError, tail } from './report.mjs';

/** Runs `npm ci`, unless node_modules already is what package-lock.json says. */
export async function installNpmPackages(root) {
  if (matchesLock(root)) {
    say('npm packages', 'already there');
    return;
  }
  if (lstatSync(join(root, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink()) {
    throw new SetupError(
      'node_modules is a symbolic link, and npm would empty the folder that it leads to.\nRemove the link, then run this again.',
    );
  }
  say('npm packages', 'installing what package-lock.json names (npm ci)');
  const start = performance.now();
  const { code, output } = await run([...npm(), 'ci', '--include=dev', '--no-audit', '--no-fund'], {
    cwd: root,
  });
  if (code !== 0) throw new SetupError(`npm ci failed (exit ${code}):\n${tail(output)}`);
  say('npm packages', `done (${since(start)})`);
}

/**
 * Whether every package of package-lock.json is installed in its version, and no other one is.
 * npm writes `node_modules/.package-lock.json` last, so that an interrupted `npm ci` does not match.
 */
export function matchesLock(root) {
  const wanted = packagesOf(join(root, 'package-lock.json'));
  const installed = packagesOf(join(root, 'node_modules/.package-lock.json'));
  if (wanted === undefined || installed === undefined) return false;
  const missing = Object.entries(wanted).some(([path, entry]) => {
    const there = installed[path];
    if (path === '' || (there === undefined && mayBeLeftOut(entry))) return false;
    return (
      there?.version !== entry.version ||
      there?.integrity !== entry.integrity ||
      !existsSync(join(root, path))
    );
  });
  return !missing && Object.keys(installed).every((path) => path in wanted);
}

/** npm leaves out optional packages that are made for another system. */
function mayBeLeftOut(entry) {
  return entry.optional === true || entry.devOptional === true;
}

function packagesOf(lockfile) {
  try {
    return JSON.parse(readFileSync(lockfile, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** The npm that started this, when one did. */
export function npm() {
  const cli = process.env.npm_execpath;
  return cli?.endsWith('npm-cli.js') ? [process.execPath, cli] : ['npm'];
}
