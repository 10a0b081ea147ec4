import { expect, test } from 'vitest';
import { writeConfiguration } from '../../../scripts/init/write.js';
import { parseConfiguration } from '../../../src/config/load.js';

const instance = { domain: 'example.social', notes: [], host: 'local' as const, root: '/srv/m', keys: [] };
const vault = {
  name: 'vault',
  notes: [],
  keys: { kind: 'restic', repository: '/srv/backups', passwordFile: 'vault.password' },
};

test('what is written loads, odd characters and all', () => {
  const text = writeConfiguration({
    head: ['Written by a test.'],
    instances: [
      {
        ...instance,
        domain: '1e3.example',
        host: { ssh: 'root@[fe80::1]', port: 2222, sudo: true, knownHosts: 'known: hosts #1' },
        root: '/srv/my "live": #1',
        keys: [
          { path: ['mastodon', 'media'], value: 'none', why: 'In S3.' },
          { path: ['mastodon', 'services'], value: { kind: 'systemd', units: ['a@1', 'b'] }, why: '' },
          { path: ['database', 'host'], value: '10.0.0.9', why: 'Behind a pooler.' },
          { path: ['database', 'port'], value: 5432, why: '' },
        ],
      },
      instance,
    ],
    offsites: [vault],
    state: '/srv/state',
  });
  const { instances, offsites, state } = parseConfiguration(text, '/etc/permafrost/permafrost.yaml', {});
  expect(instances['1e3.example']).toMatchObject({
    host: { kind: 'ssh', address: 'fe80::1', port: 2222, knownHosts: '/etc/permafrost/known: hosts #1' },
    mastodon: { root: '/srv/my "live": #1', media: 'none', services: { units: ['a@1', 'b'] } },
    database: { host: '10.0.0.9', port: 5432 },
  });
  expect(instances['example.social']?.mastodon.root).toBe('/srv/m');
  expect(offsites['vault']).toMatchObject({ passwordFile: '/etc/permafrost/vault.password' });
  expect(state).toBe('/srv/state');
});

test('nothing that a host says gets out of its comment', () => {
  const evil = 'found\ninstances: {}\r\u2028offsites: {}\u0085state: /evil';
  const text = writeConfiguration({
    head: [evil],
    instances: [
      { ...instance, notes: [evil], keys: [{ path: ['mastodon', 'media'], value: 'none', why: evil }] },
    ],
    offsites: [{ ...vault, notes: [evil] }],
  });
  const { state, instances } = parseConfiguration(text, '/etc/permafrost/permafrost.yaml', {});
  expect([state, Object.keys(instances)]).toEqual(['/var/lib/permafrost', ['example.social']]);
});

test('what somebody has to say is a comment that becomes a key when its mark is taken away', () => {
  const value = { kind: 'commands', start: [['/bin/true']], stop: [['/bin/true']], status: [['/bin/true']] };
  const long = { ...value, names: ['a'.repeat(60)] };
  const keys = [{ path: ['mastodon', 'services'], value: long, why: 'Say how.', toSay: true }];
  const text = writeConfiguration({ head: [], instances: [{ ...instance, keys }], offsites: [vault] });
  const read = (yaml: string) =>
    parseConfiguration(yaml, '/etc/permafrost.yaml', {}).instances['example.social']?.mastodon.services;
  expect(read(text)).toBeUndefined();
  expect(read(text.replace(/^( +)# (?!Say)/gm, '$1'))).toMatchObject({ kind: 'commands' });
});
