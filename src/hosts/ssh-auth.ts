import { readFile } from 'node:fs/promises';
import ssh2, { type ConnectConfig } from 'ssh2';
import { Failure } from '../errors.js';

export interface SshAuth {
  /** `user@address`, for messages. */
  readonly host: string;
  readonly identityFile?: string | undefined;
  readonly passphraseFile?: string | undefined;
}

/**
 * What we show a host to be let in: the key of the identity file, or the agent of SSH_AUTH_SOCK when there is no such
 * file, or its key has a passphrase that nobody gave.
 *
 * @throws Failure `AuthFailed`: no key can be had, or its passphrase is wrong.
 */
export async function credentials(
  auth: SshAuth,
): Promise<Pick<ConnectConfig, 'privateKey' | 'passphrase' | 'agent'>> {
  const { host, identityFile, passphraseFile } = auth;
  const agent = process.env['SSH_AUTH_SOCK'];
  if (identityFile === undefined) {
    if (agent !== undefined && agent !== '') return { agent };
    throw new Failure(
      'AuthFailed',
      `There is no key to log in to ${host}: no identityFile and no SSH agent.`,
      {
        host,
        next: 'Name an identityFile in the configuration, or start ssh-agent and set SSH_AUTH_SOCK for the worker.',
      },
    );
  }
  const privateKey = await readSecret(identityFile, host);
  if (opens(privateKey, undefined)) return { privateKey };
  if (!isEncrypted(privateKey))
    throw new Failure('AuthFailed', `${identityFile} is not a private key that can be read.`, {
      host,
      next: `Make one: ssh-keygen -t ed25519 -f ${identityFile}`,
    });
  if (passphraseFile !== undefined) {
    const passphrase = (await readSecret(passphraseFile, host)).toString('utf8').replace(/\r?\n$/, '');
    if (opens(privateKey, passphrase)) return { privateKey, passphrase };
    throw new Failure('AuthFailed', `The passphrase in ${passphraseFile} does not open ${identityFile}.`, {
      host,
      next: `Check it: ssh-keygen -yf ${identityFile}`,
    });
  }
  if (agent !== undefined && agent !== '') return { agent };
  throw new Failure('AuthFailed', `The key in ${identityFile} has a passphrase, and there is none for it.`, {
    host,
    next: 'Name a passphraseFile in the configuration, or add the key to an agent and set SSH_AUTH_SOCK for the worker.',
  });
}

async function readSecret(file: string, host: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new Failure('AuthFailed', `${file}, needed to log in to ${host}, cannot be read here (${why}).`, {
      host,
      next: 'Check the path and that the user of the worker may read it.',
    });
  }
}

function opens(privateKey: Buffer, passphrase: string | undefined): boolean {
  const parsed = ssh2.utils.parseKey(privateKey, passphrase);
  return (
    !(parsed instanceof Error) &&
    (Array.isArray(parsed) ? parsed : [parsed]).every((key) => key.isPrivateKey())
  );
}

function isEncrypted(privateKey: Buffer): boolean {
  const parsed = ssh2.utils.parseKey(privateKey);
  return parsed instanceof Error && /encrypted|passphrase/i.test(parsed.message);
}
