import { readFile } from 'node:fs/promises';
import { Client, type ConnectConfig } from 'ssh2';
import { Failure } from '../errors.js';
import { hostKeyAlgorithms, linesFor, parseKnownHosts, rejection } from './known-hosts.js';
import { credentials } from './ssh-auth.js';

export interface SshAddress {
  /** `user@address`, for messages. */
  readonly host: string;
  readonly user: string;
  readonly address: string;
  readonly port: number;
  readonly identityFile: string | undefined;
  readonly passphraseFile: string | undefined;
  readonly knownHosts: string;
}

/** A connection is alive while it answers one of three questions, 15 s apart: a dead one is noticed within a minute. */
const keepAlive = { keepaliveInterval: 15_000, keepaliveCountMax: 3 };
const readyTimeoutMs = 20_000;

/**
 * Connects and logs in. The key that the host shows must be in the known_hosts file.
 *
 * @throws Failure `HostUnreachable`, `HostKeyRejected`, `AuthFailed`
 */
export async function connect(to: SshAddress): Promise<Client> {
  const { host, address, port, user, knownHosts } = to;
  const lines = linesFor(parseKnownHosts(await readIfThere(knownHosts)), address, port);
  let rejected: Failure | undefined;
  const config: ConnectConfig = {
    ...(await credentials(to)),
    ...keepAlive,
    host: address,
    port,
    username: user,
    readyTimeout: readyTimeoutMs,
    algorithms: {
      serverHostKey: hostKeyAlgorithms(lines) as NonNullable<
        NonNullable<ConnectConfig['algorithms']>['serverHostKey']
      >,
      // With AES in hardware this is the fastest; the others stay as they are.
      cipher: { prepend: ['aes128-gcm@openssh.com'], append: [], remove: [] },
    },
    hostVerifier: (key: Buffer) => {
      rejected = rejection(lines, { host, address, port, key, file: knownHosts });
      return rejected === undefined;
    },
  };
  const client = new Client();
  client.setMaxListeners(0); // a few for each session
  return new Promise((resolve, reject) => {
    client.once('ready', () => {
      client.removeAllListeners('error');
      // After this, what goes wrong shows as the end of the connection.
      client.on('error', () => client.destroy());
      resolve(client);
    });
    client.once('error', (error) => {
      client.on('error', () => undefined);
      client.destroy();
      reject(rejected ?? explained(error, to));
    });
    client.once('close', () => reject(rejected ?? unreachable(to, 'the connection was closed')));
    client.connect(config);
  });
}

function explained(error: Error & { level?: string; code?: string }, to: SshAddress): Failure {
  if (error.level === 'client-authentication')
    return new Failure('AuthFailed', `${to.host} does not accept our key for ${to.user}.`, {
      host: to.host,
      next:
        `Put the public half of ${to.identityFile ?? "the agent's key"} into ~${to.user}/.ssh/authorized_keys there, ` +
        `and try: ssh -p ${to.port} ${to.user}@${to.address} true`,
      cause: error,
    });
  return unreachable(to, error.code ?? error.message, error);
}

function unreachable(to: SshAddress, why: string, cause?: Error): Failure {
  return new Failure(
    'HostUnreachable',
    `${to.host} cannot be reached at ${to.address}, port ${to.port}: ${why}.`,
    {
      host: to.host,
      next: 'See whether the machine is up, sshd runs there, and no firewall is in between.',
      cause,
    },
  );
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw new Failure('ConfigInvalid', `The known_hosts file ${file} cannot be read.`, {
      next: 'Check the path and that the user of the worker may read it.',
      cause: error,
    });
  }
}
