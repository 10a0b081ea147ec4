import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { Failure } from '../../src/errors.js';

/** What the flags of `init` come to: absolute paths, numbers. */
export interface InitOptions {
  readonly ssh: string | undefined;
  readonly port: number;
  readonly identityFile: string | undefined;
  readonly knownHosts: string | undefined;
  readonly acceptHostKey: readonly string[];
  readonly sudo: boolean;
  readonly root: readonly string[];
  readonly instance: readonly string[];
  readonly offsite: readonly string[];
  readonly passwordFile: string | undefined;
  readonly offsiteIdentityFile: string | undefined;
  readonly offsiteKnownHosts: string | undefined;
  readonly offsiteEnvironmentFile: string | undefined;
  readonly state: string | undefined;
  /** The file to write. */
  readonly output: string;
  /** It is one that is found without `--config`. */
  readonly usualPlace: boolean;
  readonly yes: boolean;
}

type Given = Partial<Record<string, string>> & {
  acceptHostKey: string[];
  root: string[];
  instance: string[];
  offsite: string[];
  sudo?: true;
  yes?: true;
};

const several = (value: string, before: string[]) => [...before, value];

export function withInitOptions(command: Command): Command {
  return command
    .option('--ssh <user@host>', 'look at that host (else at this machine)')
    .option('--port <n>', 'its SSH port', '22')
    .option('--identity-file <file>', 'the private key that opens it')
    .option('--known-hosts <file>', 'the file that knows its key')
    .option('--accept-host-key <fingerprint>', 'trust this key (SHA256:…) of a host; repeatable', several, [])
    .option('--sudo', 'get root there by sudo -n (found out by itself)')
    .option('--root <folder>', "Mastodon's folder, when it is not found; repeatable", several, [])
    .option('--instance <domain>', 'only this one of several; repeatable', several, [])
    .option(
      '--offsite <[name=]place>',
      'a folder, sftp:…, rest:…, s3:… and the like; repeatable',
      several,
      [],
    )
    .option('--password-file <file>', "with the repository's password (else one is made)")
    .option('--offsite-identity-file <file>', 'the private key for sftp: (else one is made)')
    .option('--offsite-known-hosts <file>', 'the file that knows the key of sftp:')
    .option('--offsite-environment-file <file>', 'KEY=VALUE lines with the credentials of s3: and the like')
    .option('--state <folder>', "Permafrost's own folder on this machine")
    .option('--output <file>', 'where to write it')
    .option('--yes', 'take the default where a question has one');
}

/** @throws Failure `ConfigInvalid` for a port that is none. */
export function readOptions(command: Command, env: NodeJS.ProcessEnv): InitOptions {
  const given = command.optsWithGlobals<Given>();
  const file = (name: string) => (given[name] === undefined ? undefined : resolve(given[name]));
  const port = Number(given['port']);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new Failure('ConfigInvalid', `--port ${given['port'] ?? ''}: expected a number from 1 to 65535.`);
  }
  const named =
    file('output') ??
    file('config') ??
    (env['PERMAFROST_CONFIG'] ? resolve(env['PERMAFROST_CONFIG']) : undefined);
  const usual = process.getuid?.() === 0 ? '/etc/permafrost/permafrost.yaml' : resolve('permafrost.yaml');
  const output = named ?? usual;
  return {
    ...{ ssh: given['ssh'], port, identityFile: file('identityFile'), knownHosts: file('knownHosts') },
    ...{ acceptHostKey: given.acceptHostKey, sudo: given.sudo === true },
    root: given.root.map((folder) => (given['ssh'] === undefined ? resolve(folder) : folder)),
    instance: given.instance.map((domain) => domain.toLowerCase()),
    ...{ offsite: given.offsite, passwordFile: file('passwordFile') },
    offsiteIdentityFile: file('offsiteIdentityFile'),
    offsiteKnownHosts: file('offsiteKnownHosts'),
    offsiteEnvironmentFile: file('offsiteEnvironmentFile'),
    ...{ state: file('state'), output, yes: given.yes === true },
    usualPlace: output === usual || output === join(process.cwd(), 'permafrost.yaml'),
  };
}
