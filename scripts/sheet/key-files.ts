import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createPublicKey } from 'node:crypto';
import ssh2 from 'ssh2';
import { keyName, signingPublicKeyFile } from '../../src/backups/signature.js';
import type { Configuration, OffsiteConfig } from '../../src/config/configuration.js';
import { offsiteFiles } from '../../src/config/offsite-files.js';
import { fingerprint, linesFor, parseKnownHosts } from '../../src/hosts/known-hosts.js';
import { present } from '../../src/present.js';
import type { SheetFile } from './facts.js';

/** Where everything lies on the new server. */
export const newFolder = '/etc/permafrost';

/** The files of an off-site: by their key in the configuration, what they are called on the new server and in words. */
const known: Readonly<Record<string, readonly [string, string]>> = {
  passwordFile: ['password', 'the password of the repository'],
  identityFile: ['ssh-key', 'the private key of SSH'],
  knownHosts: ['known-hosts', 'the keys of its host'],
  environmentFile: ['environment', 'the credentials of the place'],
  configFile: ['rclone.conf', "rclone's configuration, with the passwords of its crypt"],
  configPasswordFile: ['rclone-password', "the password of rclone's configuration"],
  ageIdentityFile: ['age-key', 'the private key of age, which opens the backups'],
};

export interface OffsiteKeys {
  /** By their key in the configuration. */
  readonly files: ReadonlyMap<string, SheetFile>;
  /** Files that other files name; they lie on the new server where they lie here. */
  readonly named: readonly SheetFile[];
  readonly missing: readonly string[];
}

/** The files that open an off-site, all of them read. What is not here, or cannot be read, is told in `missing`. */
export async function offsiteKeys(offsite: OffsiteConfig): Promise<OffsiteKeys> {
  const { name } = offsite;
  const files = new Map<string, SheetFile>();
  const missing: string[] = [];
  const server = sshServerOf(offsite);
  for (const { key, path, secret } of offsiteFiles(offsite)) {
    const [called, what] = known[key] ?? [key, key];
    const whole = await readFile(path).catch(() => undefined);
    if (whole === undefined) missing.push(`${path}, ${what} of ${name}, could not be read here`);
    const content = whole && key === 'knownHosts' && server ? linesOnly(whole, server) : whole;
    files.set(
      key,
      present({
        ...{ path: `${newFolder}/${name}.${called}`, from: path, what: `${name}: ${what}`, secret },
        ...{ content, fingerprint: content && fingerprintOf(key, content) },
      }),
    );
  }
  if (server !== undefined) await addSsh(offsite, server, files, missing);
  if (offsite.kind === 'rsync' && offsite.encrypted && offsite.ageIdentityFile === undefined) {
    const [called, what] = known['ageIdentityFile'] ?? [];
    const path = `${newFolder}/${name}.${called ?? ''}`;
    const of = offsite.recipients.join(' or ');
    files.set('ageIdentityFile', { path, what: `${name}: ${what ?? ''}`, secret: true, fingerprint: of });
    missing.push(
      `the private key of ${of}, without which nothing of ${name} opens, is not on this machine: put it into ${path} yourself`,
    );
  }
  const conf = offsite.kind === 'rclone' ? files.get('configFile')?.content : undefined;
  const named = conf === undefined ? [] : await filesNamedIn(name, conf.toString('utf8'), missing);
  return { files, named, missing };
}

interface SshServer {
  readonly address: string;
  readonly port: number;
}

/** The server behind an off-site that our tools reach by SSH with a known_hosts file. */
export function sshServerOf(offsite: OffsiteConfig): SshServer | undefined {
  if (offsite.kind === 'rclone') return undefined;
  if (offsite.kind === 'rsync') {
    const address = /@(.+?):/.exec(offsite.target)?.[1];
    return address === undefined ? undefined : { address, port: offsite.port };
  }
  if (offsite.repository.startsWith('sftp://')) {
    const { hostname, port } = new URL(offsite.repository);
    return { address: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 22 : Number(port) };
  }
  const address = /^sftp:(?:[^@/:]+@)?([^@/:]+):/.exec(offsite.repository)?.[1];
  return address === undefined ? undefined : { address, port: 22 };
}

/** What a new server would not know by itself: the host's key from ~/.ssh, and that a default key was used. */
async function addSsh(
  { name }: OffsiteConfig,
  server: SshServer,
  files: Map<string, SheetFile>,
  missing: string[],
): Promise<void> {
  if (!files.has('identityFile'))
    missing.push(
      `${name} opens SSH with an agent's key, or one of ~/.ssh, which is not on this sheet: name it in the configuration (identityFile)`,
    );
  if (files.has('knownHosts')) return;
  const from = join(homedir(), '.ssh', 'known_hosts');
  const all = await readFile(from).catch(() => Buffer.alloc(0));
  const content = linesOnly(all, server);
  const [called = '', what = ''] = known['knownHosts'] ?? [];
  if (content.length > 0) {
    const path = `${newFolder}/${name}.${called}`;
    files.set('knownHosts', { path, from, what: `${name}: ${what}`, secret: false, content, fromHome: true });
  } else
    missing.push(
      `the key of ${server.address}, the server of ${name}, is in no file that this sheet could take it from: name one in the configuration (knownHosts)`,
    );
}

/** Of a known_hosts file the lines of one server. */
function linesOnly(whole: Buffer, { address, port }: SshServer): Buffer {
  const text = whole.toString('utf8').split(/\r?\n/);
  const numbers = linesFor(parseKnownHosts(whole.toString('utf8')), address, port).map(({ line }) => line);
  return Buffer.from(numbers.map((number) => `${text[number - 1] ?? ''}\n`).join(''));
}

/** rclone's configuration names files of its own (`key_file`, `service_account_file`, …). */
async function filesNamedIn(name: string, conf: string, missing: string[]): Promise<SheetFile[]> {
  if (/^RCLONE_ENCRYPT_/m.test(conf)) return [];
  const named = [...conf.matchAll(/^\s*(\w*file\w*)\s*=\s*(\/\S.*?)\s*$/gm)];
  return Promise.all(
    named.map(async ([, key = '', path = '']) => {
      const content = await readFile(path).catch(() => undefined);
      if (content === undefined)
        missing.push(`${path}, ${key} of ${name}'s rclone.conf, could not be read here`);
      const what = `${name}: ${key} of its rclone.conf`;
      return present({ path, from: path, what, secret: !key.includes('known_hosts'), content });
    }),
  );
}

function fingerprintOf(key: string, content: Buffer): string | undefined {
  if (key === 'identityFile') {
    const [parsed] = [ssh2.utils.parseKey(content)].flat();
    return parsed === undefined || parsed instanceof Error ? undefined : fingerprint(parsed.getPublicSSH());
  }
  if (key === 'ageIdentityFile') return /^# public key: (\S+)/m.exec(content.toString('utf8'))?.[1];
  return undefined;
}

/** The public keys whose signatures on manifests count, as files for `trustedKeys` of the new server. */
export async function signingKeyFiles({
  state,
  trustedKeys,
}: Pick<Configuration, 'state' | 'trustedKeys'>): Promise<SheetFile[]> {
  const paths = [join(state, signingPublicKeyFile), ...trustedKeys];
  const read = await Promise.all(paths.map((path) => readFile(path).catch(() => undefined)));
  return read.flatMap((content, index) => {
    const from = paths[index];
    if (content === undefined || from === undefined) return [];
    const name = keyName(createPublicKey(content));
    return [
      {
        ...{
          path: `${newFolder}/signing-${name}.pub`,
          from,
          what: `the public key ${name} that manifests are signed with`,
        },
        ...{ secret: false, content, fingerprint: name },
      },
    ];
  });
}
