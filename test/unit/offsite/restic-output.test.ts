import { describe, expect, it } from 'vitest';
import {
  escapePattern,
  includeLine,
  lastMessage,
  messageOf,
  summarySchema,
} from '../../../src/offsite/restic-output.js';

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
