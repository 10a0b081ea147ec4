import { describe, expect, test } from 'vitest';
import type { VerifyReport } from '../../../src/backups/verify-report.js';
import {
  clip,
  formatBytes,
  formatCount,
  formatDistance,
  formatDuration,
  formatFields,
  formatTable,
  wrap,
} from '../../../src/terminal/format.js';
import { Pace } from '../../../src/terminal/pace.js';
import { plain } from '../../../src/terminal/paint.js';
import { plainText } from '../../../src/terminal/plain-text.js';
import { verifiedText } from '../../../src/terminal/verify-text.js';

describe('sizes and times', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1_000, '1.0 kB'],
    [1_234_567_890, '1.2 GB'],
    [345_600_000, '346 MB'],
    [999_960, '1.0 MB'],
    [5e18, '5000 PB'],
  ])('%d bytes', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  test.each([
    [400, '0.4 s'],
    [9_990, '10 s'],
    [42_000, '42 s'],
    [59_700, '1 min'],
    [192_000, '3 min 12 s'],
    [7_500_000, '2 h 5 min'],
    [86_399_000, '1 d'],
    [273_600_000, '3 d 4 h'],
  ])('%d ms', (ms, text) => expect(formatDuration(ms)).toBe(text));

  test('distances say which way', () => {
    const now = new Date('2026-11-21T03:00:00Z');
    expect(formatDistance('2026-11-21T02:00:00Z', now)).toBe('1 h ago');
    expect(formatDistance('2026-11-21T05:30:00Z', now)).toBe('in 2 h 30 min');
  });

  test('counts', () => {
    expect(formatCount(1, 'file')).toBe('1 file');
    expect(formatCount(1_234_567, 'file')).toBe('1 234 567 files');
  });
});

describe('columns', () => {
  test('numbers end, and words begin, in the same column', () => {
    const lines = formatTable(
      [{ title: 'part' }, { title: 'size', align: 'right' }],
      [
        ['database', '1.2 GB'],
        ['redis', '3 B'],
      ],
    );
    expect(lines).toEqual(['part        size', 'database  1.2 GB', 'redis        3 B']);
  });

  test('a long value is wrapped under itself and stays within 80 columns', () => {
    const lines = formatFields([
      ['what happened', 'the repository did not answer '.repeat(8).trim()],
      ['next', 'wait'],
    ]);
    expect(lines.every((line) => line.length <= 80)).toBe(true);
    expect(lines[1]?.startsWith(' '.repeat(17))).toBe(true);
    expect(lines.at(-1)).toBe('  next           wait');
  });

  test('an indent survives wrapping', () => {
    expect(wrap('two problems:\n  3:5 host: unknown', 80)).toEqual(['two problems:', '  3:5 host: unknown']);
  });

  test('a number stays with its thousands and its unit', () => {
    expect(wrap('read back 1 991 files, 111 MB', 12)).toEqual(['read back', '1 991 files,', '111 MB']);
    expect(wrap('took 3 min and', 6)).toEqual(['took', '3 min', 'and']);
  });

  test('in a table that is too wide, words are wrapped in their column', () => {
    const columns = [{ title: 'backup' }, { title: 'off-sites' }, { title: 'size', align: 'right' as const }];
    expect(formatTable(columns, [['one', 'vault, cloud, box', '1 B']], 25)).toEqual([
      'backup  off-sites    size',
      'one     vault,        1 B',
      '        cloud, box',
    ]);
  });

  test('a table that cannot fit becomes a block for each row', () => {
    const columns = [{ title: 'backup' }, { title: 'off-sites' }];
    expect(formatTable(columns, [['one', 'vault, cloud, box']], 16)).toEqual([
      'one',
      '  off-sites',
      '    vault,',
      '    cloud, box',
    ]);
  });

  test('letters that take two columns, and marks that take none, do not shift what follows', () => {
    const lines = formatFields([
      ['雪の日', 'a'],
      ['cafe\u0301', 'b'],
      ['plain', 'c'],
    ]);
    expect(lines).toEqual(['  雪の日  a', '  cafe\u0301    b', '  plain   c']);
    expect(clip('雪の日', 5)).toBe('雪の…');
  });

  test('what is cut says so', () => {
    expect(clip('a long line', 7)).toBe('a long…');
    expect(clip('short', 7)).toBe('short');
  });
});

test('text from elsewhere cannot move the cursor', () => {
  expect(plainText('gone\u001b[2J\r\nnext\u009b1A')).toBe('gone [2J \nnext 1A');
});

describe('pace', () => {
  test('speed and time left come from what heartbeats brought', () => {
    const pace = new Pace();
    pace.add(0, 0);
    pace.add(5_000, 0);
    pace.add(10_000, 100);
    expect(pace.perSecond(10_000)).toBe(10);
    expect(pace.leftMs(10_000, 300)).toBe(20_000);
  });

  test('nothing is promised before there is something to say', () => {
    const pace = new Pace();
    expect(pace.leftMs(0, 100)).toBeUndefined();
    pace.add(0, 50);
    expect(pace.leftMs(1_000, 100)).toBeUndefined();
  });

  test('a step that has stopped growing slows down', () => {
    const pace = new Pace(10_000);
    pace.add(0, 0);
    pace.add(10_000, 100);
    expect(pace.perSecond(100_000)).toBe(1);
  });

  test('a new attempt that begins again is not a negative speed', () => {
    const pace = new Pace();
    pace.add(0, 0);
    pace.add(1_000, 100);
    pace.add(2_000, 10);
    pace.add(3_000, 20);
    expect(pace.perSecond(3_000)).toBe(10);
  });
});

test('a verify says which off-sites do not have the backup that it found good', () => {
  const report: VerifyReport = {
    ...({ instance: 'example.social', backup: '20261122T031700Z', depth: 'new', status: 'passed' } as const),
    ...{ workflowId: '', runId: '', copies: [] as never[] },
    ...{ startedAt: '2026-11-22T12:00:00Z', finishedAt: '2026-11-22T12:00:10Z' },
  };
  expect(verifiedText({ ...report, notOn: ['box', 'attic'] }, plain).join('\n')).toMatch(
    /^  not on +box, attic$/m,
  );
  expect(verifiedText({ ...report, notOn: [] }, plain).join('\n')).not.toContain('not on');
});
