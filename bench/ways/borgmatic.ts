import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { stringify } from 'yaml';
import { type Ground, scriptedWay } from './script.js';
import type { Way } from './way.js';

/** borgmatic with its own PostgreSQL hook, between the stop and the start. The configuration of borgmatic ≥ 1.8. */
export function borgmatic(ground: Ground): Way {
  const { instance, folder } = ground;
  const { host, port, user, name, password } = instance.database;
  const place = join(folder, 'repository');
  const config = join(folder, 'borgmatic.yaml');
  const run = (...words: string[]) =>
    execa('borgmatic', ['--config', config, '--verbosity', '-1', ...words], {
      env: { BORG_BASE_DIR: join(folder, 'borg'), BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes' },
    });
  const prepare = async () => {
    await mkdir(join(folder, 'borg'), { recursive: true });
    const settings = {
      source_directories: [instance.envFile, join(instance.root, 'public', 'system')],
      repositories: [{ path: place }],
      encryption_passphrase: 'bench',
      postgresql_databases: [{ name, hostname: host, port, username: user, password }],
    };
    await writeFile(config, stringify(settings), { mode: 0o600 });
    await run('init', '--encryption', 'repokey-blake2');
  };
  return scriptedWay(ground, { prepare, work: () => run('create') }, place);
}
