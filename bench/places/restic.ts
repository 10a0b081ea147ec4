import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { toolPath } from '../../src/hosts/tools.js';
import type { Place } from './place.js';

/** A folder for a restic repository. Who fills it first makes the repository. */
export async function resticPlace(base: string): Promise<Place> {
  const folder = join(base, 'vault');
  const passwordFile = join(base, 'vault.password');
  await mkdir(folder, { recursive: true });
  await writeFile(passwordFile, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
  const restic = (...words: string[]) =>
    execa(toolPath('restic').path, ['--repo', folder, '--quiet', ...words], {
      env: { RESTIC_PASSWORD_FILE: passwordFile, RESTIC_CACHE_DIR: join(base, 'cache') },
    });
  return {
    kind: 'restic',
    folder,
    config: { kind: 'restic', repository: folder, passwordFile },
    async copy(from, without) {
      if (!existsSync(join(folder, 'config'))) await restic('init');
      await restic('backup', '--exclude', join(from, without), from);
    },
    close: () => Promise.resolve(),
  };
}
