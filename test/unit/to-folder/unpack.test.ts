import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { unpackSecrets } from '../../../scripts/to-folder/unpack.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-unpack-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('what an archive of secrets holds goes below the folder, whatever it is called', async () => {
  const archive = pack();
  archive.entry({ name: '/home/mastodon/live/.env.production', mode: 0o640 }, 'SECRET=1\n');
  archive.entry({ name: '/etc/nginx/', type: 'directory', mode: 0o755 });
  archive.entry({ name: '/etc/nginx/sites available/ünï\ncode', mode: 0o4755 }, 'server {}\n');
  archive.entry({ name: '../outside', mode: 0o600 }, 'no');
  archive.entry({ name: '/etc/../../outside', mode: 0o600 }, 'no');
  archive.entry({ name: '/', mode: 0o600 }, 'no');
  // A link that leads out, and a file through it.
  archive.entry({ name: '/link', type: 'symlink', linkname: folder });
  archive.entry({ name: '/link/outside', mode: 0o600 }, 'yes, but not there');
  archive.entry({ name: '/hard', type: 'link', linkname: '/etc/passwd' });
  archive.entry({ name: '/null', type: 'character-device', devmajor: 1, devminor: 3 });
  // A second file of a name, and one below a file.
  archive.entry({ name: '/home/mastodon/live/.env.production', mode: 0o640 }, 'SECRET=2\n');
  archive.entry({ name: '/home/mastodon/live/.env.production/x', mode: 0o640 }, 'no');
  archive.finalize();
  const file = join(folder, 'secrets.tar');
  writeFileSync(file, await buffer(archive));

  const into = join(folder, 'secrets');
  expect(await unpackSecrets(file, into)).toEqual([
    ...['../outside', '/etc/../../outside', '/', '/link', '/hard', '/null'],
    ...['/home/mastodon/live/.env.production', '/home/mastodon/live/.env.production/x'],
  ]);
  const env = join(into, 'home/mastodon/live/.env.production');
  expect(readFileSync(env, 'utf8')).toBe('SECRET=1\n');
  expect(statSync(env).mode & 0o7777).toBe(0o640);
  expect(statSync(join(into, 'etc/nginx/sites available/ünï\ncode')).mode & 0o7777).toBe(0o755);
  expect(readFileSync(join(into, 'link/outside'), 'utf8')).toBe('yes, but not there');
  expect(readdirSync(folder).sort()).toEqual(['secrets', 'secrets.tar']);
});

test('an archive that is cut off, or none, says so', async () => {
  const archive = pack();
  archive.entry({ name: 'a' }, Buffer.alloc(5000, 'x'));
  archive.finalize();
  const whole = await buffer(archive);
  for (const [name, content] of [
    ['cut', whole.subarray(0, 3000)],
    ['none', Buffer.alloc(2000, 'x')],
  ] as const) {
    writeFileSync(join(folder, name), content);
    await expect(unpackSecrets(join(folder, name), join(folder, `${name}.out`))).rejects.toThrow(Error);
  }
});
