import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { Failure } from '../errors.js';

/** Workflow code is the SDK's (about 1.6 MB with its source map) and ours (0.5 MB). More means that something else got in. */
export const MAX_BUNDLE_BYTES = 2.5 * 1024 * 1024;

/** `.ts` under a test runner, `.js` when compiled: the workflows beside this file are of the same kind. */
const here = fileURLToPath(import.meta.url);
const sources = dirname(dirname(here));
const compiled = extname(here) === '.js';
const extension = compiled ? 'js' : 'ts';
const workflowsPath = join(sources, 'workflows', `index.${extension}`);
const builtFile = join(sources, compiled ? '../workflow-bundle.js' : '../dist/workflow-bundle.js');

/** What workflow code may import at run time. */
const bundledSources = ['workflows', 'backups', `errors.${extension}`].map((name) => join(sources, name));

export type WorkflowBundle = { readonly codePath: string } | { readonly code: string };

/**
 * The workflows' code for a worker or a replay: the file that `npm run build` made, or, when that is missing or older
 * than its sources, a bundle made now (about a second).
 */
export async function workflowBundle(): Promise<WorkflowBundle> {
  return isCurrent(builtFile) ? { codePath: builtFile } : { code: await bundleCode(workflowsPath) };
}

/**
 * Bundles the workflows of a module and writes them to a file, whole or not at all.
 *
 * @throws Failure `Unexpected` when the bundle is larger than 2.5 MiB.
 */
export async function buildWorkflowBundle(
  from: string = workflowsPath,
  to: string = builtFile,
): Promise<string> {
  const code = await bundleCode(from);
  await mkdir(dirname(to), { recursive: true });
  await writeFile(`${to}.${process.pid}.tmp`, code);
  await rename(`${to}.${process.pid}.tmp`, to);
  return to;
}

async function bundleCode(from: string): Promise<string> {
  const { code } = await bundleWorkflowCode({ workflowsPath: from, logger: new DefaultLogger('ERROR') });
  const bytes = Buffer.byteLength(code);
  if (bytes > MAX_BUNDLE_BYTES) {
    throw new Failure(
      'Unexpected',
      `The workflows' bundle has ${bytes} bytes, more than ${MAX_BUNDLE_BYTES}`,
      {
        next: 'Look for an import in src/workflows that is not for its types alone.',
      },
    );
  }
  return code;
}

function isCurrent(file: string): boolean {
  return existsSync(file) && statSync(file).mtimeMs >= Math.max(...bundledSources.map(newestChange));
}

/** Milliseconds since the epoch of the last change of a file or of anything in a folder; 0 when it is not there. */
function newestChange(path: string): number {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || stats.isFile()) return stats?.mtimeMs ?? 0;
  return Math.max(0, ...readdirSync(path).map((name) => newestChange(join(path, name))));
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === here) {
  await buildWorkflowBundle();
}
