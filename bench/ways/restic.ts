import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { toolPath } from '../../src/hosts/tools.js';
import { dumpTo, type Ground, scriptedWay } from './script.js';
import type { Way } from './way.js';

/** A plain script with restic: stop, `pg_dump -Fc`, `restic backup` of the dump, the configuration and the media, start. */
export function resticScript(ground: Ground): Way {
  const { instance, folder } = ground;
  const place = join(folder, 'repository');
  const spool = join(folder, 'spool');
  const dump = join(spool, 'database.dump');
  const restic = (...words: string[]) =>
    execa(toolPath('restic').path, ['--repo', place, '--quiet', ...words], {
      env: { RESTIC_PASSWORD: 'bench', RESTIC_CACHE_DIR: join(folder, 'cache') },
    });
  const prepare = async () => {
    await mkdir(spool, { recursive: true });
    await restic('init');
  };
  const work = async () => {
    await dumpTo(dump, instance);
    await restic('backup', dump, instance.envFile, join(instance.root, 'public', 'system'));
  };
  return scriptedWay(ground, { prepare, work }, place);
}
