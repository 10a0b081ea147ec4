import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Manifest, readManifest, writeManifest } from '../../../src/backups/manifest.js';
import { canonicalJson, signatureOf, signManifest } from '../../../src/backups/signature.js';
import { aManifest as manifest } from './a-manifest.js';

const ours = generateKeyPairSync('ed25519');
const others = generateKeyPairSync('ed25519');

describe('the signature of a manifest', () => {
  const text = writeManifest(signManifest(manifest, ours.privateKey));
  const judge = (json: unknown, keys = [others.publicKey, ours.publicKey]) => signatureOf(json, keys);

  test('is there when it is read back, and valid for whoever knows the key', () => {
    expect(readManifest(text, 'here').signature?.key).toMatch(/^[0-9a-f]{16}$/);
    expect(judge(JSON.parse(text))).toBe('valid');
    expect(judge(JSON.parse(text), [others.publicKey])).toBe('unknown key');
    expect(judge(JSON.parse(writeManifest(manifest)))).toBe('unsigned');
  });

  test('does not depend on how the JSON is written', () => {
    const turned = Object.fromEntries(Object.entries(JSON.parse(text) as object).reverse());
    expect(judge(JSON.parse(JSON.stringify(turned)))).toBe('valid');
  });

  test('is broken by whatever is changed, added or taken away, at any depth', () => {
    const json = JSON.parse(text) as Manifest;
    const without: Partial<Manifest> = { ...json };
    delete without.instance;
    const changed: unknown[] = [
      { ...json, instance: 'evil.example' },
      { ...json, ofALaterVersion: true },
      without,
      { ...json, quiesce: { ...json.quiesce, downtimeMs: 812 } },
      { ...json, parts: [{ ...json.parts[0], entries: [] }] },
      { ...json, parts: [{ ...json.parts[0], signature: 'smuggled in below' }] },
      { ...json, signature: { ...json.signature, ed25519: Buffer.alloc(64).toString('base64') } },
      { ...json, signature: 'yes' },
      [json],
      'manifest',
    ];
    for (const one of changed) expect(judge(one)).toBe('broken');
  });

  test('a field that only a later version knows is covered by its signature', () => {
    const later = { ...(JSON.parse(writeManifest(manifest)) as Manifest), later: { b: 1, a: [2] } };
    const signed = { ...later, signature: signManifest(later, ours.privateKey).signature };
    expect(judge(signed)).toBe('broken'); // this version does not store it, so it does not sign it
  });

  test('canonical JSON says the same of the same value, and another thing of another', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
        const again: unknown = JSON.parse(JSON.stringify(one));
        expect(canonicalJson({ value: again })).toBe(canonicalJson({ value: one }));
        const same = JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
        expect(canonicalJson({ value: one }) === canonicalJson({ value: other })).toBe(same);
        expect(JSON.parse(canonicalJson({ value: one }))).toEqual({ value: again });
      }),
    );
  });
});

/** With the keys of objects in order, as JSON.stringify then writes them. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return { entries: entries.map(([key, one]) => [key, sorted(one)]) };
}
