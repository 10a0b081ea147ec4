import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { shellLine } from '../../src/hosts/quote.js';
import { toolPath } from '../../src/hosts/tools.js';

/**
 * Puts a restic that sends no faster than this first on this process's PATH: an off-site in the next folder is filled
 * before anybody has seen how far it is.
 */
export async function slowDown(folder: string, kibibytesPerSecond: number): Promise<void> {
  const restic = shellLine([toolPath('restic').path, '--limit-upload', String(kibibytesPerSecond)]);
  await mkdir(folder);
  await writeFile(join(folder, 'restic'), `#!/bin/sh\nexec ${restic} "$@"\n`, { mode: 0o755 });
  process.env['PATH'] = `${folder}${delimiter}${process.env['PATH'] ?? ''}`;
}
