import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { ResticConfig } from '../../../src/config/configuration.js';
import { toolPath } from '../../../src/hosts/tools.js';
import { startSshd } from '../hosts/sshd.js';
import { conformance } from './conformance.js';
import { domain, type Place } from './ground.js';
import { makeKeysQuick } from './quick-keys.js';
import { quickKex, serveRestic, serveS3 } from './servers.js';

const password = 'a long password of restic';
const server = { user: 'permafrost', key: 'AKPERMAFROST', secret: 'the-secret-of-the-server' };

/** A repository that lies in `<folder>/bucket/repository`, as it is reached from there. */
async function repository(
  folder: string,
  reached: Pick<ResticConfig, 'repository' | 'identityFile' | 'knownHosts'> & { environment?: string },
  more: Partial<Place> = {},
): Promise<Place> {
  const { environment, ...way } = reached;
  const behind = join(folder, 'bucket/repository');
  const file = async (name: string, content: string) => {
    await writeFile(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const config: ResticConfig = {
    ...{ kind: 'restic', name: 'vault', passwordFile: await file('password', `${password}\n`) },
    ...way,
    ...(environment === undefined ? {} : { environmentFile: await file('environment', environment) }),
  };
  return {
    config,
    behind,
    ...{ encrypts: 'all', pool: false },
    wrong: [
      {
        ...{ what: 'another password', type: 'AuthFailed' },
        config: { ...config, passwordFile: await file('wrong', 'not it\n') },
      },
      ...(more.wrong ?? []),
    ],
    secrets: [password, 'not it', server.secret],
    created: () => makeKeysQuick(behind, password),
    replay: async (manifest, backup) => {
      const tags = ['--host', domain, '--tag', `permafrost,backup=${backup},part=manifest`];
      const words = [
        '-r',
        behind,
        '-p',
        config.passwordFile,
        'backup',
        '--stdin',
        '--stdin-filename',
        'manifest.json',
      ];
      await execa(toolPath('restic').path, [...words, ...tags], { input: manifest });
    },
    ...(more.stop === undefined ? {} : { stop: more.stop }),
    ...(more.appendOnly === undefined ? {} : { appendOnly: more.appendOnly }),
  };
}

conformance('restic in a folder', async (folder) =>
  repository(folder, { repository: join(folder, 'bucket/repository') }),
);

conformance(
  'restic over sftp',
  async (folder) => {
    const { port, identityFile, knownHosts, stop } = await startSshd({
      settings: ['Subsystem sftp internal-sftp', quickKex],
    });
    const url = `sftp://root@127.0.0.1:${String(port)}/${folder}/bucket/repository`;
    return repository(folder, { repository: url, identityFile, knownHosts }, { stop });
  },
  { list: 'short' },
);

conformance(
  'restic over rest, append-only',
  async (folder) => {
    await mkdir(join(folder, 'bucket'));
    const { user, secret } = server;
    const { url, stop } = await serveRestic(join(folder, 'bucket'), {
      ...{ user, password: secret, appendOnly: true },
    });
    const environment = `RESTIC_REST_USERNAME=${user}\nRESTIC_REST_PASSWORD=${secret}\n`;
    const reached = { repository: `rest:${url}/repository/`, environment };
    return repository(folder, reached, { stop, appendOnly: true });
  },
  { list: 'short' },
);

conformance(
  'restic on S3',
  async (folder) => {
    await mkdir(join(folder, 'bucket'));
    const { url, stop } = await serveS3(folder, server);
    const environment = `AWS_ACCESS_KEY_ID=${server.key}\nAWS_SECRET_ACCESS_KEY=${server.secret}\n`;
    return repository(folder, { repository: `s3:${url}/bucket/repository`, environment }, { stop });
  },
  { list: 'short' },
);
