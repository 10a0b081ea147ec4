import { describe, expect, it } from 'vitest';
import {
  backupsOf,
  escapePattern,
  includeLine,
  isDamage,
  isRefusal,
  messageOf,
  summarySchema,
} from '../../../src/offsite/restic-output.js';
import { lastMessage } from '../../../src/offsite/lines.js';

const summary = { message_type: 'summary', snapshot_id: 'a'.repeat(64), data_added: 7 };

describe("restic's output", () => {
  it('is read from its last summary, whatever stands before it and however its beginning is cut', () => {
    const output = `age_type":"status","bytes_done":1}\n${JSON.stringify({ message_type: 'status' })}\n${JSON.stringify(summary)}\n`;
    expect(lastMessage(output, summarySchema)).toEqual(summary);
    expect(lastMessage('nothing of the kind\n', summarySchema)).toBeUndefined();
  });

  it('is told in words: messages of --json, and plain text', () => {
    expect(messageOf('{"message_type":"exit_error","code":12,"message":"Fatal: wrong password"}')).toBe(
      'Fatal: wrong password',
    );
    expect(messageOf('{"message_type":"error","error":{"message":"open /x: permission denied"}}')).toBe(
      'open /x: permission denied',
    );
    expect(messageOf('Fatal: unable to open config file')).toBe('Fatal: unable to open config file');
  });
});

describe("restic's patterns", () => {
  it('take the characters of patterns as they are', () => {
    expect(escapePattern('/srv/a[1]*?\\b')).toBe('/srv/a\\[1\\]\\*\\?\\\\b');
  });

  it('survive the lines of an include file', () => {
    expect(includeLine('a/$HOME.png')).toBe('/a/$$HOME.png');
    expect(includeLine('a/two\nlines')).toBe('/a/two?lines');
    expect(includeLine('a/ends with a blank ')).toBe('/a/ends with a blank?');
    expect(includeLine('a/not\uFFFDutf-8')).toBe('/a/not*utf-8');
  });
});

describe('what restic finds broken', () => {
  it.each([
    'Fatal: cannot dump file: decrypting blob <data/f34377da> from 569d4e48 failed: ciphertext verification failed',
    'Fatal: cannot dump file: ReadFull(<data/bdaed61756>): file is too short',
    'Fatal: cannot dump file: "/database.dump" should be a file, but is a "symlink"',
    'Fatal: cannot dump file: ReadFull(<data/7243a93228>): open /srv/r/data/72/7243: no such file or directory',
  ])('is the fault of the copy: %s', (said) => {
    expect(isDamage(said)).toBe(true);
  });

  it.each([
    'subprocess ssh: Connection reset by peer',
    'Fatal: unable to open repository at sftp:vault: unable to start the sftp session, error: EOF',
    'Load(<data/1234>) returned error, retrying after 1s: dial tcp 10.0.0.6:8000: i/o timeout',
  ])('is told from a line that was cut: %s', (said) => {
    expect(isDamage(said)).toBe(false);
  });
});

describe('a removal that is refused', () => {
  it.each([
    'Remove(<snapshot/a4e3815bab>) failed: remove /srv/r/snapshots/a4e3: operation not permitted',
    '{"message_type":"exit_error","code":1,"message":"remove /srv/r/locks/a1c3: operation not permitted"}',
    'Remove(<snapshot/a4e3815bab>) failed: permission denied',
    'Remove(<snapshot/a4e3815bab>) failed: unexpected HTTP response (403): 403 Forbidden',
  ])('is refused for good: %s', (said) => {
    expect(isRefusal(said)).toBe(true);
  });

  it.each([
    'subprocess ssh: root@vault: Permission denied (publickey).',
    'unable to remove snapshot/a4e3 from the repository\nopen /srv/r/locks: input/output error',
  ])('is told from what another attempt may mend: %s', (said) => {
    expect(isRefusal(said)).toBe(false);
  });
});

describe('the backups that snapshots tell of', () => {
  const snapshot = (backup: string, part: string, time = backup) => ({
    ...{ id: `${backup}-${part}-${time}`, time, paths: [] },
    tags: ['permafrost', `backup=${backup}`, `part=${part}`],
  });
  const [older, newer, dead] = ['20260101T031700Z', '20260102T031700Z', '20260103T031700Z'] as const;

  it('are sealed by their newest manifest, with the parts that they hold; others are not sealed', () => {
    const found = [
      ...['database', 'media', 'media-index', 'manifest'].map((part) => snapshot(older, part)),
      ...['database', 'manifest'].map((part) => snapshot(newer, part)),
      snapshot(newer, 'manifest', '20260109T000000Z'),
      snapshot(dead, 'database'),
      { id: 'x', time: dead, paths: [], tags: ['somebody else'] },
    ];
    expect(backupsOf(found)).toEqual({
      sealed: [
        { backup: newer, parts: ['database'], key: `${newer}-manifest-20260109T000000Z` },
        { backup: older, parts: ['database', 'media'], key: `${older}-manifest-${older}` },
      ],
      unsealed: [dead],
    });
  });
});
