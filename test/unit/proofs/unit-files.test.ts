import { expect, test } from 'vitest';
import { readUnitFiles } from '../../../src/proofs/unit-files.js';

test('what the files of a service set, drop-ins after it', () => {
  const [web, ...more] = readUnitFiles(
    new Map([
      [
        '/etc/systemd/system/mastodon-web.service.d/override.conf',
        `[Service]
Environment="DB_PASS=with a \\"quote\\"" PORT=3001
EnvironmentFile=-/etc/mastodon/*.env
`,
      ],
      [
        '/etc/systemd/system/mastodon-web.service',
        `[Unit]
Environment=NOT=here
[Service]
WorkingDirectory=/home/mastodon/live
Environment="RAILS_ENV=production"
# a comment
Environment="PORT=3000" \\
  'MALLOC=a b' bare
Environment="LD_PRELOAD=x"
EnvironmentFile=/gone
EnvironmentFile=
ExecStart=/home/mastodon/.rbenv/shims/bundle exec puma
[Install]
WantedBy=multi-user.target
`,
      ],
      ['/etc/systemd/system/restart.service', '[Service]\nType=oneshot\nEnvironment=X=1\n'],
    ]),
  );
  expect(more).toEqual([]);
  expect(web?.name).toBe('mastodon-web.service');
  expect(web?.files).toEqual([
    '/etc/systemd/system/mastodon-web.service',
    '/etc/systemd/system/mastodon-web.service.d/override.conf',
  ]);
  expect(Object.fromEntries(web?.environment ?? [])).toEqual({
    ...{ RAILS_ENV: 'production', PORT: '3001', MALLOC: 'a b', LD_PRELOAD: 'x' },
    DB_PASS: 'with a "quote"',
  });
  expect(web?.environmentFiles).toEqual(['/etc/mastodon/*.env']);
});

test('an empty Environment= takes back what was set before it', () => {
  const [web] = readUnitFiles(
    new Map([
      ['/x/web.service', '[Service]\nWorkingDirectory=/x\nEnvironment=A=1\n'],
      ['/x/web.service.d/a.conf', '[Service]\nEnvironment=\nEnvironment=B=2\n'],
    ]),
  );
  expect([...(web?.environment ?? [])]).toEqual([['B', '2']]);
});
