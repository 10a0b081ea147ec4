import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { npm } from './npm.mjs';
import { run } from './programs.mjs';
import { say, since, SetupError, tail } from './report.mjs';

const sources = [
  'src',
  'scripts',
  'sample',
  'bench',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
];

/** Builds dist/ when the sources are not the ones that it was last built from. */
export async function build(root) {
  const stamp = join(root, 'dist/.built-from');
  const hash = hashOf(root);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) {
    say('build', 'already there');
    return;
  }
  say('build', 'compiling to dist/');
  const start = performance.now();
  const { code, output } = await run([...npm(), 'run', '--silent', 'build'], { cwd: root });
  if (code !== 0) throw new SetupError(`npm run build failed (exit ${code}):\n${tail(output, 30)}`);
  writeFileSync(stamp, hash);
  say('build', `done (${since(start)})`);
}

/** One hash over the names and contents of all sources. */
function hashOf(root) {
  const hash = createHash('sha256');
  for (const file of sources.flatMap((source) => filesUnder(root, source)).sort()) {
    const content = readFileSync(join(root, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/** Files under a file or folder of `root`, as paths from there. */
function filesUnder(root, path) {
  if (!existsSync(join(root, path))) return [];
  try {
    return readdirSync(join(root, path)).flatMap((name) => filesUnder(root, `${path}/${name}`));
  } catch (error) {
    if (error.code === 'ENOTDIR') return [path];
    throw error;
  }
}
