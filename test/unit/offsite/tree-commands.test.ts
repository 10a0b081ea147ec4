import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { localHost } from '../../../src/hosts/local.js';
import type { FollowJob } from '../../../src/offsite/offsite.js';
import { removeFiles, type Tree } from '../../../src/offsite/tree-commands.js';

test('the list that a job reads outlives who has written it; that of a call does not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-lists-'));
  const host = localHost({ folder: join(folder, 'host') });
  const work = join(folder, 'work');
  const lists: string[] = [];
  const transport = {
    remove: (_: string, list: string) => {
      lists.push(basename(dirname(list)));
      expect(readFileSync(list, 'utf8')).toBe('a\nb\n');
      return Promise.resolve('removed');
    },
  };
  const tree = { name: 'disk', place: { host, as: 'login', work }, transport } as unknown as Tree;
  const follow: FollowJob = () => Promise.reject(new Error('not asked for here'));
  try {
    await removeFiles(tree, 'backups', ['a', 'b'], follow);
    await removeFiles(tree, 'backups', ['a', 'b']);
    const ofProcess = new RegExp(String.raw`\b${String(process.pid)}\.[0-9a-f]{12}\.[0-9a-f]{12}$`);
    expect(lists.map((name) => ofProcess.test(name))).toEqual([false, true]);
    expect(readdirSync(work)).toEqual([]);
  } finally {
    await host.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
