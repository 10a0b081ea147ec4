import { createHash, createHmac } from 'node:crypto';
import { Failure } from '../errors.js';

/**
 * Host keys, checked against a known_hosts file as OpenSSH reads it (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
 * There is no way to switch the check off.
 */

export interface KnownHost {
  /** Counted from 1. */
  readonly line: number;
  readonly revoked: boolean;
  /** The first field: patterns separated by commas, or one hashed name. */
  readonly names: string;
  /** `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, … */
  readonly type: string;
  /** The public key as on the wire. */
  readonly key: Buffer;
}

/** Reads a known_hosts file. Comments, lines that are no keys, and `@cert-authority` lines are passed over. */
export function parseKnownHosts(text: string): KnownHost[] {
  return text.split(/\r?\n/).flatMap((content, index) => {
    const fields = content.trim().split(/[ \t]+/);
    const marker = fields[0]?.startsWith('@') === true ? fields.shift() : undefined;
    const [names, type, encoded] = fields;
    if (names === undefined || names.startsWith('#') || type === undefined || encoded === undefined)
      return [];
    if (marker !== undefined && marker !== '@revoked') return [];
    const key = Buffer.from(encoded, 'base64');
    if (keyType(key) !== type) return [];
    return [{ line: index + 1, revoked: marker === '@revoked', names, type, key }];
  });
}

/** The lines that speak of a host. `address` as the user writes it: a name or an IP address. */
export function linesFor(known: readonly KnownHost[], address: string, port: number): KnownHost[] {
  const name = nameInFile(address, port);
  return known.filter((line) => namesMatch(line.names, name));
}

/** What a host is called in the file: `host`, or `[host]:port` when the port is not 22. */
export function nameInFile(address: string, port: number): string {
  const host = address.toLowerCase();
  return port === 22 ? host : `[${host}]:${port}`;
}

/** `SHA256:…`, as ssh-keygen -l prints it. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** The type that a public key says it is; empty when it is none. */
export function keyType(key: Buffer): string {
  if (key.length < 4) return '';
  const length = key.readUInt32BE(0);
  return length > 64 || key.length < 4 + length ? '' : key.toString('latin1', 4, 4 + length);
}

/**
 * The host key algorithms to ask a server for, those of keys in the file first: of its several keys it then shows one
 * that can be compared. SHA-1 signatures are not accepted.
 */
export function hostKeyAlgorithms(lines: readonly KnownHost[]): string[] {
  const all: Record<string, readonly string[]> = {
    'ssh-ed25519': ['ssh-ed25519'],
    'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
    'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
    'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
    'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
  };
  const types = new Set(lines.filter((line) => !line.revoked).map((line) => line.type));
  const known = Object.entries(all).filter(([type]) => types.has(type));
  const others = Object.entries(all).filter(([type]) => !types.has(type));
  return [...known, ...others].flatMap(([, algorithms]) => algorithms);
}

export interface ShownKey {
  /** How messages call the host. */
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly key: Buffer;
  /** The known_hosts file that `lines` come from. */
  readonly file: string;
}

/** Why a shown key is not accepted; undefined when it is. `lines` are those of this host (`linesFor`). */
export function rejection(lines: readonly KnownHost[], shown: ShownKey): Failure | undefined {
  const { host, key, file } = shown;
  const what = `a ${keyType(key)} key with the fingerprint ${fingerprint(key)}`;
  const revoked = lines.find((line) => line.revoked && line.key.equals(key));
  if (revoked !== undefined)
    return new Failure(
      'HostKeyRejected',
      `${host} shows ${what}, which ${file}:${revoked.line} has @revoked.`,
      {
        host,
        next: 'Do not connect. Somebody may be using a stolen key: ask whoever runs the host.',
      },
    );
  const trusted = lines.filter((line) => !line.revoked);
  if (trusted.some((line) => line.key.equals(key))) return undefined;
  return trusted.length === 0 ? unknownHost(shown, what) : changedKey(shown, what, trusted);
}

function unknownHost({ host, address, port, key, file }: ShownKey, what: string): Failure {
  return new Failure('HostKeyRejected', `${host} is not in ${file}. It shows ${what}.`, {
    host,
    next:
      `On the host itself run "ssh-keygen -lf /etc/ssh/ssh_host_${shortType(key)}_key.pub". When it prints that ` +
      `fingerprint: ssh-keyscan -p ${port} -t ${shortType(key)} ${address} >> ${file}, ` +
      `and compare once more with ssh-keygen -lF '${nameInFile(address, port)}' -f ${file}`,
  });
}

function changedKey(
  { host, address, port, file }: ShownKey,
  what: string,
  trusted: readonly KnownHost[],
): Failure {
  const expected = trusted
    .map((line) => `${fingerprint(line.key)} (${line.type}, ${file}:${line.line})`)
    .join(', ');
  return new Failure(
    'HostKeyRejected',
    `The key of ${host} has changed: it shows ${what}; known is ${expected}.`,
    {
      host,
      next:
        `Either the host was set up anew or somebody is in between: ask whoever runs it. When the new key is right: ` +
        `ssh-keygen -R '${nameInFile(address, port)}' -f ${file}, then add the new one.`,
    },
  );
}

/** `ed25519`: as ssh-keygen and the names of key files have it. */
export function shortType(key: Buffer): string {
  const type = keyType(key);
  if (type.startsWith('ecdsa-')) return 'ecdsa';
  return type.replace(/^ssh-/, '');
}

function namesMatch(names: string, name: string): boolean {
  if (names.startsWith('|')) return hashedNameMatches(names, name);
  let found = false;
  for (const pattern of names.split(',')) {
    const negated = pattern.startsWith('!');
    if (!wildcard(negated ? pattern.slice(1) : pattern).test(name)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

/** `|1|salt|hash`: HMAC-SHA1 of the name with the salt as key, both in base64 (ssh-keygen -H). */
function hashedNameMatches(names: string, name: string): boolean {
  const [, version, salt, hash] = names.split('|');
  if (version !== '1' || salt === undefined || hash === undefined) return false;
  const made = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
  return made.equals(Buffer.from(hash, 'base64'));
}

/** `*` is any run of characters, `?` is one; everything else, brackets too, is itself. */
function wildcard(pattern: string): RegExp {
  const source = pattern
    .toLowerCase()
    .replaceAll(/[\\^$.*+?()[\]{}|]/g, (c) => (c === '*' ? '.*' : c === '?' ? '.' : `\\${c}`));
  return new RegExp(`^${source}$`, 's');
}
