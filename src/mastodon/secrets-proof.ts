import { createECDH, createPrivateKey, createPublicKey } from 'node:crypto';
import { deriveKeys, openEnvelope, openLegacyOtp, parseEnvelope } from './ciphertext.js';
import type { Schema } from './media-files.js';
import type { SecretSamples } from './secrets-samples.js';

/** Whether the secrets of an env file are those of a database. Never holds a secret. */
export interface SecretsProof {
  /** Ciphertext of this database was opened with these secrets, and nothing speaks against them. */
  readonly proven: boolean;
  /** Ciphertexts that were tried. */
  readonly tested: number;
  /** What makes a restored instance lose something. `variable`, of the env file or a column, and `problem` make a sentence. */
  readonly findings: readonly { readonly variable: string; readonly problem: string }[];
  /** What an operator should know. */
  readonly notes: readonly string[];
}

type Finding = SecretsProof['findings'][number];
type Env = ReadonlyMap<string, string>;

const primary = 'ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY';
const salt = 'ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT';
const deterministic = 'ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY';

/**
 * Proves secrets against samples of the database that they are to be restored with.
 *
 * Opening one ciphertext proves a key (GCM authenticates). If some open and some do not, the keys are right and those
 * rows were written with others: they are unreadable to the running Mastodon too, and a note says so; when most do not
 * open, it is a finding, as it is then likelier that the env file is not what Mastodon runs with.
 *
 * @param schema tells which variables this version needs; without it, those of 4.3 and later.
 */
export function proveSecrets(given: { env: Env; samples: SecretSamples; schema?: Schema }): SecretsProof {
  const { env, samples, schema } = given;
  const trials = [activeRecordTrial(env, samples), legacyTrial(env, samples)];
  const results = trials.map(judge);
  const findings = [
    ...missingVariables(env, schema),
    ...results.flatMap((result) => result.findings),
    ...vapidFindings(env),
    ...accountKeyFindings(samples),
  ];
  const tested = trials.reduce((sum, trial) => sum + trial.tested, 0);
  const opened = trials.reduce((sum, trial) => sum + trial.opened, 0);
  const notes = results.flatMap((result) => result.notes);
  if (tested === 0) notes.push('no ciphertext to test: the encryption keys are not proven');
  if (blank(env.get('VAPID_PRIVATE_KEY')) && blank(env.get('VAPID_PUBLIC_KEY')))
    notes.push('no VAPID keys: web push is not set up on this instance');
  return { proven: opened > 0 && findings.length === 0, tested, findings, notes };
}

/** What became of the ciphertexts that one key should open. */
interface Trial {
  readonly variable: string;
  readonly wrongKey: string;
  readonly lost: string;
  readonly tested: number;
  readonly opened: number;
  /** Opened, and not what it should be. */
  readonly implausible: number;
  /** Not ciphertext at all. */
  readonly foreign: number;
}

function activeRecordTrial(env: Env, samples: SecretSamples): Trial {
  const kinds: [readonly string[], RegExp][] = [
    [samples.otpSecrets, /^[A-Z2-7]{16,}=*$/],
    [samples.keypairs, /^-----BEGIN [A-Z ]*PRIVATE KEY-----\s/],
  ];
  const keys =
    blank(env.get(primary)) || blank(env.get(salt))
      ? []
      : deriveKeys(env.get(primary) ?? '', env.get(salt) ?? '');
  const values = kinds.flatMap(([texts, form]) =>
    texts.map((text) => ({ envelope: parseEnvelope(text), form })),
  );
  const envelopes = values.flatMap(({ envelope, form }) => (envelope ? [{ envelope, form }] : []));
  const plaintexts = envelopes.map(({ envelope, form }) => ({ form, plain: openEnvelope(envelope, keys) }));
  const opened = plaintexts.filter(({ plain }) => plain !== null);
  return {
    variable: primary,
    wrongKey: `or ${salt} is not the one that this database was written with (which of the two cannot be told apart)`,
    lost: "users' second factors and, from Mastodon 4.7 on, the accounts' signing keys",
    tested: envelopes.length,
    opened: opened.length,
    implausible: opened.filter(({ plain, form }) => !form.test(plain?.toString('latin1') ?? '')).length,
    foreign: values.length - envelopes.length,
  };
}

function legacyTrial(env: Env, samples: SecretSamples): Trial {
  const legacy = samples.legacyOtpSecrets ?? [];
  const plaintexts = legacy.map((secret) => openLegacyOtp(secret, env.get('OTP_SECRET') ?? ''));
  const opened = plaintexts.filter((plain) => plain !== null);
  return {
    variable: 'OTP_SECRET',
    wrongKey: 'is not the one that this database was written with',
    lost: "users' second factors",
    tested: legacy.length,
    opened: opened.length,
    implausible: opened.filter((plain) => !/^[A-Z2-7]{16,}=*$/i.test(plain.toString('latin1'))).length,
    foreign: 0,
  };
}

function judge(trial: Trial): { findings: Finding[]; notes: string[] } {
  const { variable, tested, opened } = trial;
  const findings: Finding[] = [];
  const notes: string[] = [];
  if (tested > 0 && opened < tested / 2) {
    const share = opened === 0 ? `none of ${tested}` : `only ${opened} of ${tested}`;
    findings.push({
      variable,
      problem: `${trial.wrongKey}: ${share} sampled ciphertexts open. A restore would lose ${trial.lost}`,
    });
  } else if (opened < tested) {
    notes.push(
      `${tested - opened} of ${tested} sampled ciphertexts were written with other keys than ${variable}; Mastodon cannot read them either`,
    );
  }
  if (trial.implausible > 0)
    findings.push({
      variable,
      problem: `opens ${opened} ciphertexts, ${trial.implausible} of which are neither a TOTP secret nor a private key`,
    });
  if (trial.foreign > 0) notes.push(`${trial.foreign} sampled values are not ciphertext of a known form`);
  return { findings, notes };
}

/** Without these Mastodon does not boot (mastodon/mastodon config/initializers/active_record_encryption.rb). */
function missingVariables(env: Env, schema: Schema | undefined): Finding[] {
  const users = schema?.get('users');
  const encrypts = users === undefined || users.has('otp_secret');
  const legacy = users?.has('encrypted_otp_secret') ?? false;
  const required = [
    'LOCAL_DOMAIN',
    'SECRET_KEY_BASE',
    ...(encrypts ? [primary, salt, deterministic] : []),
    ...(legacy ? ['OTP_SECRET'] : []),
  ];
  return required
    .filter((variable) => blank(env.get(variable)))
    .map((variable) => ({ variable, problem: 'is missing or blank' }));
}

/**
 * VAPID: the private key is the scalar of a P-256 key, the public key its uncompressed point, both in url-safe base64,
 * padded or not (mastodon/webpush lib/webpush/vapid_key.rb, which may drop leading zero bytes of the scalar).
 */
function vapidFindings(env: Env): Finding[] {
  const [privateKey, publicKey] = [env.get('VAPID_PRIVATE_KEY'), env.get('VAPID_PUBLIC_KEY')];
  if (blank(privateKey) && blank(publicKey)) return [];
  if (blank(privateKey)) return [{ variable: 'VAPID_PRIVATE_KEY', problem: 'is missing or blank' }];
  if (blank(publicKey)) return [{ variable: 'VAPID_PUBLIC_KEY', problem: 'is missing or blank' }];
  const scalar = Buffer.from(privateKey ?? '', 'base64url');
  try {
    const pair = createECDH('prime256v1');
    pair.setPrivateKey(Buffer.concat([Buffer.alloc(Math.max(0, 32 - scalar.length)), scalar]));
    if (pair.getPublicKey().equals(Buffer.from(publicKey ?? '', 'base64url'))) return [];
  } catch {
    return [{ variable: 'VAPID_PRIVATE_KEY', problem: 'is not a P-256 private key in url-safe base64' }];
  }
  const problem =
    'does not belong to VAPID_PRIVATE_KEY: web push is broken until every client subscribes again';
  return [{ variable: 'VAPID_PUBLIC_KEY', problem }];
}

function accountKeyFindings(samples: SecretSamples): Finding[] {
  const broken = samples.accountKeys.filter(({ privatePem, publicPem }) => {
    try {
      const form = { type: 'spki', format: 'der' } as const;
      const derived = createPublicKey(createPrivateKey(privatePem)).export(form);
      return !derived.equals(createPublicKey(publicPem).export(form));
    } catch {
      return true;
    }
  });
  if (broken.length === 0) return [];
  const problem = `and accounts.public_key do not belong together in ${broken.length} of ${samples.accountKeys.length} sampled local accounts: other servers will reject what these accounts sign`;
  return [{ variable: 'accounts.private_key', problem }];
}

function blank(value: string | undefined): boolean {
  return value === undefined || value.trim() === '';
}
