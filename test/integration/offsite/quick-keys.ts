import { createCipheriv, createDecipheriv, createHash, randomBytes, scryptSync } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync, chownSync } from 'node:fs';
import { join } from 'node:path';

/**
 * restic derives a key from the password at every call, and makes that as dear as half a second of this machine when it
 * makes a repository. A night is dozens of calls. This writes the keys of a repository that a test has made anew, as
 * `restic key passwd` does, with parameters that cost nothing; all else about the repository stays as restic made it.
 *
 * Formats: restic's design document, "Keys, Encryption and MAC": scrypt gives 64 bytes, AES-256-CTR and Poly1305-AES;
 * a key's file is called by the sha256 of what is in it.
 */
export function makeKeysQuick(repository: string, password: string): void {
  const folder = join(repository, 'keys');
  for (const name of readdirSync(folder)) {
    const file = join(folder, name);
    const { uid, gid, mode } = statSync(file);
    const key = JSON.parse(readFileSync(file, 'utf8')) as KeyFile;
    const secret = open(Buffer.from(key.data, 'base64'), derive(password, key));
    const quick = { ...key, N: 2, r: 1, p: 1, salt: randomBytes(64).toString('base64') };
    const text = JSON.stringify({ ...quick, data: seal(secret, derive(password, quick)).toString('base64') });
    const renamed = join(folder, createHash('sha256').update(text).digest('hex'));
    writeFileSync(renamed, text, { mode });
    chownSync(renamed, uid, gid);
    rmSync(file);
  }
}

interface KeyFile {
  readonly N: number;
  readonly r: number;
  readonly p: number;
  /** base64 */
  readonly salt: string;
  /** base64: nonce (16 bytes), ciphertext, MAC (16 bytes) */
  readonly data: string;
}

interface Keys {
  readonly encryption: Buffer;
  /** `k` makes a pad of the nonce, `r` is Poly1305's own. */
  readonly mac: { readonly k: Buffer; readonly r: Buffer };
}

function derive(password: string, { N, r, p, salt }: Omit<KeyFile, 'data'>): Keys {
  const bytes = scryptSync(password, Buffer.from(salt, 'base64'), 64, { N, r, p, maxmem: 1 << 30 });
  return {
    encryption: bytes.subarray(0, 32),
    mac: { k: bytes.subarray(32, 48), r: bytes.subarray(48) },
  };
}

function open(sealed: Buffer, { encryption, mac }: Keys): Buffer {
  const [nonce, text, sum] = [sealed.subarray(0, 16), sealed.subarray(16, -16), sealed.subarray(-16)];
  if (!poly1305Aes(text, nonce, mac).equals(sum))
    throw new Error('the password does not open the repository');
  return createDecipheriv('aes-256-ctr', encryption, nonce).update(text);
}

function seal(plain: Buffer, { encryption, mac }: Keys): Buffer {
  const nonce = randomBytes(16);
  const text = createCipheriv('aes-256-ctr', encryption, nonce).update(plain);
  return Buffer.concat([nonce, text, poly1305Aes(text, nonce, mac)]);
}

/** RFC 8439 §2.5, with the pad that AES makes of the nonce. */
function poly1305Aes(message: Buffer, nonce: Buffer, { k, r }: Keys['mac']): Buffer {
  const pad = createCipheriv('aes-128-ecb', k, null).setAutoPadding(false).update(nonce);
  const clamped = number(r) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = Buffer.concat([message.subarray(at, at + 16), Buffer.of(1)]);
    sum = ((sum + number(block)) * clamped) % ((1n << 130n) - 5n);
  }
  const hex = ((sum + number(pad)) & ((1n << 128n) - 1n)).toString(16).padStart(32, '0');
  return Buffer.from(hex, 'hex').reverse();
}

/** Little end first. */
function number(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}
