import { execFile } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { keyName } from '../../../src/backups/signature.js';
import { trustedKeys } from '../../../src/offsite/trusted-keys.js';
import { signingKey } from '../../../src/records/signing-key.js';

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'permafrost-key-'));
});
afterEach(() => rmSync(state, { recursive: true, force: true }));

const nameOf = async () => keyName(createPublicKey(await signingKey(state)));

test('is made at its first use, private, and stays', async () => {
  const name = await nameOf();
  expect(await nameOf()).toBe(name);
  expect(statSync(join(state, 'signing.key')).mode & 0o777).toBe(0o600);
  expect(readdirSync(state).sort()).toEqual(['signing.key', 'signing.pub']);
  expect((await trustedKeys({ state, trustedKeys: [] })).keys.map(keyName)).toEqual([name]);
});

test('several that make it at once end with the same one', async () => {
  const names = await Promise.all(Array.from({ length: 20 }, nameOf));
  expect(new Set(names).size).toBe(1);
  expect(readdirSync(state).sort()).toEqual(['signing.key', 'signing.pub']);
});

test('one that is broken is never replaced', async () => {
  writeFileSync(join(state, 'signing.key'), 'half of a k');
  await expect(signingKey(state)).rejects.toMatchObject({ type: 'ConfigInvalid' });
  expect(readFileSync(join(state, 'signing.key'), 'utf8')).toBe('half of a k');
  const { stdout } = await promisify(execFile)('openssl', ['genrsa', '2048']);
  writeFileSync(join(state, 'signing.key'), stdout);
  await expect(signingKey(state)).rejects.toThrow(/not an Ed25519 private key/);
});

test('one that is lost is not replaced while its public key is there; moved into trustedKeys, that stays trusted', async () => {
  const lost = await nameOf();
  const [key, pub, old] = ['signing.key', 'signing.pub', 'old.pub'].map((name) => join(state, name)) as [
    ...[string, string, string],
  ];
  const [pem, publicPem] = [readFileSync(key, 'utf8'), readFileSync(pub, 'utf8')];
  rmSync(key);
  await expect(signingKey(state)).rejects.toMatchObject({ type: 'ConfigInvalid' });
  expect([readdirSync(state), readFileSync(pub, 'utf8')]).toEqual([['signing.pub'], publicPem]);
  writeFileSync(key, pem);
  expect(await nameOf()).toBe(lost);
  rmSync(key);
  renameSync(pub, old);
  const made = await nameOf();
  expect(made).not.toBe(lost);
  expect((await trustedKeys({ state, trustedKeys: [old] })).keys.map(keyName)).toEqual([made, lost]);
});

test('public keys of other machines are trusted where they are named, and a file that is none is told', async () => {
  const other = join(state, 'other.pub');
  expect(await trustedKeys({ state, trustedKeys: [] })).toEqual({ keys: [] });
  const own = await nameOf();
  const elsewhere = mkdtempSync(join(state, 'elsewhere-'));
  const name = keyName(createPublicKey(await signingKey(elsewhere)));
  writeFileSync(other, readFileSync(join(elsewhere, 'signing.pub')));
  expect((await trustedKeys({ state, trustedKeys: [other] })).keys.map(keyName)).toEqual([own, name]);
  writeFileSync(other, 'ssh-ed25519 AAAA');
  await expect(trustedKeys({ state, trustedKeys: [other] })).rejects.toThrow(other);
  await expect(trustedKeys({ state, trustedKeys: [join(state, 'gone')] })).rejects.toThrow(/ENOENT/);
});
