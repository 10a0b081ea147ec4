import { readFile, stat } from 'node:fs/promises';
import { parse } from 'yaml';
import { findConfiguration } from '../../src/config/load.js';
import type { KnownNames } from './completion-words.js';

/** No configuration is larger; what is would only make Tab slow. Bytes. */
const LARGEST = 1 << 20;

/** What may come out of Tab: a shell puts it on its command line. */
const harmless = /^[a-z0-9][a-z0-9.-]*$/;

/**
 * The instances and off-sites that a configuration names. Tab asks in every folder that somebody stands in, so this
 * reads names alone: no secrets, no environment, no complaint. A `./permafrost.yaml` that others could have put there
 * is not opened.
 *
 * @param file as given by `--config` on the line that is being typed.
 */
export async function knownNames(file: string | undefined, env: NodeJS.ProcessEnv): Promise<KnownNames> {
  try {
    const named = file ?? env['PERMAFROST_CONFIG'];
    const path = findConfiguration({ env, ...(file === undefined ? {} : { file }) });
    if (!(await mayBeRead(path, named !== undefined && named !== ''))) return nobody;
    const content: unknown = parse(await readFile(path, 'utf8'));
    return { instances: keysIn(content, 'instances'), offsites: keysIn(content, 'offsites') };
  } catch {
    return nobody;
  }
}

const nobody: KnownNames = { instances: [], offsites: [] };

async function mayBeRead(path: string, named: boolean): Promise<boolean> {
  const found = await stat(path);
  if (!found.isFile() || found.size > LARGEST) return false;
  const ours = found.uid === 0 || found.uid === process.getuid?.();
  return named || (ours && (found.mode & 0o022) === 0);
}

function keysIn(content: unknown, key: string): string[] {
  const map: unknown =
    typeof content === 'object' && content !== null ? Reflect.get(content, key) : undefined;
  return typeof map === 'object' && map !== null
    ? Object.keys(map).filter((name) => harmless.test(name))
    : [];
}
