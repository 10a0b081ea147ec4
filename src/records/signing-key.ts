import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { signingKeyFile, signingPublicKeyFile } from '../backups/signature.js';
import { Failure } from '../errors.js';
import { giveToOwner } from './owner.js';

/**
 * The key that this machine signs manifests with, made at its first use. Two processes that make it at once end with the
 * same one, and one that is there is never replaced, nor one that is lost: what it has signed could not be told from a
 * forgery.
 *
 * @param state Permafrost's own folder on this machine (`Configuration.state`).
 * @throws Failure `ConfigInvalid` when the file is there and is no such key, and when only its public key is there.
 */
export async function signingKey(state: string): Promise<KeyObject> {
  const path = join(state, signingKeyFile);
  let pem = await readIfThere(path);
  if (pem === undefined && (await readIfThere(join(state, signingPublicKeyFile))) !== undefined) {
    pem = await readIfThere(path); // another process may just have made both, this one first
    if (pem === undefined) throw lost(path);
  }
  if (pem === undefined) {
    const made = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    await mkdir(state, { recursive: true, mode: 0o700 });
    const whole = await writeBeside(path, made.toString(), 0o600);
    await giveToOwner(state, whole);
    try {
      await link(whole, path); // fails where another process was quicker
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
    } finally {
      await rm(whole, { force: true });
    }
    pem = await readFile(path, 'utf8');
  }
  const key = parse(pem, path);
  await publish(state, key);
  return key;
}

function lost(path: string): Failure {
  return new Failure(
    'ConfigInvalid',
    `${path} is gone, and ${signingPublicKeyFile} beside it is still there`,
    {
      next:
        `put it back from a copy; if it is lost, move ${signingPublicKeyFile} to a file of another name and name that in ` +
        'trustedKeys, so that backups signed until now stay trusted: then a new key is made',
    },
  );
}

/** The public key, beside the private one: for `trustedKeys` on other machines. */
async function publish(state: string, key: KeyObject): Promise<void> {
  const pem = createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
  const path = join(state, signingPublicKeyFile);
  if ((await readIfThere(path)) === pem) return;
  const whole = await writeBeside(path, pem, 0o644);
  await giveToOwner(state, whole);
  await rename(whole, path);
}

function parse(pem: string, path: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // said below
  }
  throw new Failure(
    'ConfigInvalid',
    `${path} is not an Ed25519 private key (PEM): manifests cannot be signed`,
    {
      next:
        `put it back from a copy; if it is lost, move it and ${signingPublicKeyFile} away: new ones are made, and backups ` +
        `signed with the old one stay trusted when its ${signingPublicKeyFile} is named in trustedKeys`,
    },
  );
}

/** Whole and on the disk, under a name of its own. */
async function writeBeside(path: string, text: string, mode: number): Promise<string> {
  const temporary = `${path}.${String(process.pid)}.${String(process.hrtime.bigint())}.new`;
  const file = await open(temporary, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return temporary;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw new Failure('ConfigInvalid', `${path} cannot be read (${codeOf(error)})`, {
      next: 'correct its rights: it belongs to the user that the worker runs as',
    });
  }
}

function isCode(error: unknown, code: string): boolean {
  return codeOf(error) === code;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
