import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { describe, expect, test } from 'vitest';
import { asksForPassword, sudoersText } from '../../../src/hosts/sudoers.js';

const hasVisudo = execaSync('sh', ['-c', 'command -v visudo'], { reject: false }).exitCode === 0;

describe('the text of a sudoers file', () => {
  test('has each rule once, with every word of it', () => {
    const stop = { as: 'root', argv: ['/usr/bin/systemctl', 'stop', 'mastodon-streaming@4000.service'] };
    expect(sudoersText('backup', [{ as: 'mastodon', argv: 'ALL' }, stop, stop], ['what it is'])).toBe(
      '# what it is\n' +
        'backup ALL=(mastodon) NOPASSWD: ALL\n' +
        'backup ALL=(root) NOPASSWD: /usr/bin/systemctl stop mastodon-streaming@4000.service\n',
    );
  });

  test('takes the meaning from what sudoers would read as a pattern or a separator', () => {
    const argv = ['/usr/bin/cat', '/a*b?[c]', '--unit=x:y,z', 'back\\slash'];
    expect(sudoersText('backup', [{ as: 'root', argv }])).toContain(
      String.raw`/usr/bin/cat /a\*b\?\[c\] --unit\=x\:y\,z back\\slash`,
    );
  });

  // sudo compares words joined by blanks: `cat /a b` would allow `cat /a` and another file.
  test.each(['a b', 'a\tb', 'a\nroot ALL=(ALL) ALL', '', '"quoted"', '^.*$', 'a#b'])('refuses %j', (word) => {
    expect(() => sudoersText('backup', [{ as: 'root', argv: ['/usr/bin/cat', word] }])).toThrow(/exactly/);
  });

  test.skipIf(!hasVisudo)('is accepted by visudo', () => {
    const folder = mkdtempSync(join(tmpdir(), 'permafrost-sudoers-'));
    try {
      const file = join(folder, 'sudoers');
      const argv = ['/usr/bin/systemd-run', '--unit=a', '--on-active=900', '/bin/bash', '/x:y/*.sh', 'fire'];
      writeFileSync(file, sudoersText('backup', [{ as: 'root', argv }], ['a comment']));
      expect(execaSync('visudo', ['-cqf', file], { reject: false }).exitCode).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** As sudo 1.9.13 prints it with `-ll`. */
const listing = `Matching Defaults entries for backup on vm:
    env_reset, mail_badpass, secure_path=/usr/local/sbin\\:/usr/sbin, use_pty

User backup may run the following commands on vm:

Sudoers entry:
    RunAsUsers: root
    Options: !authenticate
    Commands:
\t/usr/bin/systemctl start mastodon-web.service
\t/usr/bin/systemd-run --on-active\\=900 /bin/bash

Sudoers entry:
    RunAsUsers: root
    Options: authenticate
    Commands:
\t/usr/bin/systemctl stop mastodon-web.service

Sudoers entry:
    RunAsUsers: mastodon
    Commands:
\tALL
`;

describe('a rule that is granted, but only after a password', () => {
  const asks = (as: string, argv: readonly string[] | 'ALL', text = listing) =>
    asksForPassword(text, { as, argv });

  test('is told from one that asks for none', () => {
    expect(asks('root', ['/usr/bin/systemctl', 'start', 'mastodon-web.service'])).toBe(false);
    expect(asks('root', ['/usr/bin/systemd-run', '--on-active=900', '/bin/bash'])).toBe(false);
    expect(asks('root', ['/usr/bin/systemctl', 'stop', 'mastodon-web.service'])).toBe(true);
    expect(asks('mastodon', 'ALL')).toBe(true);
  });

  test('as the last entry that fits says', () => {
    const all = (options: string) =>
      `\nSudoers entry: /etc/sudoers.d/x\n    RunAsUsers: ALL\n${options}    Commands:\n\tALL\n`;
    expect(asks('mastodon', 'ALL', listing + all('    Options: !authenticate\n'))).toBe(false);
    expect(asks('root', ['/usr/bin/systemctl', 'start', 'mastodon-web.service'], listing + all(''))).toBe(
      true,
    );
  });

  test('and not where passwords are switched off, or nothing fits as it is written', () => {
    expect(asks('mastodon', 'ALL', listing.replace('env_reset', '!authenticate'))).toBe(false);
    expect(asks('root', ['/usr/bin/cat', '/x'])).toBe(false);
  });
});
