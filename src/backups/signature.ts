import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { type Manifest, writeManifest } from './manifest.js';

/**
 * The signature of a manifest: Ed25519 (RFC 8032) over its canonical JSON, so that whoever can write to an off-site
 * cannot make or change a backup unnoticed. Pure. Not for workflows: their sandbox has no node:crypto.
 *
 * Canonical: without the field `signature`, the keys of every object sorted by their UTF-16 code units, no white space,
 * numbers and strings as JSON.stringify writes them.
 */

/** In the state folder: the private key (PKCS#8, PEM, 0600) and the public one (SPKI, PEM). */
export const signingKeyFile = 'signing.key';
export const signingPublicKeyFile = 'signing.pub';

/** What a reader makes of the signature of a manifest. */
export type SignatureState = 'valid' | 'unsigned' | 'unknown key' | 'broken';

/** The manifest with its signature, which covers exactly what `writeManifest` stores. @throws Failure as that does. */
export function signManifest(manifest: Manifest, key: KeyObject): Manifest {
  const stored: unknown = JSON.parse(writeManifest(manifest));
  const ed25519 = sign(null, Buffer.from(canonicalJson(stored)), key).toString('base64');
  return { ...manifest, signature: { key: keyName(createPublicKey(key)), ed25519 } };
}

/**
 * What the signature of a stored manifest is worth.
 *
 * @param json the manifest as it was stored, parsed and nothing more: fields of later versions count too.
 * @param publicKeys whose signatures are trusted.
 */
export function signatureOf(json: unknown, publicKeys: readonly KeyObject[]): SignatureState {
  if (!isObject(json)) return 'broken';
  const { signature } = json;
  if (signature === undefined) return 'unsigned';
  if (!isObject(signature) || typeof signature['key'] !== 'string') return 'broken';
  if (typeof signature['ed25519'] !== 'string') return 'broken';
  const name = signature['key'];
  const key = publicKeys.find((candidate) => keyName(candidate) === name);
  if (key === undefined) return 'unknown key';
  try {
    const signed = Buffer.from(signature['ed25519'], 'base64');
    return verify(null, Buffer.from(canonicalJson(json)), key, signed) ? 'valid' : 'broken';
  } catch (error) {
    if (error instanceof RangeError) return 'broken'; // nested deeper than anything that we write
    throw error;
  }
}

/** What manifests call a public key: the first 16 hex digits of the SHA-256 of its DER (SPKI). */
export function keyName(publicKey: KeyObject): string {
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(der).digest('hex').slice(0, 16);
}

/** The text that is signed. */
export function canonicalJson(json: unknown): string {
  if (!isObject(json)) return JSON.stringify(json);
  return objectJson(Object.entries(json).filter(([name]) => name !== 'signature'));
}

function valueJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(valueJson).join(',')}]`;
  return isObject(value) ? objectJson(Object.entries(value)) : JSON.stringify(value);
}

function objectJson(entries: readonly [string, unknown][]): string {
  const sorted = [...entries].sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${sorted.map(([name, value]) => `${JSON.stringify(name)}:${valueJson(value)}`).join(',')}}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
