import { createDecipheriv, pbkdf2Sync } from 'node:crypto';
import { inflateSync } from 'node:zlib';

/**
 * Opens what Mastodon encrypts in its database, without Rails. Pure.
 *
 * From 4.3 on: ActiveRecord encryption, non-deterministic (`users.otp_secret`; from 4.7 on `keypairs.private_key`).
 * The column holds JSON `{ p: ciphertext, h: { iv, at: tag, c?: compressed } }`, all base64; AES-256-GCM without
 * additional data; zlib when the plaintext was longer than 140 bytes. The key is PBKDF2 of the primary key with the
 * derivation salt, 65 536 iterations, with SHA-256, or SHA-1 as Mastodon still accepts (rails/rails activerecord
 * lib/active_record/encryption/message_serializer.rb, cipher/aes256_gcm.rb, key_generator.rb; mastodon/mastodon
 * config/initializers/active_record_encryption.rb). Mastodon hands the primary key over as one string: a comma in it
 * separates nothing.
 *
 * Up to 4.2: `users.encrypted_otp_secret`, with `OTP_SECRET` (mastodon/mastodon v4.3.0
 * app/models/concerns/legacy_otp_secret.rb).
 */

export interface Envelope {
  readonly ciphertext: Buffer;
  readonly iv: Buffer;
  readonly tag: Buffer;
  readonly compressed: boolean;
}

/** The keys that may have encrypted a value, in the order in which they are tried. 32 bytes each. */
export type DerivedKeys = readonly Buffer[];

/** Derives the keys. Takes about a tenth of a second: do it once for many values. */
export function deriveKeys(primaryKey: string, keyDerivationSalt: string): DerivedKeys {
  return ['sha256', 'sha1'].map((digest) => pbkdf2Sync(primaryKey, keyDerivationSalt, 2 ** 16, 32, digest));
}

/** The envelope that a column holds, or null when it holds something else. */
export function parseEnvelope(text: string): Envelope | null {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(json) || !isRecord(json['h'])) return null;
  const { iv, at, c } = json['h'];
  // An empty plaintext has an empty ciphertext.
  if (typeof json['p'] !== 'string' || typeof iv !== 'string' || typeof at !== 'string') return null;
  const envelope = {
    ciphertext: Buffer.from(json['p'], 'base64'),
    iv: Buffer.from(iv, 'base64'),
    tag: Buffer.from(at, 'base64'),
    compressed: c === true,
  };
  // A shorter tag would be accepted by the cipher and prove less.
  return envelope.iv.length === 12 && envelope.tag.length === 16 ? envelope : null;
}

/** The plaintext, or null when none of the keys opens it. */
export function openEnvelope(envelope: Envelope, keys: DerivedKeys): Buffer | null {
  for (const key of keys) {
    const plaintext = openGcm(key, envelope.iv, envelope.ciphertext, envelope.tag);
    if (plaintext) return envelope.compressed ? inflated(plaintext) : plaintext;
  }
  return null;
}

/** A TOTP secret as it was stored up to 4.2: the three columns `encrypted_otp_secret`, `…_iv`, `…_salt`. */
export interface LegacyOtpSecret {
  readonly value: string;
  readonly iv: string;
  readonly salt: string;
}

/** The plaintext of a legacy TOTP secret, or null when `OTP_SECRET` does not open it. */
export function openLegacyOtp(legacy: LegacyOtpSecret, otpSecret: string): Buffer | null {
  const sealed = Buffer.from(legacy.value, 'base64');
  const iv = Buffer.from(legacy.iv, 'base64');
  if (sealed.length < 16 || iv.length === 0) return null;
  // attr_encrypted marks an encoded salt by an underscore; Node would read it as a digit of base64.
  const salt = Buffer.from(legacy.salt.replace(/^_/, ''), 'base64');
  const key = pbkdf2Sync(otpSecret, salt, 2000, 32, 'sha1');
  return openGcm(key, iv, sealed.subarray(0, -16), sealed.subarray(-16));
}

function openGcm(key: Buffer, iv: Buffer, ciphertext: Buffer, tag: Buffer): Buffer | null {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 }).setAuthTag(tag);
    return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
  } catch {
    return null;
  }
}

function inflated(data: Buffer): Buffer | null {
  try {
    return inflateSync(data, { maxOutputLength: 1 << 20 });
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
