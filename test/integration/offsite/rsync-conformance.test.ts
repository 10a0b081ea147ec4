import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { RsyncConfig } from '../../../src/config/configuration.js';
import { makeKey, startSshd } from '../hosts/sshd.js';
import { conformance } from './conformance.js';
import type { Place } from './ground.js';
import { quickKex } from './servers.js';

/** A folder of a server that is reached by SSH, with what is small encrypted to somebody's key. */
async function server(folder: string): Promise<Place & { config: RsyncConfig }> {
  const behind = join(folder, 'place');
  await mkdir(behind);
  const { port, identityFile, knownHosts, stop } = await startSshd({ settings: [quickKex] });
  const ageIdentityFile = join(folder, 'age.key');
  await execa('age-keygen', ['-o', ageIdentityFile]);
  const { stdout: recipient } = await execa('age-keygen', ['-y', ageIdentityFile]);
  const config: RsyncConfig = {
    ...{ kind: 'rsync', name: 'box', target: `root@127.0.0.1:${behind}`, port, identityFile, knownHosts },
    ...{ recipients: [recipient.trim()], ageIdentityFile, encrypted: true },
  };
  const nobodys = join(folder, 'nobody');
  await writeFile(nobodys, '');
  const key = async (file: string) => (await readFile(file, 'utf8')).split('\n')[2] ?? '';
  return {
    config,
    behind,
    encrypts: 'all but media',
    keyless: true,
    pool: true,
    wrong: [
      {
        ...{ what: 'another key of SSH', type: 'AuthFailed' },
        config: { ...config, identityFile: makeKey(join(folder, 'another'), 'ed25519') },
      },
      { what: 'an unknown server', config: { ...config, knownHosts: nobodys }, type: 'HostKeyRejected' },
    ],
    secrets: [await key(identityFile), await key(ageIdentityFile)],
    stop,
  };
}

conformance('rsync', server);
