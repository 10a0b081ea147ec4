import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { RcloneConfig } from '../../../src/config/configuration.js';
import { toolPath } from '../../../src/hosts/tools.js';
import { startSshd } from '../hosts/sshd.js';
import { conformance } from './conformance.js';
import type { Place } from './ground.js';
import { quickKex, serveS3 } from './servers.js';

const password = 'a long password of crypt';
const server = { key: 'AKPERMAFROST', secret: 'the-secret-of-the-server' };

/** A remote's section in rclone's configuration. */
function section(name: string, values: Record<string, string>): string {
  const lines = Object.entries(values).map(([key, value]) => `${key} = ${value}`);
  return [`[${name}]`, ...lines, ''].join('\n');
}

async function obscured(text: string): Promise<string> {
  return (await execa(toolPath('rclone').path, ['obscure', '-'], { input: text })).stdout;
}

async function configured(
  folder: string,
  name: string,
  sections: readonly string[],
  encrypted = true,
): Promise<RcloneConfig> {
  const configFile = join(folder, `${name}.conf`);
  await writeFile(configFile, sections.join('\n'), { mode: 0o600 });
  return { kind: 'rclone', name: 'cloud', remote: 'vault:mastodon', configFile, encrypted };
}

/** crypt on top of a remote. */
async function crypt(
  folder: string,
  under: string,
  sections: readonly string[] = [],
  name = 'rclone',
): Promise<Pick<Place, 'config' | 'encrypts' | 'pool' | 'wrong' | 'secrets'>> {
  const hidden = await obscured(password);
  const vault = (kept: string) => section('vault', { type: 'crypt', remote: under, password: kept });
  const other = await obscured('another password');
  return {
    config: await configured(folder, name, [...sections, vault(hidden)]),
    encrypts: 'all',
    pool: true,
    wrong: [
      {
        ...{ what: 'another password', type: 'AuthFailed' },
        config: await configured(folder, `${name}-wrong`, [...sections, vault(other)]),
      },
    ],
    secrets: [password, hidden, other, server.secret],
  };
}

conformance(
  'rclone in a plain folder',
  async (folder) => {
    const sections = [section('vault', { type: 'alias', remote: join(folder, 'place') })];
    const config = await configured(folder, 'rclone', sections, false);
    return {
      config,
      behind: join(folder, 'place'),
      encrypts: 'nothing',
      pool: true,
      wrong: [
        { what: 'no word on encryption', config: { ...config, encrypted: true }, type: 'ConfigInvalid' },
      ],
      secrets: [password],
    };
  },
  { list: 'short' },
);

conformance('rclone with crypt in a folder', async (folder) => ({
  ...(await crypt(folder, join(folder, 'place'))),
  behind: join(folder, 'place'),
}));

conformance(
  'rclone with crypt over sftp',
  async (folder) => {
    const { port, identityFile, knownHosts, stop } = await startSshd({
      settings: ['Subsystem sftp internal-sftp', quickKex],
    });
    const under = section('under', {
      ...{ type: 'sftp', host: '127.0.0.1', port: String(port), user: 'root' },
      ...{ key_file: identityFile, known_hosts_file: knownHosts },
    });
    const place = join(folder, 'place');
    return { ...(await crypt(folder, `under:${place}`, [under])), behind: place, stop };
  },
  { list: 'short' },
);

conformance(
  'rclone with crypt on S3',
  async (folder) => {
    const { url, stop } = await serveS3(folder, server);
    const s3 = (secret: string) =>
      section('under', {
        ...{ type: 's3', provider: 'Rclone', endpoint: url },
        ...{ access_key_id: server.key, secret_access_key: secret },
      });
    const place = await crypt(folder, 'under:bucket', [s3(server.secret)]);
    const { config } = await crypt(folder, 'under:bucket', [s3('not-the-secret')], 'not');
    return {
      ...place,
      behind: join(folder, 'bucket'),
      wrong: [...place.wrong, { what: 'another secret of S3', config, type: 'AuthFailed' }],
      stop,
    };
  },
  { list: 'short' },
);
