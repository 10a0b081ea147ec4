import { expect, test } from 'vitest';
import { missingKeys, parseEnvFile, secretVariables } from '../../../src/mastodon/env-file.js';

test.each([
  ['A=b', 'b'],
  ['A = b ', 'b'],
  ['export A=b', 'b'],
  ['  A=b # a comment', 'b'],
  ['A=b#c', 'b'],
  ['A="b#c"', 'b#c'],
  ["A='b # c' # d", 'b # c'],
  ['A="b\\"c\\nd"', 'b"c\nd'],
  ["A='b\\nc'", 'b\\nc'],
  ['A="b\nc"\nB=d', 'b\nc'],
  ['A=b=c==', 'b=c=='],
  ['A=', ''],
  ['A=""', ''],
  ['A=b\r\nC=d\r\n', 'b'],
  ['\uFEFFA=b', 'b'],
  ['A=b\nA=c', 'c'],
  ['A=$B', '$B'],
  ["A=it's", "it's"],
  ['A=käse und brot', 'käse und brot'],
  ['# A=x\n#\n\nnonsense\nA=b', 'b'],
])('%j', (text, value) => {
  expect(parseEnvFile(text).get('A')).toBe(value);
});

test('a comment names no variable', () => {
  expect([...parseEnvFile('# A=b\n  #B=c\nC=d # E=f\n')]).toEqual([['C', 'd']]);
});

test('secrets are known by their names', () => {
  const env = parseEnvFile(
    'LOCAL_DOMAIN=a\nDB_PASS=b\nDB_USER=c\nDATABASE_URL=d\nSECRET_KEY_BASE=e\nVAPID_PUBLIC_KEY=f\n' +
      'VAPID_PRIVATE_KEY=g\nACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY=h\nREDIS_PASSWORD=\nSIDEKIQ_REDIS_URL=i\n' +
      'DEEPL_API_KEY=j\nS3_BUCKET=k\n',
  );
  expect(secretVariables(env)).toEqual([
    'DB_PASS',
    'DATABASE_URL',
    'SECRET_KEY_BASE',
    'VAPID_PRIVATE_KEY',
    'ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY',
    'SIDEKIQ_REDIS_URL',
    'DEEPL_API_KEY',
  ]);
});

test.each([
  ['4.2.9', ['SECRET_KEY_BASE', 'OTP_SECRET']],
  ['4.3.0', ['SECRET_KEY_BASE', 'OTP_SECRET', 'PRIMARY_KEY', 'KEY_DERIVATION_SALT', 'DETERMINISTIC_KEY']],
  ['4.5.1', ['SECRET_KEY_BASE', 'PRIMARY_KEY', 'KEY_DERIVATION_SALT', 'DETERMINISTIC_KEY']],
  [null, ['SECRET_KEY_BASE', 'PRIMARY_KEY', 'KEY_DERIVATION_SALT', 'DETERMINISTIC_KEY']],
])('Mastodon %s does not start without its keys', (version, names) => {
  const missing = missingKeys(new Map([['SECRET_KEY_BASE', '']]), version);
  expect(missing.map((name) => name.replace('ACTIVE_RECORD_ENCRYPTION_', ''))).toEqual(names);
});
