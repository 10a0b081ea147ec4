import { describe, expect, test } from 'vitest';
import { type HeldBackups, nearlyNewest, newestOf, whoseTurn } from '../../../src/backups/drill-choice.js';
import { forecastOf } from '../../../src/backups/drill-forecast.js';
import { drillNeed } from '../../../src/backups/drill-space.js';
import type { Manifest } from '../../../src/backups/manifest.js';
import { aManifest } from './a-manifest.js';

const held = (offsite: string, ...backups: string[]): HeldBackups => ({
  offsite,
  sealed: backups.map((backup) => ({ backup, parts: ['database', 'secrets'] })),
});
const names = (some: readonly HeldBackups[]) => some.map(({ offsite }) => offsite);
const passed = (from: string) => ({ from, passed: true });
const found = (from: string) => ({ from, passed: false });

describe('which backup is drilled, and from where', () => {
  test('the newest that has a database; without one, the newest', () => {
    const secrets = { backup: '20261122T031700Z', parts: ['secrets'] as const };
    const night = held('vault', '20261120T031700Z', '20261121T031700Z');
    const both = { ...night, sealed: [secrets, ...night.sealed] };
    expect(newestOf(both, 'database')).toBe('20261121T031700Z');
    expect(newestOf(both, 'files')).toBe(secrets.backup);
    expect(newestOf({ offsite: 'vault', sealed: [secrets] }, 'database')).toBe(secrets.backup);
    expect(newestOf({ offsite: 'vault', sealed: [] }, 'files')).toBeUndefined();
  });

  test('an off-site that is behind for a night is drilled, one that nobody fills is not', () => {
    const all = [held('a', '20261120T031800Z'), held('b'), held('c', '20261122T031700Z')];
    expect(names(nearlyNewest(all, 'database'))).toEqual(['a', 'c']);
    const older = [held('a', '20261120T031600Z'), held('c', '20261122T031700Z')];
    expect(names(nearlyNewest(older, 'database'))).toEqual(['c']);
    expect(nearlyNewest([], 'files')).toEqual([]);
  });

  test.each([
    { past: [], turn: 'a' },
    { past: [passed('a')], turn: 'b' },
    { past: [passed('b'), passed('a')], turn: 'c' },
    { past: [passed('c'), passed('b'), passed('a')], turn: 'a' },
    // What was found once and passed since counts as passed.
    { past: [passed('a'), found('a'), passed('c'), passed('b')], turn: 'b' },
    // One that never passes does not keep the others from being drilled, and its turn comes again.
    { past: [found('a'), passed('c'), passed('b')], turn: 'b' },
    { past: [passed('b'), found('a'), passed('c')], turn: 'a' },
    { past: [found('gone'), passed('a')], turn: 'b' },
  ])('turn after $past', ({ past, turn }) => {
    expect(whoseTurn(['a', 'b', 'c'], past)).toBe(turn);
  });

  test('of one, it is its turn; of none, nobody’s', () => {
    expect(whoseTurn(['a'], [found('a')])).toBe('a');
    expect(whoseTurn([], [passed('a')])).toBeUndefined();
  });
});

const times = {
  fetchMs: 1_000,
  fetchedBytes: 5e6,
  loadMs: 2_000,
  mediaMs: 500,
  mediaBytes: 1e6,
  mediaFiles: 10,
};

describe('how long a full restore takes', () => {
  test('many small files by their number, few large ones by their bytes', () => {
    expect(forecastOf(times, { bytes: 2e6, files: 1_000 })).toEqual({
      totalMs: 53_000,
      detail: 'all but media 3.0 s, media 50 s (by 10 that were read)',
    });
    expect(forecastOf(times, { bytes: 1e9, files: 20 })?.totalMs).toBe(503_000);
    expect(forecastOf({ ...times, bootMs: 4_000 }, null)).toEqual({
      totalMs: 7_000,
      detail: 'all but media 7.0 s',
    });
  });

  test('all that were read are all; of media that were not read nothing is promised', () => {
    expect(forecastOf(times, { bytes: 1e6, files: 10 })?.detail).toContain('(all were read)');
    expect(forecastOf({ ...times, mediaFiles: 0, mediaBytes: 0 }, { bytes: 1, files: 1 })).toBeUndefined();
    expect(forecastOf({ ...times, mediaBytes: 0 }, { bytes: 0, files: 20 })?.totalMs).toBe(4_000);
  });
});

test('room for a delta is room for its full dump too, and files alone need none for the database', () => {
  const manifest = {
    ...aManifest,
    database: { sizeBytes: 9e9 },
    parts: [{ name: 'database', bytes: 2e9, files: 1, entries: [] }],
  } as unknown as Manifest;
  const full = drillNeed(manifest, 'database');
  expect(full).toBeGreaterThan(11e9);
  expect(full - drillNeed(manifest, 'files')).toBe(9e9);
  expect(drillNeed(manifest, 'files', { staged: true }) - drillNeed(manifest, 'files')).toBe(2e9);
  const delta = { full: 'x', fullBytes: 2e9, dumpBytes: 2e9, fullSha256: '', dumpSha256: '' };
  const small = { ...manifest, database: { ...manifest.database, delta } } as unknown as Manifest;
  expect(drillNeed(small, 'database') - full).toBe(4e9);
});
