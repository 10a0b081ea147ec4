import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect, test } from 'vitest';
import { type Manifest, writeManifest } from '../../../src/backups/manifest.js';
import { signManifest } from '../../../src/backups/signature.js';
import { present } from '../../../src/present.js';
import { judgeManifest } from '../../../src/offsite/manifest-check.js';
import type { Offsite } from '../../../src/offsite/offsite.js';
import { trustedManifest } from '../../../src/offsite/stage.js';
import { aManifest } from '../backups/a-manifest.js';

const ours = generateKeyPairSync('ed25519');
const stored = { backup: aManifest.backup };

function judge(
  manifest: Partial<Manifest>,
  {
    keys = [ours.publicKey],
    signsSince,
    text = (signed: Manifest) => writeManifest(signed),
    ...more
  }: {
    keys?: KeyObject[];
    signsSince?: Date;
    text?: (signed: Manifest) => string;
    offsite?: string;
    stored?: { backup: string; dependsOn?: string };
  } = {},
) {
  const signed = signManifest({ ...aManifest, ...manifest }, ours.privateKey);
  return judgeManifest(text(signed), {
    offsite: 'vault',
    instance: 'example.social',
    stored,
    trusted: { keys, ...present({ signsSince }) },
    ...more,
  });
}

const unsigned = (permafrost: string) => ({
  text: (signed: Manifest) => {
    const { signature, ...rest } = signed;
    return signature === undefined ? '' : writeManifest({ ...rest, permafrost });
  },
});

test('a manifest that lies where it says, and is signed by us, is judged so', () => {
  expect(judge({})).toMatchObject({
    problems: [],
    signature: 'valid',
    manifest: { backup: aManifest.backup },
  });
});

test('what says another backup, instance or off-site than where it lies is told, though it is signed', () => {
  expect(judge({ backup: '20200101T000000Z' }).problems).toEqual([
    'is that of another backup, 20200101T000000Z',
  ]);
  expect(judge({ instance: 'other.social' }).problems).toEqual(['is that of another instance, other.social']);
  expect(judge({}, { offsite: 'cellar' }).problems).toEqual([
    'is that of the copy on another off-site, vault',
  ]);
  const copied = { copy: { ...aManifest.copy, offsite: 'cellar', copiedFrom: 'vault' } };
  expect(judge(copied, { offsite: 'cellar' }).problems).toEqual([]);
  const marked = { stored: { ...stored, dependsOn: '20261115T031700Z' } };
  expect(judge({ database: database() }, marked).problems.join()).toContain('its mark says 20261115T031700Z');
});

test('signatures: broken, by somebody else, none although there should be one', () => {
  const changed = judge({}, { text: (signed) => writeManifest({ ...signed, warnings: ['no'] }) });
  expect(changed.problems).toEqual(['was changed after it was sealed: its signature does not fit']);
  const foreign = judge({}, { keys: [generateKeyPairSync('ed25519').publicKey] });
  expect(foreign.problems.join()).toContain('a key that this machine does not trust');
  expect(foreign.next).toContain('trustedKeys');
  expect(judge({}, unsigned('0.3.0')).problems).toEqual(['is not signed, although Permafrost 0.3.0 signs']);
  expect(judge({}, unsigned('1.0.0')).problems).toHaveLength(1);
  const before = { ...unsigned('0.2.0'), signsSince: new Date('2026-11-23T03:17:00Z') };
  expect(judge({}, before)).toMatchObject({ problems: [], signature: 'unsigned' });
  const after = { ...unsigned('0.2.0'), signsSince: new Date('2026-11-20T03:17:00Z') };
  expect(judge({}, after).problems).toEqual([
    'is not signed, although this machine signs since before it was made',
  ]);
  expect(judge({}, unsigned('0.2.0')).problems).toHaveLength(1);
});

test('where no key is known, as on a blank machine, nothing is judged and nothing is refused', () => {
  expect(judge({}, { keys: [] })).toMatchObject({ problems: [], signature: 'not judged' });
  expect(judge({ instance: 'other.social' }, { keys: [] }).problems).toHaveLength(1);
});

test('what is no manifest is one problem, and nothing is read from it', () => {
  const broken = judge({}, { text: (signed) => writeManifest(signed).slice(0, 100) });
  expect(broken).toMatchObject({ problems: ['is not JSON'], manifest: undefined });
});

function database(): NonNullable<Manifest['database']> {
  return {
    ...{ name: 'm', format: 'custom', sizeBytes: 1, encoding: 'UTF8', collate: 'C', ctype: 'C' },
    ...{ extensions: [], roles: 'not captured', rowCounts: {}, newestStatusAt: null },
  };
}

/** What a copy is made of. */
const toBeCopied = (manifest: Manifest, keys: KeyObject[]) => {
  const source = {
    name: 'vault',
    list: () => Promise.resolve({ sealed: [stored], unsealed: [] }),
    readManifest: () => Promise.resolve(writeManifest(manifest)),
  } as unknown as Offsite;
  return trustedManifest(source, aManifest.backup, { instance: 'example.social', trusted: { keys } });
};

test('a copy is signed again only of what one of our keys has signed, and what nobody here can judge is not copied', async () => {
  const signed = signManifest(aManifest, ours.privateKey);
  expect((await toBeCopied(signed, [ours.publicKey])).signed).toBe(true);
  expect((await toBeCopied(aManifest, [])).signed).toBe(false);
  await expect(toBeCopied(signed, [])).rejects.toMatchObject({
    ...{ type: 'Refused', next: expect.stringContaining('trustedKeys') as string },
  });
});
