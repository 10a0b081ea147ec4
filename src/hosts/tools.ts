import { existsSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execaSync } from 'execa';
import { z } from 'zod';
import { Failure } from '../errors.js';
import type { Host } from './host.js';

/** The tools that Permafrost calls by name; the oldest version of each that will do stands in setup/tools.json. */
export const toolNames = [
  'temporal',
  'restic',
  'rclone',
  'age',
  'age-keygen',
  'rsync',
  'zstd',
  'rdiff',
] as const;

export type ToolName = (typeof toolNames)[number];

/** A program on this machine. */
export interface Tool {
  /** Absolute. */
  readonly path: string;
  /** As the tool says it, in numbers alone: `0.18.0`. */
  readonly version: string;
  /** Hex. */
  readonly sha256: string;
}

const requirementSchema = z.object({
  minimum: z.string(),
  /** The argument that makes it say its version. */
  ask: z.string(),
  /** A single program that runs where it is put: it can be brought to a host. */
  carried: z.boolean().default(false),
  /** The distribution's package, where it is not called like the tool. */
  package: z.string().optional(),
});
const requirementsSchema = z.object({ tools: z.record(z.enum(toolNames), requirementSchema) });
const listSchema = z.record(
  z.string(),
  z.object({ path: z.string(), version: z.string(), sha256: z.string() }),
);

type Requirement = z.infer<typeof requirementSchema>;

/** Asking a program for its version and hashing it is worth doing once. */
const found = new Map<string, Tool>();

/**
 * A tool of this machine that is new enough: the set-up's own (`PERMAFROST_TOOLS`, else the `.tools` folder above this
 * module), else the one on PATH. With `version`, the set-up's own in just that version: old ones stay where they are,
 * since a Temporal server's database belongs to the version that made it.
 *
 * @throws Failure `ToolMissing`
 */
export function toolPath(name: ToolName, version?: string): Tool {
  const key = JSON.stringify([name, version, toolsFolder(), process.env['PATH']]);
  const known = found.get(key);
  if (known !== undefined && existsSync(known.path)) return known;
  const tool = version === undefined ? (fromSetup(name) ?? fromPath(name)) : kept(name, version);
  if (tool === undefined) {
    const wanted = version ?? `${requirementOf(name).minimum} or newer`;
    throw new Failure('ToolMissing', `${name} ${wanted} is not on this machine.`, { next: 'npm run setup' });
  }
  found.set(key, tool);
  return tool;
}

/**
 * The absolute path, on a host, of a tool that is new enough: the host's own, else this machine's, copied into
 * Permafrost's folder there (`bin/NAME-VERSION`, 0700), checked by its sha256 on the host and proven to run. A good
 * copy is used again; one that is not what it should be is replaced. Nothing else on the host is touched.
 *
 * @throws Failure `ToolMissing` when the host has none and it cannot be brought along; whatever `host` throws
 */
export async function provideTool(host: Host, name: ToolName): Promise<string> {
  const requirement = requirementOf(name);
  const there = await findTool(host, name);
  if (there.brought === undefined || there.there) return there.path;
  const { path, brought: tool } = there;
  await host.run(['mkdir', '-p', '-m', '700', dirname(path)]);
  await host.putFile(path, await readFile(tool.path), 0o700);
  const state = await tryCopy(host, path, tool, requirement);
  if (state === 'runs') return path;
  if (state === 'does not run')
    throw missing(host, name, {}, 'The one that was brought along does not run there.');
  throw new Failure('CommandFailed', `${name} did not arrive on ${host.name} as it was sent.`, {
    host: host.name,
    next: `Look at the disk under ${dirname(path)} on ${host.name}.`,
  });
}

/** A tool as it is, or will be, on a host. */
export interface HostTool {
  /** Absolute, on the host. */
  readonly path: string;
  readonly version: string;
  /** It lies there now; false: the next run brings it. */
  readonly there: boolean;
  /** This machine's, when it is not the host's own. */
  readonly brought?: Tool;
}

/** Which tool `provideTool` gives, without bringing it. @throws Failure `ToolMissing`; whatever `host` throws */
export async function findTool(host: Host, name: ToolName): Promise<HostTool> {
  const requirement = requirementOf(name);
  const own = await hostsOwn(host, name, requirement);
  if (own.path !== undefined) return { path: own.path, version: own.version ?? '', there: true };
  if (!requirement.carried) throw missing(host, name, own, 'It cannot be brought along.');
  const { arch, folder } = await host.facts();
  if (arch !== machine()) {
    const why = `It cannot be brought along: that host is ${arch}, this one ${machine()}.`;
    throw missing(host, name, own, why);
  }
  const brought = toolPath(name);
  const path = `${folder}/bin/${name}-${brought.version}`;
  const there = (await tryCopy(host, path, brought, requirement)) === 'runs';
  return { path, version: brought.version, there, brought };
}

function missing(host: Host, name: ToolName, own: { version?: string }, why: string): Failure {
  const { minimum, package: packaged = name } = requirementOf(name);
  const what = own.version === undefined ? `there is no ${name}` : `${name} is ${own.version}`;
  return new Failure('ToolMissing', `On ${host.name} ${what}; ${minimum} or newer is needed. ${why}`, {
    host: host.name,
    next: `Install ${packaged} ${minimum} or newer on ${host.name}.`,
  });
}

/** Prints a tool's path, then what it says of its version. */
const askScript = 'tool=$(command -v "$1") || exit 0; printf "%s\\n" "$tool"; "$tool" "$2" 2>&1 || true';

async function hostsOwn(
  host: Host,
  name: ToolName,
  { ask, minimum }: Requirement,
): Promise<{ path?: string; version?: string }> {
  const { stdout } = await host.run(['sh', '-c', askScript, 'sh', name, ask]);
  const [path = '', ...said] = stdout.split('\n');
  const version = versionIn(said.join('\n'));
  if (version === undefined) return {};
  return isAbsolute(path) && isAtLeast(version, minimum) ? { path, version } : { version };
}

/** Exit codes: 100 absent or another file, 101 does not run. */
const tryScript =
  'test -f "$1" && test "$(sha256sum <"$1" | cut -c -64)" = "$2" || exit 100; test -x "$1" || chmod 700 "$1"; "$1" "$3" || exit 101';

async function tryCopy(
  host: Host,
  path: string,
  { sha256 }: Tool,
  { ask }: Requirement,
): Promise<'runs' | 'differs' | 'does not run'> {
  const argv = ['sh', '-c', tryScript, 'sh', path, sha256, ask];
  const { exitCode } = await host.run(argv, { okCodes: [0, 100, 101] });
  return exitCode === 0 ? 'runs' : exitCode === 100 ? 'differs' : 'does not run';
}

/** What the set-up brought, by its list. */
function fromSetup(name: ToolName): Tool | undefined {
  const folder = toolsFolder();
  const file = folder === undefined ? undefined : join(folder, 'tools.json');
  if (folder === undefined || file === undefined || !existsSync(file)) return undefined;
  const entry = listSchema.parse(JSON.parse(readFileSync(file, 'utf8')))[name];
  if (entry === undefined) return undefined;
  const path = join(folder, entry.path);
  return existsSync(path) ? { ...entry, path } : undefined;
}

/** What a set-up brought at some time, in that version. */
function kept(name: ToolName, version: string): Tool | undefined {
  const current = fromSetup(name);
  if (current?.version === version) return current;
  const folder = toolsFolder();
  const path = folder === undefined ? undefined : join(folder, `${name}-${version}`, name);
  return path !== undefined && existsSync(path) ? { path, version, sha256: sha256Of(path) } : undefined;
}

function fromPath(name: ToolName): Tool | undefined {
  const { ask, minimum } = requirementOf(name);
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter(isAbsolute);
  for (const path of folders.map((folder) => join(folder, name)).filter(isFile)) {
    const { stdout, failed } = execaSync(path, [ask], { reject: false, timeout: 20_000 });
    const version = failed ? undefined : versionIn(stdout);
    if (version !== undefined && isAtLeast(version, minimum))
      return { path, version, sha256: sha256Of(path) };
  }
  return undefined;
}

let requirements: Record<ToolName, Requirement> | undefined;

function requirementOf(name: ToolName): Requirement {
  requirements ??= readRequirements();
  return requirements[name];
}

function readRequirements(): Record<ToolName, Requirement> {
  const file = above('setup/tools.json');
  if (file === undefined)
    throw new Failure('Unexpected', 'setup/tools.json is missing from this installation.');
  return requirementsSchema.parse(JSON.parse(readFileSync(file, 'utf8'))).tools;
}

function toolsFolder(): string | undefined {
  const named = process.env['PERMAFROST_TOOLS'];
  return named ? resolve(named) : above('.tools');
}

/** The nearest file or folder of that name, going up from this module: `src/` and `dist/src/` have the same root. */
function above(name: string): string | undefined {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, name);
    if (existsSync(path)) return path;
    if (folder === dirname(folder)) return undefined;
  }
}

/** As `uname -m` calls this machine. */
function machine(): string {
  return process.arch === 'x64' ? 'x86_64' : process.arch === 'arm64' ? 'aarch64' : process.arch;
}

/** The first `1.2` or `1.2.3` in a text, always with three numbers. */
function versionIn(text: string): string | undefined {
  const [, major, minor, patch = '0'] = /(\d+)\.(\d+)(?:\.(\d+))?/.exec(text) ?? [];
  return major === undefined ? undefined : `${major}.${minor}.${patch}`;
}

function isAtLeast(version: string, minimum: string): boolean {
  return version.localeCompare(minimum, 'en', { numeric: true }) >= 0;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function sha256Of(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
