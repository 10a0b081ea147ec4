import { expect, test } from 'vitest';
import { besideName } from '../../../src/restore/database-names.js';

const restore = '20261122T031700Z';

test('a name says what the database is, and of which restore', () => {
  expect(besideName('mastodon_production', 'before', restore)).toBe(
    'mastodon_production_before_20261122t031700z',
  );
});

test('long names stay within what PostgreSQL takes, whole characters, and told apart', () => {
  const long = 'é'.repeat(31);
  const names = [`${long}a`, `${long}b`].map((name) => besideName(name, 'restore', restore));
  for (const name of names) {
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63);
    expect(name).toMatch(/^é+-[0-9a-f]{6}_restore_20261122t031700z$/);
  }
  expect(new Set(names).size).toBe(2);
});
