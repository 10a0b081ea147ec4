import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { toolPath } from '../../src/hosts/tools.js';
import type { Place } from './place.js';

/** A folder with rclone's `crypt` on it. */
export async function rclonePlace(base: string): Promise<Place> {
  const folder = join(base, 'bucket');
  const configFile = join(base, 'rclone.conf');
  await mkdir(folder, { recursive: true });
  const { path: rclone } = toolPath('rclone');
  const obscured = async () =>
    (await execa(rclone, ['obscure', '-'], { input: randomBytes(24).toString('base64url') })).stdout;
  const lines = ['[crypt]', 'type = crypt', `remote = ${folder}`];
  lines.push(`password = ${await obscured()}`, `password2 = ${await obscured()}`);
  await writeFile(configFile, `${lines.join('\n')}\n`, { mode: 0o600 });
  return {
    kind: 'rclone',
    folder,
    config: { kind: 'rclone', remote: 'crypt:mastodon', configFile },
    async copy(from, without) {
      await execa(rclone, [
        ...['--config', configFile, '--quiet'],
        ...['copy', '--exclude', `/${without}/**`, from, 'crypt:media'],
      ]);
    },
    close: () => Promise.resolve(),
  };
}
