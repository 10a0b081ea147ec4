import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { findPostgres, findProgram, run } from './programs.mjs';
import { say, since, SetupError, tail } from './report.mjs';

/** A distribution's package and the programs that are wanted of it. */
const forRunning = [
  { name: 'postgresql', there: () => findPostgres() !== undefined },
  { name: 'redis-server', programs: ['redis-server', 'redis-cli', 'redis-check-rdb'] },
  { name: 'age', programs: ['age', 'age-keygen'] },
  { name: 'rsync', programs: ['rsync'] },
  { name: 'openssh-client', programs: ['ssh', 'ssh-keygen'] },
  { name: 'zstd', programs: ['zstd'] },
  { name: 'perl', programs: ['perl'] },
  { name: 'procps', programs: ['ps'] },
  { name: 'rdiff', programs: ['rdiff'] },
  { name: 'bzip2', programs: ['bunzip2'] },
  { name: 'unzip', programs: ['unzip'] },
];

const forTheTests = [
  { name: 'openssh-server', programs: ['sshd'] },
  { name: 'sudo', programs: ['sudo'] },
  { name: 'debootstrap', programs: ['debootstrap'] },
  { name: 'systemd-container', programs: ['systemd-nspawn'] },
  { name: 'iproute2', programs: ['ip'] },
  { name: 'zsh', programs: ['zsh'] },
  { name: 'fish', programs: ['fish'] },
];

/** Installs the distribution packages of which a program is missing, and no service of theirs. */
export async function installDistributionPackages(root, { forTests }) {
  const wanted = forTests ? [...forRunning, ...forTheTests] : forRunning;
  const missing = wanted.filter((each) => !isThere(each)).map(({ name }) => name);
  if (missing.length === 0) {
    say('distribution packages', 'already there');
    return;
  }
  await installPackages(root, missing);
}

/** Installs distribution packages by name. @throws SetupError with the command to run, when we may not. */
export async function installPackages(root, names) {
  const script = join(root, 'setup/install-packages.sh');
  const command = ['sh', script, ...names];
  if (findProgram('apt-get') === undefined) {
    throw new SetupError(
      `Missing: ${names.join(', ')} (as Debian calls them), and there is no apt-get here.\n` +
        'Install them the way this system does it, then run this again.',
    );
  }
  const prefix = rootPrefix();
  if (prefix === undefined) {
    throw new SetupError(
      `These packages are missing, and installing them takes root: ${names.join(', ')}.\n` +
        'Run this as root, then the set-up again (it calls apt-get and starts no service):\n\n' +
        `  ${command.join(' ')}`,
    );
  }
  say(
    'distribution packages',
    `installing ${names.join(', ')} (programs only: no service is started or enabled)`,
  );
  const start = performance.now();
  const { code, output } = await run([...prefix, ...command]);
  if (code !== 0) throw new SetupError(`apt-get failed (exit ${code}):\n${tail(output)}`);
  say('distribution packages', `done (${since(start)})`);
}

function isThere({ programs, there }) {
  return there ? there() : programs.every((program) => findProgram(program) !== undefined);
}

/** How a command runs as root: as it is, through sudo (which may ask at a terminal), or not at all. */
function rootPrefix() {
  if (process.getuid() === 0) return [];
  const sudo = findProgram('sudo');
  if (sudo === undefined) return undefined;
  if (spawnSync(sudo, ['-n', 'true'], { stdio: 'ignore' }).status === 0) return [sudo, '-n'];
  if (!process.stdin.isTTY || !process.stdout.isTTY) return undefined;
  say('distribution packages', 'some are missing; sudo asks for your password');
  return spawnSync(sudo, ['-v'], { stdio: 'inherit' }).status === 0 ? [sudo, '-n'] : undefined;
}
