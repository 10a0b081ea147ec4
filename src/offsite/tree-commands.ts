import { randomBytes } from 'node:crypto';
import { Failure } from '../errors.js';
import { anyExitCode, type HostStream } from '../hosts/host.js';
import { ownMark, sweepLeft } from '../hosts/leftovers.js';
import { linesOf } from './lines.js';
import type { FollowJob, OffsitePlace } from './offsite.js';
import { type ListedFile, readListLine } from './tree-layout.js';
import type { TreeTransport } from './tree-transport.js';

/** A tree of files as one host sees it, and the commands that all who work on it need. */
export interface Tree {
  /** The off-site's name. */
  readonly name: string;
  readonly place: OffsitePlace;
  readonly transport: TreeTransport;
}

/** Milliseconds: a listing of a place that answers slowly, a thousand files fetched over a thin line. */
const listTimeoutMs = 600_000;
export const longTimeoutMs = 24 * 3_600_000;

/** The files below a folder. @throws what `TreeTransport.failureOf` says, rather than give a list that is not complete. */
export async function listTree(tree: Tree, folder: string, depth?: number): Promise<ListedFile[]> {
  const { host, as } = tree.place;
  const listed = await host.run(await tree.transport.listArgv(folder, depth), {
    ...{ as, okCodes: anyExitCode, timeoutMs: listTimeoutMs, maxOutputBytes: 64 << 20 },
  });
  if (listed.exitCode !== 0) throw tree.transport.failureOf(listed.exitCode, listed.stderr);
  return listed.stdout.split('\n').flatMap((line) => readListLine(line) ?? []);
}

/** The same for a folder with more files than one wants to hold. */
export async function* streamTree(tree: Tree, folder: string, depth?: number): AsyncIterable<ListedFile> {
  const { host, as } = tree.place;
  const listing = await host.stream(await tree.transport.listArgv(folder, depth), { as });
  try {
    for await (const line of linesOf(listing.stdout)) {
      const file = readListLine(line);
      if (file !== undefined) yield file;
    }
    const { exitCode, stderr } = await listing.completed;
    if (exitCode !== 0) throw tree.transport.failureOf(exitCode, stderr);
  } finally {
    listing.kill();
  }
}

/**
 * A file as it is stored. Its `completed` ends with another exit code than 0 when the file is not there or damaged.
 *
 * @param bytes that it has, when known.
 * @throws `completed` rejects when the place cannot give it now, and might another time.
 */
export async function readTree(tree: Tree, path: string, bytes?: number): Promise<HostStream> {
  const { folder, remove } = await makeScratch(tree);
  const open = async () => {
    const { host, as } = tree.place;
    return host.stream(await tree.transport.readArgv(path, folder, bytes), { as });
  };
  const read = await open().catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  let killed = false;
  const completed = read.completed.finally(remove).then((ended) => {
    if (ended.exitCode === 0 || killed) return ended;
    const failure = tree.transport.failureOf(ended.exitCode, ended.stderr);
    if (failure instanceof Failure && ['NotFound', 'VerifyFailed'].includes(failure.type)) return ended;
    throw failure;
  });
  completed.catch(() => undefined); // heard by whoever reads to the end
  return {
    stdout: read.stdout,
    completed,
    kill: () => {
      killed = true;
      read.kill();
    },
  };
}

/** A small file's text; null when it is not there or does not come whole. */
export async function readText(tree: Tree, path: string): Promise<string | null> {
  const { stdout, completed } = await readTree(tree, path);
  const chunks: Buffer[] = [];
  for await (const chunk of stdout as AsyncIterable<Buffer>) chunks.push(chunk);
  const { exitCode } = await completed;
  return exitCode === 0 ? Buffer.concat(chunks).toString('utf8') : null;
}

/** Removes files of a folder there; what is not there is no error. */
export async function removeFiles(
  tree: Tree,
  folder: string,
  names: readonly string[],
  follow?: FollowJob,
): Promise<'removed' | 'append-only'> {
  if (names.length === 0) return 'removed';
  const work = follow === undefined ? {} : { name: `${jobFolder}${randomBytes(6).toString('hex')}` };
  return withScratch(
    tree,
    async (scratch) => {
      const list = `${scratch}/names`;
      await writeNames(tree, list, names);
      return tree.transport.remove(folder, list, follow ?? runNow(tree));
    },
    work,
  );
}

export async function writeNames(tree: Tree, path: string, names: readonly string[]): Promise<void> {
  const { host, as } = tree.place;
  const stdin = names.map((name) => `${name}\n`).join('');
  await host.run(['sh', '-c', 'umask 077; cat > "$1"', 'sh', path], { as, stdin });
}

/** A command that is short enough not to outlive us. */
export function runNow({ place }: Tree): FollowJob {
  return async (_step, argv, { okCodes = [0], as = place.as, env = {}, cwd = '/' }) => {
    const { exitCode, stdout, stderr } = await place.host.run(argv, {
      ...{ as, env, cwd, okCodes, timeoutMs: longTimeoutMs },
    });
    return { exitCode, stdoutTail: stdout, stderrTail: stderr };
  };
}

/** What the folders of calls begin with, in the place's work folder. */
const callFolder = 'call.';
/** The same of what a job reads, which outlives us: it says of no process that it is his, and goes when it is old. */
const jobFolder = 'job-';

/** Removes what calls of killed processes have left in a place's work folder. */
export function sweepCalls({ host, as, work }: Pick<OffsitePlace, 'host' | 'as' | 'work'>): Promise<void> {
  const ours = (name: string) => name.startsWith(callFolder) || name.startsWith(jobFolder);
  return sweepLeft(host, work, ours, as);
}

/** A private folder for the length of a call. */
export async function withScratch<T>(
  tree: Tree,
  use: (folder: string) => Promise<T>,
  { name = `${callFolder}${ownMark()}` }: { name?: string } = {},
): Promise<T> {
  const { folder, remove } = await makeScratch(tree, name);
  try {
    return await use(folder);
  } finally {
    await remove();
  }
}

async function makeScratch(
  { place }: Tree,
  name = `${callFolder}${ownMark()}`,
): Promise<{ folder: string; remove: () => Promise<void> }> {
  const { host, as, work } = place;
  const folder = `${work}/${name}`;
  await host.run(['sh', '-c', 'umask 077; mkdir -p -- "$1" && mkdir -- "$2"', 'sh', work, folder], { as });
  return {
    folder,
    remove: async () => {
      await host.run(['rm', '-rf', '--', folder], { as, timeoutMs: 600_000 });
    },
  };
}
