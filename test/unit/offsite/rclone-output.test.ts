import { describe, expect, it } from 'vitest';
import {
  complaintsOf,
  encryptionOf,
  isDamageAlone,
  refusedRemoval,
  remotesSchema,
  saidBy,
  transferProgress,
} from '../../../src/offsite/rclone-output.js';

const remotes = remotesSchema.parse({
  disk: { type: 'alias', remote: '/srv' },
  s3: { type: 's3', access_key_id: 'AK', secret_access_key: 'hidden' },
  crypt: { type: 'crypt', remote: 's3:bucket', password: 'hidden' },
  names: { type: 'crypt', remote: 's3:bucket', no_data_encryption: 'true' },
  'my chunks': { type: 'chunker', remote: 'crypt:chunks' },
  plainchunks: { type: 'chunker', remote: 'disk:chunks' },
  both: { type: 'union', upstreams: 'crypt:/a crypt:/b:ro' },
  half: { type: 'union', upstreams: 'crypt:/a s3:b' },
  rooms: { type: 'combine', upstreams: 'one=crypt:a two=my:b' },
  good: { type: 'combine', upstreams: 'one=crypt:a two=crypt:b' },
  inside: { type: 'compress', remote: ':crypt,remote="s3:bucket,x",password=abc:' },
  around: { type: 'alias', remote: 'again:' },
  again: { type: 'hasher', remote: 'around:' },
  lost: { type: 'alias', remote: 'nowhere:' },
});

describe('encryption of a remote of rclone', () => {
  it.each([
    'crypt:',
    'crypt:mastodon',
    'my chunks:x',
    'both:',
    'good:one',
    'inside:',
    ':crypt,remote="disk:":x',
    'crypt,password=x:y',
  ])('is seen in %s', (remote) => {
    expect(encryptionOf(remotes, remote)?.encrypted).toBe(true);
  });

  it.each([
    'disk:',
    's3:bucket',
    'names:x',
    'plainchunks:',
    'half:',
    'rooms:one',
    'around:',
    'lost:',
    '/srv/folder',
    's3,type=crypt:x',
    'crypt,no_data_encryption:x',
    ':local:/srv',
  ])('is missed in %s', (remote) => {
    expect(encryptionOf(remotes, remote)?.encrypted).toBe(false);
  });

  it('names the way that was looked at, and knows a remote that is not there', () => {
    expect(encryptionOf(remotes, 'plainchunks:')?.way).toEqual([
      'plainchunks (chunker)',
      'disk (alias)',
      'a local folder',
    ]);
    expect(encryptionOf(remotes, 'nowhere:x')).toBeUndefined();
    expect(encryptionOf(remotes, 'constructor:x')).toBeUndefined();
    expect(JSON.stringify(remotes)).not.toContain('hidden');
  });
});

const line = (level: string, msg: string, object = '') => JSON.stringify({ level, msg, object });
const stats = JSON.stringify({
  level: 'notice',
  msg: '\nTransferred: 1',
  stats: { bytes: 4096, transfers: 3 },
});
const auth = 'failed to authenticate decrypted block - bad password?';

describe("rclone's log", () => {
  it('tells how far a transfer is, however its beginning is cut', () => {
    expect(transferProgress(`ts":{"bytes":1}}\n${stats}\n${line('error', 'x')}\n`)).toEqual({
      bytes: 4096,
      files: 3,
    });
    expect(transferProgress('')).toEqual({});
  });

  it('tells each complaint once, and no attempts', () => {
    const log = [
      line('error', `Failed to copy: ${auth}`, 'ab/x'),
      line('error', `Attempt 1/3 failed with 1 errors and: ${auth}`),
      line('error', `Failed to copy: ${auth}`, 'ab/x'),
      stats,
      'Failed to start: out of luck',
    ].join('\n');
    expect(complaintsOf(log)).toHaveLength(2);
    expect(saidBy(log)).toBe(`ab/x: Failed to copy: ${auth}; Failed to start: out of luck`);
  });

  it('takes for damage only what is damage of every file that it complains of', () => {
    const damaged = line('error', `Failed to copy: ${auth}`, 'ab/x');
    const broken = line('error', 'Failed to copy: connection reset by peer', 'ab/y');
    const last = line('notice', `Failed to copy: ${auth}`);
    expect(isDamageAlone([damaged, stats, last].join('\n'))).toBe(true);
    expect(isDamageAlone([damaged, broken, last].join('\n'))).toBe(false);
    expect(isDamageAlone(last)).toBe(false);
    // Where it went wrong is not known.
    expect(isDamageAlone(line('error', 'corrupted on transfer: md5 hashes differ', 'ab/x'))).toBe(false);
  });

  it('knows a removal that is refused for good', () => {
    const couldNot = (why: string) => line('error', `Couldn't delete: ${why}`, 'x');
    expect(refusedRemoval(couldNot('AccessDenied: no'))).toBe('all');
    expect(refusedRemoval(couldNot('remove /x: operation not permitted'))).toBe('all');
    expect(refusedRemoval(couldNot('connection reset by peer'))).toBeUndefined();
    // A token that has expired.
    expect(refusedRemoval(couldNot('401 Unauthorized'))).toBeUndefined();
  });

  it('knows a removal of which only a part was refused', () => {
    const ended = (deletes: number, failed: number) =>
      [
        line('error', "Couldn't delete: AccessDenied: no", 'x'),
        line('error', `Attempt 1/1 failed with 2 errors and: failed to delete ${String(failed)} files`),
        JSON.stringify({ level: 'notice', msg: '', stats: { deletes } }),
        '',
      ].join('\n');
    expect(refusedRemoval(ended(2, 2))).toBe('all');
    expect(refusedRemoval(ended(2, 1))).toBe('some');
  });
});
