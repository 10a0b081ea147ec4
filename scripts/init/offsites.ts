import { randomBytes } from 'node:crypto';
import { dirname, isAbsolute, join } from 'node:path';
import ssh2 from 'ssh2';
import { offsite as offsiteSchema } from '../../src/config/schema-offsite.js';
import { Failure } from '../../src/errors.js';
import type { Host } from '../../src/hosts/host.js';
import { sharingDisk } from '../../src/hosts/space.js';
import type { Output } from '../cli/output.js';
import { type Asker, missingFlag } from './ask.js';
import { type NewFile, textOf } from './files.js';
import { trustHost } from './host-keys.js';
import type { InitOptions } from './options.js';

/** An off-site as it is going to be written, with the files that it needs. */
export interface ChosenOffsite {
  readonly name: string;
  readonly keys: Readonly<Record<string, string>>;
  /** What an operator must know or do about it, a sentence each. */
  readonly warnings: readonly string[];
  readonly files: readonly NewFile[];
  readonly passwordFile: string;
  /** null: not a folder. */
  readonly sameDisk: boolean | null;
  /** Of an SSH key that was made for it: a line for authorized_keys there. */
  readonly publicKey?: string;
}

/** Where the instances' bytes are, to compare disks with. */
export interface Surroundings {
  readonly host: Host;
  /** Roots and media folders. */
  readonly folders: readonly string[];
}

const offsiteFlag = '--offsite sftp:user@host:/folder (or rest:…, s3:…, or a folder of that host)';

/**
 * Before anything is looked at, and once more when it is known who logs in.
 *
 * @throws Failure `ConfigInvalid` for flags that cannot be right, whatever is found on the host.
 */
export function checkOffsiteFlags(
  { offsite, yes }: InitOptions,
  asker: Asker | undefined,
  facts = { sudo: false, user: '' },
): void {
  placesOf(offsite, facts);
  if (offsite.length > 0 || yes || asker !== undefined) return;
  throw missingFlag('The off-site, where the backups are kept,', offsiteFlag);
}

/**
 * The off-sites of the flags, or the answer to one question.
 *
 * @throws Failure `ConfigInvalid` naming the flag that is missing or wrong.
 */
export async function chooseOffsites(
  out: Output,
  asker: Asker | undefined,
  options: InitOptions,
  around: Surroundings,
): Promise<ChosenOffsite[]> {
  const given = options.offsite.length > 0 ? options.offsite : [await askPlace(out, asker, around)];
  const chosen: ChosenOffsite[] = [];
  // One after the other: each may ask.
  for (const place of placesOf(given, await around.host.facts())) {
    chosen.push(await provide(out, asker, options, around, place));
  }
  return chosen;
}

/** `NAME=REPOSITORY`, or a repository alone. */
function placesOf(
  given: readonly string[],
  facts: { sudo: boolean; user: string },
): { name: string; repository: string }[] {
  return given.map((text, index) => {
    const [, name = index === 0 ? 'vault' : `vault-${String(index + 1)}`, repository = text] =
      /^([a-z0-9-]{1,40})=(.+)$/.exec(text) ?? [];
    const problem = problemOf(repository, facts);
    if (problem === null) return { name, repository };
    throw new Failure('ConfigInvalid', `--offsite: ${problem}.`);
  });
}

async function askPlace(out: Output, asker: Asker | undefined, { host }: Surroundings): Promise<string> {
  const facts = await host.facts();
  const standard = facts.sudo ? undefined : await standardFolder(host, facts.root);
  if (asker === undefined) {
    if (standard !== undefined) return standard;
    throw missingFlag('The off-site, where the backups are kept,', offsiteFlag);
  }
  const where = host.name === 'local' ? 'this machine' : 'that host';
  out.say(
    '',
    'Where shall the backups be kept? Best on another machine:',
    '  sftp:user@host:/folder    rest:https://host/…    s3:https://host/bucket',
    ...(standard === undefined
      ? []
      : [`A folder on ${where} works at once, and can be joined by another later.`]),
  );
  return asker.line('Off-site:', {
    check: (answer) => problemOf(answer, facts),
    ...(standard === undefined ? {} : { standard }),
  });
}

async function standardFolder(host: Host, root: boolean): Promise<string> {
  if (root) return '/var/backups/permafrost';
  const { stdout } = await host.run(['sh', '-c', 'printf %s "$HOME"']);
  return join(stdout === '' ? '/tmp' : stdout, 'permafrost-backups');
}

/** What is wrong with a repository; null when nothing is. */
function problemOf(repository: string, facts: { sudo: boolean; user: string }): string | null {
  const keys = { kind: 'restic', repository, passwordFile: 'password' };
  const issue = offsiteSchema.safeParse(keys).error?.issues[0];
  if (issue !== undefined) return issue.message;
  if (/^\w+:/.test(repository)) {
    return repository.startsWith('sftp:') && sftpHost(repository) === null
      ? 'expected sftp:user@host:/folder, or sftp://user@host:port//folder'
      : null;
  }
  if (!isAbsolute(repository)) return 'expected a folder with its whole path, or sftp:…, rest:…, s3:…';
  if (!facts.sudo) return null;
  return `a folder cannot be filled by ${facts.user} and Mastodon's user both; expected sftp:…, rest:…, s3:…, or log in as root`;
}

async function provide(
  out: Output,
  asker: Asker | undefined,
  options: InitOptions,
  around: Surroundings,
  { name, repository }: { name: string; repository: string },
): Promise<ChosenOffsite> {
  const kind = /^\w+(?=:)/.exec(repository)?.[0] ?? 'folder';
  const passwordFile = options.passwordFile ?? join(dirname(options.output), `${name}.password`);
  const keys: Record<string, string> = { kind: 'restic', repository, passwordFile };
  const files = await newPassword(passwordFile);
  const base = { name, keys, passwordFile };
  if (kind === 'folder') {
    const folders = around.folders.filter(
      (folder) => !around.folders.some((above) => folder.startsWith(`${above}/`)),
    );
    const shared = await sharingDisk(around.host, repository, folders);
    const warnings = [folderWords(name, around.host, shared)];
    return { ...base, files, warnings, sameDisk: shared.length > 0 };
  }
  if (kind === 'sftp') {
    const sftp = await sftpKeys(out, asker, options, { name, repository });
    Object.assign(keys, sftp.keys);
    return { ...base, warnings: [], ...sftp.more, files: [...files, ...sftp.files], sameDisk: null };
  }
  const environment = await environmentFile(out, asker, options, { name, kind });
  Object.assign(keys, environment.keys);
  return { ...base, warnings: [], files: [...files, ...environment.files], sameDisk: null };
}

/** Random, unless there is one: a password that a repository may have already is never replaced. */
async function newPassword(path: string): Promise<NewFile[]> {
  const there = await textOf(path);
  if (there === null) {
    return [{ path, content: `${randomBytes(32).toString('base64')}\n`, when: 'absent' }];
  }
  if (there.trim() !== '') return [];
  throw new Failure('ConfigInvalid', `The password file ${path} is empty.`, {
    next: 'Put the password into it, or remove it, and a new one is made.',
  });
}

function folderWords(name: string, host: Host, shared: readonly string[]): string {
  const where = host.name === 'local' ? 'this machine' : host.name;
  return shared.length > 0
    ? `${name} is a folder on the same disk as ${shared.join(' and ')}. That is no off-site: what takes the disk takes the backups too. Add one on another machine soon.`
    : `${name} is a folder on another disk, but of the same machine (${where}): fire, theft and a break-in take both. Add one on another machine.`;
}

/** `sftp:user@host:/folder` or `sftp://user@host:port//folder` (restic's manual, "SFTP"). */
function sftpHost(repository: string): { user: string | null; address: string; port: number } | null {
  const [, user, inBrackets, plain, port] =
    /^sftp:\/\/(?:([^@/]+)@)?(?:\[([^\]]+)\]|([^:/@]+))(?::(\d+))?\//.exec(repository) ??
    /^sftp:(?!\/\/)(?:([^@/]+)@)?(?:\[([^\]]+)\]|([^:/@]+)):/.exec(repository) ??
    [];
  const address = inBrackets ?? plain;
  return address === undefined ? null : { user: user ?? null, address, port: Number(port ?? '22') };
}

async function sftpKeys(
  out: Output,
  asker: Asker | undefined,
  options: InitOptions,
  { name, repository }: { name: string; repository: string },
): Promise<{
  keys: Record<string, string>;
  files: NewFile[];
  more: { publicKey?: string; warnings?: string[] };
}> {
  const place = sftpHost(repository);
  if (place === null) throw new Failure('Unexpected', `No host in ${repository}.`);
  const trusted = await trustHost(out, asker, {
    ...{ address: place.address, port: place.port, knownHosts: options.offsiteKnownHosts },
    ...{ configFile: options.output, accepted: options.acceptHostKey },
  });
  const files = trusted.add === undefined ? [] : [trusted.add];
  const given = options.offsiteIdentityFile;
  const identityFile = given ?? join(dirname(options.output), `${name}.key`);
  const keys = { identityFile, knownHosts: trusted.file };
  if ((await textOf(identityFile)) !== null) return { keys, files, more: {} };
  if (given !== undefined) {
    throw new Failure('ConfigInvalid', `--offsite-identity-file ${given}: there is no such file.`);
  }
  const made = ssh2.utils.generateKeyPairSync('ed25519', { comment: `permafrost-${name}` });
  files.push({ path: identityFile, content: made.private, when: 'absent' });
  files.push({ path: `${identityFile}.pub`, content: `${made.public}\n`, when: 'absent' });
  const account = `${place.user === null ? '' : `${place.user}@`}${place.address}`;
  const warning = `An SSH key was made for ${name}. Append ${identityFile}.pub to ~/.ssh/authorized_keys of ${account}.`;
  return { keys, files, more: { publicKey: made.public, warnings: [warning] } };
}

/** restic's manual, "Preparing a new repository". */
const credentials: Readonly<Record<string, readonly [string, string]>> = {
  s3: ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'],
  b2: ['B2_ACCOUNT_ID', 'B2_ACCOUNT_KEY'],
  azure: ['AZURE_ACCOUNT_NAME', 'AZURE_ACCOUNT_KEY'],
  rest: ['RESTIC_REST_USERNAME', 'RESTIC_REST_PASSWORD'],
};

async function environmentFile(
  out: Output,
  asker: Asker | undefined,
  options: InitOptions,
  { name, kind }: { name: string; kind: string },
): Promise<{ keys: Record<string, string>; files: NewFile[] }> {
  const given = options.offsiteEnvironmentFile;
  const path = given ?? join(dirname(options.output), `${name}.env`);
  if ((await textOf(path)) !== null) return { keys: { environmentFile: path }, files: [] };
  if (given !== undefined) {
    throw new Failure('ConfigInvalid', `--offsite-environment-file ${given}: there is no such file.`);
  }
  const names = credentials[kind];
  // Many a REST server asks for nothing.
  if (kind === 'rest' && (asker === undefined || !(await asker.yesOrNo('Does it ask for a user?', true))))
    return { keys: {}, files: [] };
  if (asker === undefined || names === undefined) {
    throw missingFlag(
      `What opens ${kind}: (${names?.join(' and ') ?? "see restic's manual"})`,
      '--offsite-environment-file FILE, a file with KEY=VALUE lines',
    );
  }
  out.say('', `What opens it is kept in ${path}, for its owner alone.`);
  const lines = [
    `${names[0]}=${quoted(await asker.line(`${names[0]}:`))}`,
    `${names[1]}=${quoted(await asker.secret(`${names[1]}:`))}`,
  ];
  return {
    keys: { environmentFile: path },
    files: [{ path, content: `${lines.join('\n')}\n`, when: 'absent' }],
  };
}

/** A shell reads the file. */
function quoted(value: string): string {
  return /^[\w+/=.:@-]*$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}
