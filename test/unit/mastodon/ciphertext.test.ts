import { createCipheriv, pbkdf2Sync, randomBytes } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { deriveKeys, openEnvelope, openLegacyOtp, parseEnvelope } from '../../../src/mastodon/ciphertext.js';

const primary = 'A'.repeat(32);
const salt = 'B'.repeat(32);

/** As ActiveRecord does it; the program under test only opens. */
function seal(text: string, options: { digest?: string; compress?: boolean; primary?: string } = {}): string {
  const key = pbkdf2Sync(options.primary ?? primary, salt, 2 ** 16, 32, options.digest ?? 'sha256');
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  const plain = options.compress ? deflateSync(text) : Buffer.from(text);
  const p = Buffer.concat([cipher.update(plain), cipher.final()]).toString('base64');
  const h = { iv: iv.toString('base64'), at: cipher.getAuthTag().toString('base64') };
  return JSON.stringify({ p, h: options.compress ? { ...h, c: true } : h });
}

function open(text: string, primaryKey = primary): string | null {
  const envelope = parseEnvelope(text);
  return envelope && (openEnvelope(envelope, deriveKeys(primaryKey, salt))?.toString() ?? null);
}

describe('ActiveRecord encryption', () => {
  it('opens a vector that another implementation made', () => {
    expect(deriveKeys(primary, salt)[0]?.toString('hex')).toBe(
      'bc7932b2b2e41c854e4789283bf3e9e57d8ccd2757350b8b08ae41ebe5d62cb5',
    );
    const vector = JSON.stringify({
      p: 'a7QISeUkuXPcRTn0nDLXo8OeElmeSSFkNIcGnDJJxcQ=',
      h: {
        iv: Buffer.from([...Array(12).keys()]).toString('base64'),
        at: '7GCpG4hp1ytj8jCOIPWs8A==',
      },
    });
    expect(open(vector)).toBe('JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP');
  });

  it('opens compressed text and text of a key derived with SHA-1', () => {
    const pem = `-----BEGIN RSA PRIVATE KEY-----\n${'MIIE'.repeat(400)}\n-----END RSA PRIVATE KEY-----\n`;
    expect(open(seal(pem, { compress: true }))).toBe(pem);
    expect(open(seal('old', { digest: 'sha1' }))).toBe('old');
    expect(open(seal('äöü 🦣', { compress: true, digest: 'sha1' }))).toBe('äöü 🦣');
  });

  it('takes a comma in the primary key as part of it', () => {
    expect(open(seal('x', { primary: 'one,two' }), 'one,two')).toBe('x');
    expect(open(seal('x', { primary: 'one' }), 'one,two')).toBeNull();
  });

  it('opens nothing with another key, nothing that was changed, nothing with a shortened tag', () => {
    const sealed = seal('JBSWY3DPEHPK3PXP');
    expect(open(sealed, 'C'.repeat(32))).toBeNull();
    expect(open(sealed.replace(/"p":"./, '"p":"~'))).toBeNull();
    expect(parseEnvelope(sealed.replace(/"at":"[^"]{8}/, '"at":"'))).toBeNull();
  });

  it('knows what is not an envelope', () => {
    for (const text of ['', 'JBSWY3DPEHPK3PXP', '{}', 'null', '[]', '{"p":1,"h":{}}', '{"p":"","h":null}'])
      expect(parseEnvelope(text)).toBeNull();
  });
});

describe('TOTP secrets of Mastodon up to 4.2', () => {
  it('open with OTP_SECRET, whether or not the salt carries its mark', () => {
    const rawSalt = randomBytes(16);
    const iv = randomBytes(16);
    const cipher = createCipheriv('aes-256-gcm', pbkdf2Sync('otp', rawSalt, 2000, 32, 'sha1'), iv);
    const body = Buffer.concat([cipher.update('JBSWY3DPEHPK3PXP'), cipher.final(), cipher.getAuthTag()]);
    const legacy = { value: `${body.toString('base64')}\n`, iv: `${iv.toString('base64')}\n` };
    for (const mark of ['_', ''])
      expect(
        openLegacyOtp({ ...legacy, salt: `${mark}${rawSalt.toString('base64')}\n` }, 'otp')?.toString(),
      ).toBe('JBSWY3DPEHPK3PXP');
    expect(openLegacyOtp({ ...legacy, salt: rawSalt.toString('base64') }, 'other')).toBeNull();
  });
});
