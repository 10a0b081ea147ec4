import { describe, expect, test } from 'vitest';
import { rdbCreatedAt } from '../../../src/mastodon/redis-dump.js';

/** The first bytes of an RDB as Redis 7.0.15 writes them. */
const header = (ctime: string) =>
  Buffer.from(
    `524544495330303130fa0972656469732d76657206372e302e3135fa0a72656469732d62697473c040fa056374696d65${ctime}fa08757365642d6d656dc2a0c21000fa08616f662d62617365c000ff`,
    'hex',
  );

describe('the time at which an RDB was begun', () => {
  test('is in its header', () => {
    expect(rdbCreatedAt(header('c2a4a0216a'))).toBe(0x6a21a0a4);
  });

  test('in digits, when it no longer fits into 32 bits', () => {
    expect(rdbCreatedAt(header('0a32323430353231363030'))).toBe(2240521600);
  });

  test('is not known of what does not say it', () => {
    expect(rdbCreatedAt(Buffer.from('REDIS0006\u00ff', 'latin1'))).toBeNull();
    expect(rdbCreatedAt(Buffer.from('\u00fa\u0005ctime\u00c2aaaa', 'latin1'))).toBeNull();
    expect(rdbCreatedAt(Buffer.from('REDIS0010\u00fa\u0005ctime\u00c2', 'latin1'))).toBeNull();
    expect(rdbCreatedAt(Buffer.alloc(0))).toBeNull();
  });
});
