import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { signingKeyFile, signingPublicKeyFile } from '../backups/signature.js';
import type { Configuration } from '../config/configuration.js';
import { Failure } from '../errors.js';

/** Whose signatures on manifests count. */
export interface TrustedKeys {
  /** None: signatures cannot be judged. */
  readonly keys: readonly KeyObject[];
  /** Since when this machine signs: a manifest without a signature is older, or a forgery. Unknown on one that does not. */
  readonly signsSince?: Date;
}

/**
 * The public keys whose signatures on manifests this machine trusts: its own, and `trustedKeys`. None on a machine that
 * has signed nothing and was told of none: then no signature can be judged.
 *
 * @throws Failure `ConfigInvalid` for a file that is no Ed25519 public key.
 */
export async function trustedKeys({
  state,
  trustedKeys: more,
}: Pick<Configuration, 'state' | 'trustedKeys'>): Promise<TrustedKeys> {
  const own = await read(join(state, signingPublicKeyFile), false);
  const others = await Promise.all(more.map((path) => read(path, true)));
  const keys = [own, ...others].filter((key) => key !== undefined);
  // It is written once, and never replaced.
  const made = own && (await stat(join(state, signingKeyFile)).catch(() => undefined));
  return { keys, ...(made === undefined ? {} : { signsSince: made.mtime }) };
}

async function read(path: string, needed: boolean): Promise<KeyObject | undefined> {
  let problem = 'is not an Ed25519 public key (PEM)';
  try {
    const key = createPublicKey(await readFile(path, 'utf8'));
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ENOENT' && !needed) return undefined;
    if (code === 'ENOENT' || code === 'EACCES') problem = `cannot be read (${code})`;
  }
  throw new Failure('ConfigInvalid', `${path} ${problem}: whose manifests are to be trusted is not known`, {
    next: `trustedKeys names copies of ${signingPublicKeyFile} from the state folders of other machines`,
  });
}
