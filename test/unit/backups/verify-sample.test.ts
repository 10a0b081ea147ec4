import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nightsToReadAll, pickForVerify, verifyFolder } from '../../../src/backups/verify-sample.js';

const fraction = fc.oneof(
  fc.constantFrom(0.05, 0.1, 0.25, 1 / 3, 0.5, 1),
  fc.double({ min: 0.01, max: 1, noNaN: true }),
);

describe('the share of old files that a night reads back', () => {
  it('has read every file exactly once after a whole cycle, wherever it begins', () => {
    fc.assert(
      fc.property(fraction, fc.nat(100_000), fc.uint8Array({ maxLength: 60 }), (share, first, name) => {
        const nights = Array.from({ length: nightsToReadAll(share) }, (_, i) => first + i);
        const picked = nights.filter((ordinal) => pickForVerify(ordinal, share)(Buffer.from(name)));
        expect(picked).toHaveLength(1);
      }),
      { numRuns: 200 },
    );
  });

  it('is about as large as asked for, every night', () => {
    const files = Array.from({ length: 20_000 }, (_, i) => `media_attachments/files/${i}/original/x.png`);
    for (const ordinal of [0, 7, 19, 20, 1234]) {
      const share = files.filter(pickForVerify(ordinal, 0.05)).length / files.length;
      expect(share).toBeGreaterThan(0.04);
      expect(share).toBeLessThan(0.06);
    }
  });

  it('is the same for the same night, all for 1, nothing for 0', () => {
    expect(pickForVerify(3, 0.05)('a')).toBe(pickForVerify(3, 0.05)(Buffer.from('a')));
    expect(pickForVerify(9, 1)('a')).toBe(true);
    expect(pickForVerify(9, 0)('a')).toBe(false);
    expect(nightsToReadAll(0.05)).toBe(20);
    expect(() => nightsToReadAll(1.5)).toThrow(RangeError);
  });
});

it('old files are read back with their folder: some hours of uploads, or a thousand small ids', () => {
  const media = 'media_attachments/files/116/543';
  expect(verifyFolder(`${media}/210/987/654/321/original/0123456789abcdef.png`)).toBe(media);
  expect(verifyFolder('accounts/avatars/000/001/234/original/a.png')).toBe('accounts/avatars/000/001');
  expect(verifyFolder('site_uploads/files/a.png')).toBe('site_uploads/files');
  expect(verifyFolder('robots.txt')).toBe('');
});
