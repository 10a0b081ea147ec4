import { join } from 'node:path';
import { execa } from 'execa';
import { dumpTo, type Ground, scriptedWay } from './script.js';
import type { Way } from './way.js';

/** The classic recipe: stop, `pg_dump -Fc`, `tar -czf` of configuration and media, start. */
export function recipe(ground: Ground): Way {
  const { instance, folder } = ground;
  const work = async () => {
    await dumpTo(join(folder, 'database.dump'), instance);
    await execa('tar', ['-czf', join(folder, 'config.tar.gz'), '-C', instance.root, '.env.production']);
    await execa('tar', ['-czf', join(folder, 'media.tar.gz'), '-C', instance.root, 'public/system']);
  };
  return scriptedWay(ground, { work }, folder);
}
