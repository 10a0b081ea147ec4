import { expect, test } from 'vitest';
import { findingsOf, troublesOf } from '../../../scripts/init/describe.js';
import { Failure } from '../../../src/errors.js';
import type { LookedAt } from '../../../src/mastodon/look.js';

const unit = { environment: new Map(), environmentFiles: [], files: [] };

const found: LookedAt = {
  ...{ domain: 'example.social', root: '/srv/live', foundBy: 'units', envFile: '/srv/live/.env.production' },
  ...{ appUser: 'mastodon', version: '4.5.1', keys: [], overridden: [] },
  units: [
    { ...unit, name: 'mastodon-web.service', active: true, enabled: true },
    { ...unit, name: 'mastodon-sidekiq@pull.service', active: false, enabled: false },
    { ...unit, name: 'mastodon-streaming@4001.service', active: true, enabled: false },
  ],
  database: {
    ...{ host: 'db.internal', port: 5433, name: 'mastodon', user: 'mastodon', sslmode: 'require' },
    ...{ password: 'secret-of-the-database', pooled: false, major: 16, serverVersion: '16.4 (Debian)' },
    ...{ binDir: '/bin', sizeBytes: 6_100_000_000, local: false, pooler: null, byUrl: true },
  },
  redis: {
    ...{ host: '10.0.0.8', port: 6379, database: 0, tls: false, password: 'secret-of-redis' },
    ...{ appUser: 'mastodon', dump: '/data/dump.rdb', dir: '/data', aof: true, version: '7.2.4' },
    ...{ local: false, others: ['sidekiq'], tells: false },
  },
  media: { path: '/mnt/media', mountPoint: '/mnt/media', fstype: 'nfs' },
  health: { address: 'http://127.0.0.1:3000/health', answers: false },
};

test('what is odd about a server is said, and no secret is', () => {
  const said = Object.fromEntries(findingsOf(found).map(({ name, detail }) => [name, detail]));
  expect(said).toEqual({
    mastodon: '4.5.1, in /srv/live, of the user mastodon; found by its systemd units',
    services:
      'mastodon-web, mastodon-streaming@4001: running; mastodon-sidekiq@pull: not running; ' +
      'mastodon-streaming@4001: not enabled, so down after a reboot',
    database: 'mastodon, 6.1 GB, PostgreSQL 16.4, at db.internal:5433, on another machine, by DATABASE_URL',
    redis:
      '7.2.4, at 10.0.0.8:6379, on another machine, with a password, with an append-only file; ' +
      "CONFIG is closed to us; its dump is /data/dump.rdb; Sidekiq's queues have a Redis of their own, " +
      'which is NOT in the backup yet',
    media: '/mnt/media, on a mount of its own, /mnt/media (nfs)',
    health: 'http://127.0.0.1:3000/health does not answer',
  });
  expect(JSON.stringify(said)).not.toContain('secret-of');
  expect(troublesOf(found)).toEqual([]);
});

test('what could not be found out is a problem, with what to do', () => {
  const redis = new Failure('Refused', 'Redis is behind Sentinel.', { next: 'Name the master itself.' });
  expect(findingsOf({ ...found, redis }).map(({ name }) => name)).not.toContain('redis');
  expect(troublesOf({ ...found, redis })).toEqual([
    { problem: 'Redis is behind Sentinel.', next: 'Name the master itself.' },
  ]);
});
