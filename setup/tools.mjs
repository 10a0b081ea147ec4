import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256Of } from './checksum.mjs';
import { fromFallback } from './fallbacks.mjs';
import { fromOfficial } from './official.mjs';
import { atLeast, findProgram, parseVersion, versionOf } from './programs.mjs';
import { say, since, SetupError } from './report.mjs';
import { sideBySide } from './side-by-side.mjs';

/**
 * Brings the tools that distributions lack or have too old into `.tools/NAME-VERSION/NAME`, and writes
 * `.tools/tools.json`: for each of them its path from there, version and sha256 (read by src/hosts/tools.ts).
 * Older versions stay where they are: a Temporal server's database belongs to the version that made it.
 */
export async function installTools(root, machine) {
  const { tools, pinned } = JSON.parse(await readFile(join(root, 'setup/tools.json'), 'utf8'));
  const folder = join(root, '.tools');
  const listFile = join(folder, 'tools.json');
  await mkdir(folder, { recursive: true });
  const before = await readList(listFile);
  const entries = await sideBySide(
    Object.entries(pinned).map(async ([name, pin]) => {
      const wanted = { name, pin, tool: tools[name], before: before[name], root, folder, machine };
      return [name, await installTool(wanted)];
    }),
  );
  const list = Object.fromEntries(entries.filter(([, entry]) => entry !== undefined));
  checkDistributionTools(tools, pinned);
  await writeFile(`${listFile}.new`, `${JSON.stringify(list, null, 2)}\n`);
  await rename(`${listFile}.new`, listFile);
}

/** @returns the tool's entry in tools.json; undefined when the one on PATH is used. */
async function installTool({ name, pin, tool, before, root, folder, machine }) {
  const path = `${name}-${pin.version}/${name}`;
  if (
    before?.path === path &&
    (await sha256Of(join(folder, path)).catch(() => undefined)) === before.sha256
  ) {
    say(name, `already there (${pin.version})`);
    return before;
  }
  const onPath = findProgram(name);
  const found = onPath === undefined ? undefined : versionOf(onPath, tool.ask);
  if (found !== undefined && pin.exactly === undefined && atLeast(found, parseVersion(tool.minimum))) {
    say(name, `already there (${onPath}, ${found.join('.')})`);
    return undefined;
  }
  const start = performance.now();
  const work = await mkdtemp(join(folder, `.${name}-`));
  try {
    const own = found?.join('.') === pin.version;
    const { file, from } = own
      ? { file: onPath, from: onPath }
      : await fetchTool({ name, pin, root, work, machine });
    const ready = join(work, 'ready');
    await copyFile(file, ready);
    await chmod(ready, 0o755);
    const version = versionOf(ready, tool.ask)?.join('.');
    if (version !== pin.version)
      throw new SetupError(`${name} from ${from} says it is ${version}, not ${pin.version}.`);
    await mkdir(join(folder, `${name}-${pin.version}`), { recursive: true });
    await rename(ready, join(folder, path));
    say(name, `${pin.version} from ${from} (${since(start)})`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return { path, version: pin.version, sha256: await sha256Of(join(folder, path)) };
}

/** The official release, else its fallback; both only with the pinned checksum. */
async function fetchTool(wanted) {
  const { name, pin, machine } = wanted;
  const reasons = [];
  for (const fetchFrom of [fromOfficial, fromFallback]) {
    try {
      return await fetchFrom(wanted);
    } catch (error) {
      reasons.push(error.message);
      say(name, error.message);
    }
  }
  throw new SetupError(
    `${name} ${pin.version} could not be had.\n${reasons.map((reason) => `  - ${reason}\n`).join('')}` +
      `Make one of these work, or put ${name} ${pin.version} for ${machine} on PATH, then run this again.`,
  );
}

/** The distribution's other tools are there by now; is each new enough? */
function checkDistributionTools(tools, pinned) {
  for (const [name, { minimum, ask }] of Object.entries(tools)) {
    if (name in pinned) continue;
    const path = findProgram(name);
    const version = path === undefined ? undefined : versionOf(path, ask);
    if (version === undefined || !atLeast(version, parseVersion(minimum))) {
      throw new SetupError(
        `${name} is ${version === undefined ? 'missing or does not run' : version.join('.')}; ` +
          `${minimum} or newer is needed. Put a newer one on PATH, then run this again.`,
      );
    }
  }
}

async function readList(file) {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    return {};
  }
}
