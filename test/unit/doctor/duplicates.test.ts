import { describe, expect, test } from 'vitest';
import { duplicatesSql, limits, type UniqueIndex, worthLooking } from '../../../src/doctor/duplicates.js';

const index = (name: string, more: Partial<UniqueIndex> = {}): UniqueIndex => ({
  ...{ name, table: `public.${name}`, bytes: 1e6, keys: ['key'], predicate: 'true' },
  ...{ nullsAreEqual: false, text: true, ...more },
});

describe('which unique indexes are looked at', () => {
  test('the notorious tables first, text before numbers, the small before the large', () => {
    const all = [
      index('follows', { text: false }),
      index('large', { bytes: 2e6 }),
      index('small'),
      index('statuses', { bytes: 200e6 }),
      index('accounts', { bytes: 100e6 }),
    ];
    const { chosen, left } = worthLooking(all, limits.quick);
    expect(chosen.map(({ name }) => name)).toEqual(['accounts', 'statuses', 'small', 'large', 'follows']);
    expect(left).toEqual([]);
  });

  test('a table that is too large is left, and so is what would be too much in all', () => {
    const huge = index('statuses', { bytes: 34e9 });
    const many = Array.from({ length: 6 }, (_, at) => index(`table${String(at)}`, { bytes: 200e6 }));
    const { chosen, left } = worthLooking([huge, ...many], limits.quick);
    expect(chosen).toHaveLength(5);
    expect(left.map(({ name }) => name)).toEqual(['statuses', 'table5']);
    expect(worthLooking([huge, ...many], limits.thorough).left).toEqual([]);
  });
});

test('keys are counted as the index sees them: its rows, its expressions, and NULLs that never collide', () => {
  const partial = index('index_x', { keys: ['lower(name)', 'domain'], predicate: 'uri IS NOT NULL' });
  const sql = duplicatesSql([partial, index("o'brien", { nullsAreEqual: true })], limits.quick);
  expect(sql).toContain(
    'WHERE (uri IS NOT NULL) AND (lower(name)) IS NOT NULL AND (domain) IS NOT NULL GROUP BY (lower(name)), (domain)',
  );
  expect(sql).toContain("SELECT 'o''brien', count(*)");
  expect(sql).toContain('WHERE (true) GROUP BY (key)');
});
