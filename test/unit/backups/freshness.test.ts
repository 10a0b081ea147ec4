import { describe, expect, test } from 'vitest';
import { DAY_MS, freshnessOf, isLate } from '../../../src/backups/freshness.js';
import { takenAway } from '../../../src/backups/taken-away.js';
import { freshnessLine, type OffsiteFreshness, worstState } from '../../../src/terminal/freshness-line.js';

const now = new Date('2026-11-22T12:00:00Z');
const hour = 3_600_000;

describe('how old the newest backup is', () => {
  test('by the time that its id names, in whatever order they come', () => {
    expect(freshnessOf(['20261121T060000Z', '20261122T060000Z', '20261120T060000Z'], now)).toEqual({
      newest: '20261122T060000Z',
      ageMs: 6 * hour,
      future: [],
    });
    expect(freshnessOf([], now)).toEqual({ newest: null, ageMs: null, future: [] });
  });

  test('one from the future silences no alarm; a clock that is a little ahead is no such one', () => {
    expect(freshnessOf(['20300101T000000Z', '20261120T120000Z'], now)).toEqual({
      newest: '20261120T120000Z',
      ageMs: 48 * hour,
      future: ['20300101T000000Z'],
    });
    expect(freshnessOf(['20261122T123000Z'], now)).toMatchObject({ newest: '20261122T123000Z', ageMs: 0 });
  });

  test('what is no id of ours is nothing', () => {
    expect(freshnessOf(['20269999T999999Z'], now)).toMatchObject({ newest: null });
  });

  test('late from 1.25 intervals on; where nothing starts backups, never', () => {
    expect(isLate(30 * hour, DAY_MS)).toBe(false);
    expect(isLate(30 * hour + 1, DAY_MS)).toBe(true);
    expect(isLate(null, DAY_MS)).toBe(true);
    expect(isLate(null, null)).toBe(false);
    expect(isLate(99 * hour, null)).toBe(false);
  });
});

describe('what was taken away', () => {
  const night = (day: number) => ({
    backup: `202611${String(day).padStart(2, '0')}T031700Z`,
    parts: ['database', 'media'] as const,
  });
  const policy = { last: 0, daily: 3, weekly: 0, monthly: 0, yearly: 0 };
  const gone = (there: number[], removed: number[] = [], sealed = [18, 19, 20, 21, 22]) =>
    takenAway(
      {
        sealed: sealed.map(night),
        there: there.map(night),
        removed: new Set(removed.map((day) => night(day).backup)),
      },
      policy,
      'UTC',
      { now },
    );

  test('is what retention would still keep, and no prune of ours has removed', () => {
    expect(gone([20, 21, 22])).toEqual([]); // the others are past, whoever removed them
    expect(gone([20, 22], [18, 19])).toEqual([night(21).backup]);
    expect(gone([20, 22], [18, 19, 21])).toEqual([]);
    expect(gone([])).toEqual([22, 21, 20].map((day) => night(day).backup));
  });

  test('what another machine has put there pushes older ones out', () => {
    expect(gone([20, 21, 22], [], [19])).toEqual([]);
  });
});

describe('the line for monitoring', () => {
  const limits = { warning: 108_000, critical: 172_800 };
  const one = (name: string, state: OffsiteFreshness['state'], ageMs: number | null, detail?: string) => ({
    ...{ name, state, newest: null, ageMs },
    ...(detail === undefined ? {} : { detail }),
  });

  test('begins with what is worst, and has the data of all that have some', () => {
    const offsites = [
      one('vault', 'OK', 6 * hour),
      one('cloud', 'UNKNOWN', null, 'no\nanswer | from there'),
      one('box', 'CRITICAL', 50 * hour, 'late'),
    ];
    expect(freshnessLine(offsites, limits)).toBe(
      'CRITICAL - box 2 d 2 h old: late, cloud: no answer / from there, vault 6 h old' +
        ' | vault_age=21600s;108000;172800 box_age=180000s;108000;172800',
    );
  });

  test('nothing to look at is unknown', () => {
    expect(worstState([])).toBe('UNKNOWN');
    expect(worstState(['OK', 'WARNING', 'UNKNOWN'])).toBe('UNKNOWN');
  });
});
