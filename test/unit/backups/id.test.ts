import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backupIdOf, backupIdPattern, timeOfBackup } from '../../../src/backups/id.js';

const seconds = fc
  .integer({ min: 0, max: Date.UTC(9999, 11, 31) / 1000 })
  .map((value) => new Date(value * 1000));

describe("a backup's id", () => {
  test('is the UTC time of its beginning, to the second', () => {
    expect(backupIdOf(new Date('2026-11-21T03:17:00.999Z'))).toBe('20261121T031700Z');
    expect(backupIdOf(new Date('2026-11-21T00:17:00+05:30'))).toBe('20261120T184700Z');
  });

  test('names its time', () => {
    fc.assert(
      fc.property(seconds, (time) => {
        expect(backupIdOf(time)).toMatch(backupIdPattern);
        expect(timeOfBackup(backupIdOf(time))).toEqual(time);
      }),
    );
  });

  test('sorts as time does', () => {
    fc.assert(
      fc.property(seconds, seconds, (one, other) => {
        expect(Math.sign(one.getTime() - other.getTime())).toBe(
          backupIdOf(one) < backupIdOf(other) ? -1 : backupIdOf(one) > backupIdOf(other) ? 1 : 0,
        );
      }),
    );
  });

  test.each([
    ['nothing', ''],
    ['a word', 'latest'],
    ['a path', '../20261121T031700Z'],
    ['an option', '-20261121T031700Z'],
    ['two lines', '20261121T031700Z\n'],
    ['no zone', '20261121T031700'],
    ['a month that is none', '20261321T031700Z'],
    ['an hour that is none', '20261121T251700Z'],
    ['a date that is none', '20260230T031700Z'],
  ])('%s is not one', (_, id) => {
    expect(() => timeOfBackup(id)).toThrow(RangeError);
  });
});
