import { describe, expect, it } from 'vitest';
import { idPartition, mediaFilesOf, mediaFilesSql } from '../../../src/mastodon/media-files.js';

const now = new Date('2026-11-21T03:17:00Z');
const yesterday = new Date('2026-11-19T03:17:00Z');

function paths(table: string, row: Record<string, unknown>): string[] {
  return mediaFilesOf(table, row, now).map((file) => file.path);
}

describe('the files that a row names', () => {
  it('lie in folders of three digits', () => {
    expect(idPartition(1234n)).toBe('000/001/234');
    expect(idPartition(999_999_999n)).toBe('999/999/999');
    expect(idPartition(1_000_000_000n)).toBe('001/000/000/000');
    expect(idPartition(116543210987654321n)).toBe('116/543/210/987/654/321');
    expect(idPartition(1234567890123n)).toBe('123/456/789/012');
  });

  it('avatars: the original, and a still image of a GIF', () => {
    const row = { id: '1234', domain: null, avatar_file_name: 'a.gif', avatar_content_type: 'image/gif' };
    expect(paths('accounts', row)).toEqual([
      'accounts/avatars/000/001/234/original/a.gif',
      'accounts/avatars/000/001/234/static/a.png',
    ]);
    expect(paths('accounts', { ...row, avatar_content_type: 'image/png' })).toHaveLength(1);
    expect(paths('accounts', { ...row, domain: 'elsewhere.example' })).toEqual([]);
  });

  it.each([
    ['image/jpeg', 'a.jpeg', ['original/a.jpeg', 'small/a.jpeg']],
    ['image/gif', 'a.gif', ['original/a.gif', 'small/a.png']],
    ['video/mp4', 'a.mp4', ['original/a.mp4', 'small/a.png']],
    ['audio/mpeg', 'a.mp3', ['original/a.mp3']],
  ])('attachments of %s', (type, name, expected) => {
    const row = { id: 116543210987654321n, remote_url: '', file_file_name: name, file_content_type: type };
    const folder = 'media_attachments/files/116/543/210/987/654/321/';
    expect(paths('media_attachments', row)).toEqual(expected.map((file) => folder + file));
  });

  it('attachments: not remote ones, not those being processed, tolerant of uploads that belong to no post', () => {
    const row = { id: 1, remote_url: '', processing: 2, created_at: yesterday, file_file_name: 'a.bin' };
    expect(mediaFilesOf('media_attachments', { ...row, file_file_size: '12' }, now)).toEqual([
      { path: 'media_attachments/files/000/000/001/original/a.bin', bytes: 12, tolerated: 'unattached' },
    ]);
    expect(mediaFilesOf('media_attachments', { ...row, status_id: '5' }, now)[0]?.tolerated).toBeNull();
    expect(mediaFilesOf('media_attachments', { ...row, created_at: now }, now)[0]?.tolerated).toBeNull();
    expect(paths('media_attachments', { ...row, processing: 1 })).toEqual([]);
    expect(paths('media_attachments', { ...row, remote_url: 'https://elsewhere.example/a.bin' })).toEqual([]);
  });

  it('site uploads: their sizes are derived', () => {
    const files = mediaFilesOf('site_uploads', { id: 3, var: 'thumbnail', file_file_name: 'x.jpg' }, now);
    expect(files.map((file) => [file.path.slice(31), file.tolerated])).toEqual([
      ['original/x.jpg', null],
      ['@1x/x.png', 'derived'],
      ['@2x/x.png', 'derived'],
    ]);
  });

  it.each([
    ['.bashrc', 'static/.bashrc.png'],
    ['a.tar.gz', 'static/a.tar.png'],
    ['noext', 'static/noext.png'],
    ['dot.', 'static/dot.png'],
  ])('%s: the extension is what Ruby takes for one', (name, expected) => {
    expect(paths('custom_emojis', { id: 1, domain: null, image_file_name: name })[1]).toContain(expected);
  });
});

it('asks nothing of a database without any of the tables', () => {
  expect(mediaFilesSql(new Map([['users', new Set(['id'])]]))).toBeNull();
});
