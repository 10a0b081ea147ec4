import { Client } from 'ssh2';
import type { ConnectConfig } from 'ssh2';
import { Failure } from '../errors.js';
import { fingerprint, hostKeyAlgorithms, keyType, nameInFile, shortType } from './known-hosts.js';

/** Keys that a host shows to anybody who asks: not trusted before somebody has compared a fingerprint. */

export interface ShownHostKey {
  /** `ssh-ed25519`, … */
  readonly type: string;
  /** `ed25519`, …: the file on the host is ssh_host_ed25519_key.pub. */
  readonly shortType: string;
  /** `SHA256:…`, as ssh-keygen -l prints it. */
  readonly fingerprint: string;
  /** A line for a known_hosts file. */
  readonly line: string;
}

/** One connection asks for one key: a server shows the first of its keys that the other side takes. */
const kinds = [
  ['ssh-ed25519'],
  ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
  ['ssh-rsa'],
];
const patienceMs = 15_000;

/**
 * Asks a host for its keys, the preferred one first, without logging in.
 *
 * @throws Failure `HostUnreachable`
 */
export async function askHostKeys(address: string, port: number): Promise<ShownHostKey[]> {
  const asked = await Promise.allSettled(kinds.map((types) => askKey(address, port, types)));
  const keys = asked.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  if (keys.length > 0) return keys.map((key) => shown(address, port, key));
  const [first] = asked;
  const why =
    first?.status === 'rejected' && first.reason instanceof Error ? first.reason.message : 'unknown';
  throw new Failure(
    'HostUnreachable',
    `${nameInFile(address, port)} does not answer as an SSH server: ${why}`,
    {
      next: `Check the address and the port, and try: ssh -p ${String(port)} ${address}`,
    },
  );
}

function shown(address: string, port: number, key: Buffer): ShownHostKey {
  const type = keyType(key);
  return {
    type,
    shortType: shortType(key),
    fingerprint: fingerprint(key),
    line: `${nameInFile(address, port)} ${type} ${key.toString('base64')}`,
  };
}

function askKey(address: string, port: number, types: readonly string[]): Promise<Buffer> {
  const algorithms = hostKeyAlgorithms([]).filter((name) =>
    types.includes(name.startsWith('rsa-') ? 'ssh-rsa' : name),
  );
  const client = new Client();
  return new Promise((resolve, reject) => {
    let key: Buffer | undefined;
    const done = (error: Error) => {
      client.on('error', () => undefined);
      client.destroy();
      if (key === undefined) reject(error);
      else resolve(key);
    };
    client.once('error', done);
    client.once('close', () => done(new Error('the connection was closed')));
    client.connect({
      host: address,
      port,
      username: 'nobody',
      readyTimeout: patienceMs,
      algorithms: {
        serverHostKey: algorithms as NonNullable<NonNullable<ConnectConfig['algorithms']>['serverHostKey']>,
      },
      // Nothing is said to a host that nobody knows yet, not even a name.
      hostVerifier: (offered: Buffer) => {
        key = offered;
        return false;
      },
    });
  });
}
