/**
 * Everything that running Permafrost from a clone needs, and nothing twice: npm's packages and the build beside the
 * distribution's packages and the tools.
 * Uses Node's own modules alone: it runs before any package is there.
 *
 *   node setup/setup.mjs               what running and the demo need
 *   node setup/setup.mjs --for-tests   and what the tests need besides
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.mjs';
import { installDistributionPackages } from './distribution.mjs';
import { installNpmPackages } from './npm.mjs';
import { checkPlatform } from './platform.mjs';
import { SetupError } from './report.mjs';
import { sideBySide } from './side-by-side.mjs';
import { installTools } from './tools.mjs';

const root = resolve(fileURLToPath(import.meta.url), '../..');
const forTests = process.argv.includes('--for-tests');

async function setUp() {
  process.stdout.write('Permafrost: set-up\n');
  const machine = checkPlatform();
  await sideBySide([
    installNpmPackages(root).then(() => build(root)),
    installDistributionPackages(root, { forTests }).then(() => installTools(root, machine)),
  ]);
}

try {
  await setUp();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`\n${error.message}\n`);
  process.exitCode = 1;
}
