import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  changesClocks,
  nearest,
  parseDuration,
  parseFraction,
  parseSize,
  parseTimeOfDay,
  printDuration,
  printFraction,
  printSize,
  printTimeOfDay,
} from '../../../src/config/values.js';

describe('what is printed is read back as the same', () => {
  test('durations', () => {
    fc.assert(
      fc.property(fc.nat({ max: 10 ** 12 }), (durationMs) => {
        expect(parseDuration(printDuration(durationMs))).toBe(durationMs);
      }),
    );
  });

  test('sizes', () => {
    const bytes = fc
      .tuple(fc.nat({ max: 100_000 }), fc.nat({ max: 3 }))
      .map(([count, power]) => count * 1024 ** power);
    fc.assert(
      fc.property(bytes, (size) => {
        expect(parseSize(printSize(size))).toBe(size);
      }),
    );
  });

  test('fractions', () => {
    fc.assert(
      fc.property(fc.nat({ max: 1_000_000 }), (millionths) => {
        const fraction = millionths / 1_000_000;
        expect(parseFraction(printFraction(fraction))).toBe(fraction);
      }),
    );
  });

  test('times', () => {
    const time = fc.record({ hour: fc.nat({ max: 23 }), minute: fc.nat({ max: 59 }) });
    fc.assert(fc.property(time, (at) => void expect(parseTimeOfDay(printTimeOfDay(at))).toEqual(at)));
  });
});

test.each([
  ['10m', 600_000],
  ['1h30m', 5_400_000],
  ['90s', 90_000],
  ['250ms', 250],
  ['2d', 172_800_000],
])('%s is %i milliseconds', (text, durationMs) => {
  expect(parseDuration(text)).toBe(durationMs);
});

test.each(['', '10', 'm', '10 m', '-1m', '1.5h', '5m1h', '10M', '99999999999999d'])(
  '%j is no duration',
  (text) => {
    expect(parseDuration(text)).toBeNull();
  },
);

test.each([
  ['20M', 20 * 1024 ** 2],
  ['1.5G', 1.5 * 1024 ** 3],
  ['512', 512],
  ['512KiB', 512 * 1024],
])('%s is %i bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(['24:00', '3:17', '03:60', '0317', ' 03:17'])('%j is no time', (text) => {
  expect(parseTimeOfDay(text)).toBeNull();
});

test.each(['101%', '5', '-1%', '0.00001%'])('%j is no fraction', (text) => {
  expect(parseFraction(text)).toBeNull();
});

test('the nearest word is one that was likely meant', () => {
  expect(nearest('breif', ['brief', 'full', 'none'])).toBe('brief');
  expect(nearest('RootFolder', ['root', 'media'])).toBeNull();
});

test('timezones that change their clocks are known on both hemispheres', () => {
  expect(['Europe/Berlin', 'Australia/Sydney', 'UTC', 'Asia/Tokyo'].map(changesClocks)).toEqual([
    true,
    true,
    false,
    false,
  ]);
});
