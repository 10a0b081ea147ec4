import { createCipheriv, createECDH, createPrivateKey, createPublicKey, pbkdf2Sync } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import type { Random } from './random.js';

export interface KeyPair {
  /** PEM, `RSA PRIVATE KEY`. */
  readonly privateKey: string;
  /** PEM, `PUBLIC KEY`. */
  readonly publicKey: string;
}

/** What makes an instance itself, as the variables of its env file. */
export interface SampleSecrets {
  readonly SECRET_KEY_BASE: string;
  readonly OTP_SECRET: string;
  readonly ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY: string;
  readonly ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT: string;
  readonly ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY: string;
  readonly VAPID_PRIVATE_KEY: string;
  readonly VAPID_PUBLIC_KEY: string;
}

export function makeSecrets(random: Random): SampleSecrets {
  const vapid = createECDH('prime256v1');
  vapid.setPrivateKey(random.bytes(32));
  return {
    SECRET_KEY_BASE: random.hex(64),
    OTP_SECRET: random.hex(64),
    ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY: random.base32(32),
    ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT: random.base32(32),
    ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY: random.base32(32),
    VAPID_PRIVATE_KEY: urlSafeBase64(vapid.getPrivateKey()),
    VAPID_PUBLIC_KEY: urlSafeBase64(vapid.getPublicKey()),
  };
}

/** Padded, as Ruby's `Base64.urlsafe_encode64` writes it (mastodon/webpush lib/webpush/vapid_key.rb). */
function urlSafeBase64(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

/** A 2048-bit RSA pair in the form in which Mastodon stores an actor's keys. */
export function makeRsaPair(random: Random): KeyPair {
  const e = 65537n;
  const p = random.prime(1024, e);
  const q = random.prime(1024, e);
  const d = inverse(e, (p - 1n) * (q - 1n));
  const number = (value: bigint): string => {
    const hex = value.toString(16);
    return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
  };
  const privateKey = createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'RSA',
      n: number(p * q),
      e: number(e),
      d: number(d),
      p: number(p),
      q: number(q),
      dp: number(d % (p - 1n)),
      dq: number(d % (q - 1n)),
      qi: number(inverse(q, p)),
    },
  });
  return {
    privateKey: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
    publicKey: createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString(),
  };
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [r, nextR, t, nextT] = [modulus, value % modulus, 0n, 1n];
  while (nextR !== 0n) {
    const quotient = r / nextR;
    [r, nextR] = [nextR, r - quotient * nextR];
    [t, nextT] = [nextT, t - quotient * nextT];
  }
  return t < 0n ? t + modulus : t;
}

/**
 * Encrypts as ActiveRecord does: AES-256-GCM under a key of PBKDF2-HMAC-SHA256 (65 536 rounds), deflated first when
 * longer than 140 bytes, in a JSON envelope (rails/rails activerecord/lib/active_record/encryption).
 */
export function makeEncryptor(secrets: SampleSecrets, random: Random): (plaintext: string) => string {
  const key = pbkdf2Sync(
    secrets.ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY,
    secrets.ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT,
    65_536,
    32,
    'sha256',
  );
  return (plaintext) => {
    const iv = random.bytes(12);
    const compressed = Buffer.byteLength(plaintext) > 140;
    const cipher = createCipheriv('aes-256-gcm', key, iv);
    const body = compressed ? deflateSync(plaintext) : Buffer.from(plaintext);
    const ciphertext = Buffer.concat([cipher.update(body), cipher.final()]);
    const headers = { iv: iv.toString('base64'), at: cipher.getAuthTag().toString('base64') };
    return JSON.stringify({
      p: ciphertext.toString('base64'),
      h: compressed ? { ...headers, c: true } : headers,
    });
  };
}
