import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's folder, from the sources as well as from dist/. */
export const projectFolder = findProject(dirname(fileURLToPath(import.meta.url)));

/** Where the sample's own files are that are not compiled: the schema and the services. */
export const sampleFolder = join(projectFolder, 'sample');

function findProject(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder;
  const parent = dirname(folder);
  if (parent === folder) throw new Error('package.json is in no folder above this one');
  return findProject(parent);
}
