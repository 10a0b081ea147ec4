import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { Failure } from '../../src/errors.js';
import { askHostKeys, type ShownHostKey } from '../../src/hosts/host-key.js';
import { linesFor, nameInFile, parseKnownHosts } from '../../src/hosts/known-hosts.js';
import type { Output } from '../cli/output.js';
import type { Asker } from './ask.js';
import { type NewFile, textOf } from './files.js';

/** A known_hosts file that knows a host, now or when `add` is written. */
export interface TrustedHost {
  readonly file: string;
  readonly add?: NewFile;
}

export interface TrustQuestion {
  readonly address: string;
  readonly port: number;
  /** As given by a flag; then no other file is asked. */
  readonly knownHosts: string | undefined;
  /** Of the configuration that is going to be written: unknown keys are kept beside it. */
  readonly configFile: string;
  /** Fingerprints that somebody has compared already. */
  readonly accepted: readonly string[];
}

/**
 * Finds a known_hosts file that knows a host. A key that nobody knows is shown, and trusted only when somebody says so or
 * has named its fingerprint.
 *
 * @throws Failure `HostKeyRejected` when nobody does, `HostUnreachable`.
 */
export async function trustHost(
  out: Output,
  asker: Asker | undefined,
  { address, port, knownHosts, configFile, accepted }: TrustQuestion,
): Promise<TrustedHost> {
  const beside = join(dirname(configFile), 'known_hosts');
  const places = knownHosts === undefined ? [beside, join(homedir(), '.ssh', 'known_hosts')] : [knownHosts];
  for (const file of places) {
    const lines = linesFor(parseKnownHosts((await textOf(file)) ?? ''), address, port);
    // A revoked or changed key is for the connection to refuse.
    if (lines.length > 0) return { file };
  }
  const keys = await askHostKeys(address, port);
  const name = nameInFile(address, port);
  const key = await accept(out, asker, name, keys, accepted);
  const file = knownHosts ?? beside;
  return { file, add: { path: file, content: `${key.line}\n`, when: 'add' } };
}

async function accept(
  out: Output,
  asker: Asker | undefined,
  name: string,
  keys: readonly ShownHostKey[],
  accepted: readonly string[],
): Promise<ShownHostKey> {
  const wanted = accepted.map((text) =>
    text
      .trim()
      .replace(/=+$/, '')
      .replace(/^(?!SHA256:)/, 'SHA256:'),
  );
  const known = keys.find(({ fingerprint }) => wanted.includes(fingerprint));
  if (known !== undefined) return known;
  const [first] = keys;
  const list = keys.map(({ type, fingerprint }) => `${fingerprint} (${type})`).join(', ');
  if (asker === undefined || first === undefined) {
    throw new Failure('HostKeyRejected', `${name} is not in a known_hosts file. It shows ${list}.`, {
      next: `Compare that with what "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" prints on the host itself; when it is the same, say so with --accept-host-key FINGERPRINT.`,
    });
  }
  out.say(
    '',
    `${name} is not known here yet. It shows these keys:`,
    ...keys.map(({ type, fingerprint }) => `  ${fingerprint}  ${type}`),
    'Compare with what the host itself says, for instance on its console:',
    `  ssh-keygen -lf /etc/ssh/ssh_host_${first.shortType}_key.pub`,
  );
  if (await asker.yesOrNo(`Is ${first.fingerprint} its key?`, false)) return first;
  throw new Failure('HostKeyRejected', `The key of ${name} was not accepted; nothing was written.`, {
    next: 'Find out which key the host has, then start again.',
  });
}
