import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backupIdOf } from '../../../src/backups/id.js';
import {
  type Manifest,
  manifestJsonSchema,
  readManifest,
  writeManifest,
} from '../../../src/backups/manifest.js';
import { partNames, quiesceModes } from '../../../src/backups/parts.js';

const manifest: Manifest = {
  ...{ version: 1, permafrost: '0.1.0', backup: '20261121T031700Z', instance: 'sample.example' },
  ...{ startedAt: '2026-11-21T03:17:00.000Z', sealedAt: '2026-11-21T03:21:10.500Z' },
  moment: { kind: 'pinned', at: '2026-11-21T03:17:04.100Z', quiesced: true },
  quiesce: {
    ...{ mode: 'brief', services: ['mastodon-web', 'mastodon-sidekiq'], downtimeMs: 4200 },
    ...{ stoppedAt: '2026-11-21T03:17:03.000Z', healthyAt: '2026-11-21T03:17:07.200Z' },
  },
  versions: {
    ...{ mastodon: '4.6.2', schema: '20260101000000', postgresql: '17.6', pgDump: '17.6', redis: '7.0.15' },
  },
  secrets: {
    files: [{ path: '.env.production', mode: '600', owner: 'mastodon', group: 'mastodon', bytes: 812 }],
    variables: ['LOCAL_DOMAIN', 'SECRET_KEY_BASE'],
    proof: { proven: true, tested: 6, notes: [] },
  },
  parts: [
    {
      ...{ name: 'secrets', bytes: 812, files: 1, sha256: 'a'.repeat(64), snapshot: '4bf1' },
      entries: [{ path: 'env', bytes: 812, sha256: 'a'.repeat(64) }],
    },
  ],
  omitted: [{ what: 'media', why: 'not asked for' }],
  copy: {
    ...{ offsite: 'vault', kind: 'restic', verifiedAt: '2026-11-21T03:21:00Z', bytesAdded: 900 },
    checked: { files: 1, bytes: 812 },
  },
  timings: [{ phase: 'preflight', startedAt: '2026-11-21T03:17:00.000Z', durationMs: 900 }],
  warnings: [],
};

const where = 'of 20261121T031700Z on vault';

/** The stored text with one thing changed, by the path to it. */
function edited(path: readonly (string | number)[], value: unknown): string {
  const copy = JSON.parse(writeManifest(manifest)) as Record<string | number, unknown>;
  let at = copy;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
  const last = path.at(-1) ?? '';
  if (value === undefined) Reflect.deleteProperty(at, last);
  else at[last] = value;
  return JSON.stringify(copy);
}

describe('a manifest', () => {
  const aTime = fc
    .integer({ min: 0, max: 4_000_000_000_000 })
    .map((milliseconds) => new Date(milliseconds).toISOString());
  const aHash = fc.stringMatching(/^[0-9a-f]{64}$/);
  const aName = fc.string({ minLength: 1, maxLength: 40, unit: 'binary' });

  test('comes back as it was written', () => {
    expect(readManifest(writeManifest(manifest), where)).toEqual(manifest);
  });

  test('whatever names, numbers and times are in it', () => {
    const any = fc.record({
      instance: aName,
      startedAt: aTime,
      backup: aTime.map((time) => backupIdOf(new Date(time))),
      mode: fc.constantFrom(...quiesceModes),
      part: fc.constantFrom(...partNames),
      path: aName,
      bytes: fc.maxSafeNat(),
      sha256: aHash,
      warnings: fc.array(fc.string({ unit: 'binary' })),
    });
    fc.assert(
      fc.property(any, ({ instance, startedAt, backup, mode, part, path, bytes, sha256, warnings }) => {
        const written: Manifest = {
          ...manifest,
          ...{ instance, startedAt, backup, warnings, quiesce: { ...manifest.quiesce, mode } },
          parts: [{ name: part, bytes, files: 1, sha256, entries: [{ path, bytes, sha256 }] }],
        };
        expect(readManifest(writeManifest(written), where)).toEqual(written);
      }),
    );
  });

  test('is not written when it is not one', () => {
    for (const wrong of [
      { parts: [] },
      { backup: 'latest' },
      { sealedAt: 'yesterday' },
      { parts: [{ name: 'secrets' as const, bytes: -1, files: 1, entries: [] }] },
    ]) {
      expect(() => writeManifest({ ...manifest, ...wrong })).toThrow(
        expect.objectContaining({ type: 'Unexpected', message: expect.stringContaining('not valid') }),
      );
    }
  });

  test.each<[string, readonly (string | number)[], unknown]>([
    ['a checksum that is none', ['parts', 0, 'entries', 0, 'sha256'], 'f'.repeat(63)],
    ['a checksum in capitals', ['parts', 0, 'sha256'], 'A'.repeat(64)],
    ['an unknown part', ['parts', 0, 'name'], 'videos'],
    ['no parts', ['parts'], []],
    ['parts that are missing', ['parts'], undefined],
    ['bytes as text', ['parts', 0, 'bytes'], '812'],
    ['an id that is a path', ['backup'], '../../etc'],
    ['a copy that says nothing of what was read back', ['copy', 'checked'], undefined],
    ['a proof that is missing', ['secrets', 'proof'], undefined],
    ['a time without a zone', ['sealedAt'], '2026-11-21T03:21:10'],
    ['no version', ['version'], undefined],
  ])('that was edited is refused: %s', (_, path, value) => {
    expect(() => readManifest(edited(path, value), where)).toThrow(
      expect.objectContaining({
        type: 'NotRestorable',
        message: expect.stringContaining(where),
        next: expect.stringContaining('another off-site'),
      }),
    );
  });

  test.each(['', 'null', '[]', '{', 'restic'])('that is something else is refused: %j', (text) => {
    expect(() => readManifest(text, where)).toThrow(expect.objectContaining({ type: 'NotRestorable' }));
  });

  test('with fields that a later Permafrost added is read', () => {
    expect(readManifest(edited(['weather'], 'snow'), where)).toEqual(manifest);
    expect(readManifest(edited(['parts', 0, 'base'], '20261120T031700Z'), where)).toEqual(manifest);
  });

  test('of a newer version is not guessed at', () => {
    expect(() => readManifest(edited(['version'], 2), where)).toThrow(
      expect.objectContaining({ type: 'NotRestorable', next: expect.stringContaining('upgrade') }),
    );
  });

  test('carries names of variables, never a value', () => {
    const schema = JSON.stringify(manifestJsonSchema());
    expect(schema).toContain('never a value');
    expect(readManifest(edited(['secrets', 'values'], { SECRET_KEY_BASE: 'x' }), where)).toEqual(manifest);
  });
});
