import { atLeast, parseVersion } from './programs.mjs';
import { say, SetupError } from './report.mjs';

/** vitest 4 and its parts need this one; Temporal's SDK and execa 9 are content with 20.5. */
const oldestNode = '20.19.0';

/**
 * Checks Node and the machine.
 * @returns the machine as `uname -m` calls it, `x86_64` or `aarch64`
 */
export function checkPlatform() {
  const machine = { x64: 'x86_64', arm64: 'aarch64' }[process.arch];
  if (!atLeast(parseVersion(process.versions.node), parseVersion(oldestNode))) {
    throw new SetupError(
      `Node ${process.versions.node} is too old: Permafrost needs ${oldestNode} or newer.\n` +
        'Install Node 22 (https://nodejs.org/en/download, or your distribution) and run this again.',
    );
  }
  if (process.platform !== 'linux' || machine === undefined) {
    throw new SetupError(
      `Permafrost runs on Linux on x86_64 or aarch64; this is ${process.platform} on ${process.arch}.`,
    );
  }
  say('machine', `Node ${process.versions.node}, Linux on ${machine}`);
  return machine;
}
