import { expect, test } from 'vitest';
import { newConfiguration } from '../../../scripts/sheet/new-configuration.js';
import { load } from '../config/parsed.js';

const whole = `instances:
  example.social:
    host: { ssh: backup@10.0.0.5, identityFile: id, knownHosts: known, sudo: true }
    mastodon: { root: /home/mastodon/live, extraFiles: [/etc/nginx/sites-available/mastodon], mediaCache: include }
    database: { jobs: 4, delta: off }
    retention: { daily: 14 }
    offsites: [box, vault]
    drill: { host: { ssh: drill@10.0.0.6 }, depth: files }
  other.example: { host: local, mastodon: { root: live } }
offsites:
  vault: { kind: restic, repository: "sftp:backup@vault:/srv", passwordFile: pw, knownHosts: known, bandwidth: 5M }
  cloud: { kind: rclone, remote: "cloudcrypt:mastodon", configFile: rclone.conf }
  box: { kind: rsync, target: "u@box:/srv", port: 23, identityFile: id, knownHosts: known, recipients: [age1xyz], ageIdentityFile: age }
temporal: { address: "temporal.internal:7233" }
trustedKeys: [other.pub]
state: state
`;

const files = new Map([
  [
    'vault',
    { passwordFile: '/etc/permafrost/vault.password', knownHosts: '/etc/permafrost/vault.known-hosts' },
  ],
  ['box', { identityFile: '/etc/permafrost/box.ssh-key', knownHosts: '/k', ageIdentityFile: '/a' }],
]);

test('the new server has the one instance, its own off-sites, and no schedule', () => {
  const before = load(whole);
  const text = newConfiguration(before, 'example.social', files, ['/etc/permafrost/signing-1.pub']);
  const after = load(text);
  expect(Object.keys(after.instances)).toEqual(['example.social']);
  expect(after.instances['example.social']).toEqual({
    ...before.instances['example.social'],
    host: { kind: 'local', folder: '/var/lib/permafrost/host' },
    offsites: ['vault', 'box'],
    schedule: {},
    drill: {
      host: { kind: 'local', folder: '/var/lib/permafrost/host' },
      depth: 'database',
      rotateOffsites: true,
    },
  });
  const { bandwidth, ...vault } = before.offsites['vault'] as { bandwidth?: number };
  expect(bandwidth).toBe(5 << 20);
  expect(after.offsites).toEqual({
    vault: { ...vault, ...files.get('vault') },
    box: { ...before.offsites['box'], ...files.get('box') },
  });
  expect(after.temporal).toEqual({ kind: 'embedded', port: 7233, uiPort: 8233 });
  expect(after.trustedKeys).toEqual(['/etc/permafrost/signing-1.pub']);
  expect(after.state).toBe('/var/lib/permafrost');
});

test('what is the default is not written: it is to be printed', () => {
  const text = newConfiguration(load(whole), 'other.example', new Map(), []);
  expect(text.split('\n').slice(0, 6)).toEqual([
    'instances:',
    '  other.example:',
    '    host: local',
    '    mastodon: { root: /etc/permafrost/live }',
    '    schedule: { backup: none, drill: none }',
    'offsites:',
  ]);
});
