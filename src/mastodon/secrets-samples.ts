import { z } from 'zod';
import { Failure } from '../errors.js';
import type { LegacyOtpSecret } from './ciphertext.js';
import type { Schema } from './media-files.js';

/** What of a database the secrets are tried on: few rows, some of the newest and some at random. */
export interface SecretSamples {
  /** `users.otp_secret`: envelopes (4.3+). */
  readonly otpSecrets: readonly string[];
  /** `keypairs.private_key`: envelopes (4.7+). */
  readonly keypairs: readonly string[];
  /** Actor keys of local accounts, as they are stored up to 4.6. */
  readonly accountKeys: readonly { readonly privatePem: string; readonly publicPem: string }[];
  /** TOTP secrets as they were stored up to 4.2. */
  readonly legacyOtpSecrets?: readonly LegacyOtpSecret[];
}

/**
 * A SELECT of the samples, one JSON document a line, to be run by psql (`-At`) inside the pinned snapshot; null when
 * this schema has nothing to sample. The output holds ciphertext and actor keys: keep it in memory alone.
 *
 * @param limits rows at most: `newest` and `random` of each kind of ciphertext, `accounts` local accounts.
 */
export function secretSamplesSql(
  schema: Schema,
  limits: { newest: number; random: number; accounts: number } = { newest: 50, random: 50, accounts: 5 },
): string | null {
  const has = (table: string, ...columns: string[]): boolean =>
    columns.every((column) => schema.get(table)?.has(column));
  const sampled = (table: string, column: string, sample: string): string[] =>
    [`id DESC LIMIT ${limits.newest}`, `random() LIMIT ${limits.random}`].map(
      (order) => `SELECT ${sample} FROM public.${table} WHERE ${column} <> '' ORDER BY ${order}`,
    );
  const selects: string[] = [];

  if (has('users', 'id', 'otp_secret'))
    selects.push(...sampled('users', 'otp_secret', `json_build_object('kind', 'otp', 'value', otp_secret)`));
  if (has('keypairs', 'id', 'private_key'))
    selects.push(
      ...sampled('keypairs', 'private_key', `json_build_object('kind', 'keypair', 'value', private_key)`),
    );
  if (has('users', 'id', ...legacyColumns))
    selects.push(
      ...sampled(
        'users',
        'encrypted_otp_secret',
        `json_build_object('kind', 'legacy', 'value', encrypted_otp_secret, 'iv', coalesce(encrypted_otp_secret_iv, ''), 'salt', coalesce(encrypted_otp_secret_salt, ''))`,
      ),
    );
  if (has('accounts', 'id', 'domain', 'private_key', 'public_key'))
    selects.push(
      `SELECT json_build_object('kind', 'account', 'privatePem', private_key, 'publicPem', public_key)
       FROM public.accounts WHERE domain IS NULL AND private_key <> '' ORDER BY id DESC LIMIT ${limits.accounts}`,
    );
  if (selects.length === 0) return null;
  return selects.map((select) => `SELECT * FROM (${select}) AS sample(document)`).join('\nUNION ALL\n');
}

const legacyColumns = ['encrypted_otp_secret', 'encrypted_otp_secret_iv', 'encrypted_otp_secret_salt'];

const sample = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('otp'), value: z.string() }),
  z.object({ kind: z.literal('keypair'), value: z.string() }),
  z.object({ kind: z.literal('legacy'), value: z.string(), iv: z.string(), salt: z.string() }),
  z.object({ kind: z.literal('account'), privatePem: z.string(), publicPem: z.string() }),
]);

/** Reads what `secretSamplesSql` gave; a row in both samples counts once. @throws Failure `PartInvalid`. */
export function readSecretSamples(output: string): SecretSamples {
  const lines = [...new Set(output.split('\n').filter((line) => line !== ''))];
  const samples = lines.map((line) => {
    try {
      return sample.parse(JSON.parse(line));
    } catch {
      // The line itself may be a secret: not in the message.
      throw new Failure('PartInvalid', 'the database gave a sample of ciphertext that cannot be read', {
        next: 'run the backup again; if it stays so, report it as a defect of Permafrost',
      });
    }
  });
  return {
    otpSecrets: samples.flatMap((s) => (s.kind === 'otp' ? [s.value] : [])),
    keypairs: samples.flatMap((s) => (s.kind === 'keypair' ? [s.value] : [])),
    accountKeys: samples.flatMap((s) => (s.kind === 'account' ? [s] : [])),
    legacyOtpSecrets: samples.flatMap((s) => (s.kind === 'legacy' ? [s] : [])),
  };
}
