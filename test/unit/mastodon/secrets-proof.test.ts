import { createCipheriv, createECDH, generateKeyPairSync, pbkdf2Sync, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { proveSecrets } from '../../../src/mastodon/secrets-proof.js';
import { readSecretSamples, secretSamplesSql } from '../../../src/mastodon/secrets-samples.js';

const vapid = createECDH('prime256v1');
vapid.generateKeys();
const env = {
  LOCAL_DOMAIN: 'example.social',
  SECRET_KEY_BASE: 'f'.repeat(128),
  ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY: 'primary',
  ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT: 'salt',
  ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY: 'deterministic',
  VAPID_PRIVATE_KEY: `${vapid.getPrivateKey().toString('base64url')}=`,
  VAPID_PUBLIC_KEY: `${vapid.getPublicKey().toString('base64url')}=`,
};
const key = pbkdf2Sync('primary', 'salt', 2 ** 16, 32, 'sha256');
const totp = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
const none = { otpSecrets: [], keypairs: [], accountKeys: [] };

function seal(text: string, withKey = key): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', withKey, iv);
  const p = Buffer.concat([cipher.update(text), cipher.final()]).toString('base64');
  return JSON.stringify({
    p,
    h: { iv: iv.toString('base64'), at: cipher.getAuthTag().toString('base64') },
  });
}

function actor(): { privatePem: string; publicPem: string } {
  const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    privatePem: pair.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
    publicPem: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

type Given = Omit<Parameters<typeof proveSecrets>[0], 'env'> & { env: Record<string, string> };

function prove({ env: variables, ...given }: Given): ReturnType<typeof proveSecrets> {
  return proveSecrets({ ...given, env: new Map(Object.entries(variables)) });
}

function variables(given: Given): string[] {
  return prove(given).findings.map((finding) => finding.variable);
}

describe('proving the secrets', () => {
  it('proves the right ones on TOTP secrets, key pairs and actor keys', () => {
    const pair = actor();
    const samples = { otpSecrets: [seal(totp)], keypairs: [seal(pair.privatePem)], accountKeys: [pair] };
    expect(prove({ env, samples })).toEqual({ proven: true, tested: 2, findings: [], notes: [] });
  });

  it('says which variable does not fit, and no secret', () => {
    const wrong = { ...env, ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT: 'pepper' };
    const proof = prove({ env: wrong, samples: { ...none, otpSecrets: [seal(totp), seal(totp)] } });
    expect(proof).toMatchObject({ proven: false, tested: 2 });
    expect(proof.findings[0]?.variable).toBe('ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY');
    expect(proof.findings[0]?.problem).toMatch(/^or ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT.*none of 2/);
    expect(JSON.stringify(proof)).not.toMatch(/pepper|JBSW/);
  });

  it('calls keys without any ciphertext unproven, not wrong', () => {
    const proof = prove({ env, samples: none });
    expect(proof).toMatchObject({ proven: false, tested: 0, findings: [] });
    expect(proof.notes.join()).toContain('no ciphertext to test');
  });

  it('lets a few rows of other keys pass with a note, and not most of them', () => {
    const stray = seal(totp, randomBytes(32));
    const few = prove({ env, samples: { ...none, otpSecrets: [seal(totp), seal(totp), stray] } });
    expect(few.proven).toBe(true);
    expect(few.notes.join()).toContain('1 of 3');
    const most = prove({ env, samples: { ...none, otpSecrets: [seal(totp), stray, stray] } });
    expect(most.proven).toBe(false);
  });

  it('does not take any plaintext for a secret', () => {
    expect(variables({ env, samples: { ...none, keypairs: [seal('not a key')] } })).toEqual([
      'ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY',
    ]);
  });

  it('misses what this version of Mastodon needs to boot', () => {
    const bare = { ...env, SECRET_KEY_BASE: ' ', ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY: '' };
    expect(variables({ env: bare, samples: none })).toEqual([
      'SECRET_KEY_BASE',
      'ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY',
    ]);
    const old = new Map([['users', new Set(['id', 'encrypted_otp_secret'])]]);
    expect(variables({ env: bare, samples: none, schema: old })).toEqual(['SECRET_KEY_BASE', 'OTP_SECRET']);
  });

  it('sees a VAPID pair that is none, a half one, and takes a scalar without its leading zeros', () => {
    const other = createECDH('prime256v1');
    other.generateKeys();
    const foreign = { ...env, VAPID_PUBLIC_KEY: other.getPublicKey().toString('base64url') };
    expect(variables({ env: foreign, samples: none })).toEqual(['VAPID_PUBLIC_KEY']);
    expect(variables({ env: { ...env, VAPID_PRIVATE_KEY: '' }, samples: none })).toEqual([
      'VAPID_PRIVATE_KEY',
    ]);

    const small = createECDH('prime256v1');
    small.setPrivateKey(Buffer.concat([Buffer.alloc(31), Buffer.from([7])]));
    const stripped = {
      ...env,
      VAPID_PRIVATE_KEY: Buffer.from([7]).toString('base64url'),
      VAPID_PUBLIC_KEY: small.getPublicKey().toString('base64url'),
    };
    expect(variables({ env: stripped, samples: none })).toEqual([]);
  });

  it('sees an actor whose keys do not belong together', () => {
    const mixed = { privatePem: actor().privatePem, publicPem: actor().publicPem };
    expect(variables({ env, samples: { ...none, accountKeys: [mixed] } })).toEqual(['accounts.private_key']);
  });
});

describe('the samples', () => {
  it('come back as they were, each once', () => {
    const pem = '-----BEGIN X-----\nab\n';
    const line = (document: object): string => JSON.stringify(document);
    const output = [
      line({ kind: 'otp', value: '{"p":"x"}' }),
      line({ kind: 'otp', value: '{"p":"x"}' }),
      line({ kind: 'account', privatePem: pem, publicPem: 'public' }),
      '',
    ].join('\n');
    const samples = readSecretSamples(output);
    expect(samples.otpSecrets).toEqual(['{"p":"x"}']);
    expect(samples.accountKeys).toMatchObject([{ privatePem: pem, publicPem: 'public' }]);
  });

  it('are not asked of a database that has none of the tables', () => {
    expect(secretSamplesSql(new Map())).toBeNull();
  });
});
