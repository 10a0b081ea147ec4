import { expect, test } from 'vitest';
import { placesBehind } from '../../../src/mastodon/find-behind.js';
import { readDiscovery } from '../../../src/mastodon/discover.js';
import { objectStorage, overriddenVariables } from '../../../src/mastodon/look.js';

/** What the script prints on a host: names and values, a NUL after each. */
function printed(...pairs: [string, ...string[]][]): string {
  return pairs.map(([name, ...fields]) => `${name}\0${fields.join('\t')}\0`).join('');
}

function unit(id: string, properties: Record<string, string>): string {
  return Object.entries({ Id: id, Type: 'simple', LoadState: 'loaded', ...properties })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

const live = '/home/mastodon/live';

test('instances are found by the folders of their units, each once', () => {
  const units = [
    unit('mastodon-web.service', { WorkingDirectory: live }),
    unit('mastodon-sidekiq-pull.service', { WorkingDirectory: `!${live}` }),
    unit('mastodon-streaming@4000.service', { WorkingDirectory: `${live}/streaming` }),
    unit('masto_ynh-web.service', { WorkingDirectory: '/var/www/masto_ynh/live' }),
    unit('mastodon-vacuum.service', { Type: 'oneshot', WorkingDirectory: '/srv/vacuum' }),
    unit('wiki.service', { WorkingDirectory: '/srv/wiki' }),
  ].join('\n');
  const { candidates } = readDiscovery(
    printed(
      ['units', units],
      ['env', '/data/mastodon', '/data/mastodon'],
      ['env', live, '/data/mastodon'],
      ['env', '/var/www/masto_ynh/live', '/var/www/masto_ynh/live'],
      ['env', '/srv/stale', '/srv/stale'],
    ),
  );
  expect(candidates).toEqual([
    { root: live, foundBy: 'units' },
    { root: '/var/www/masto_ynh/live', foundBy: 'units' },
    { root: '/srv/stale', foundBy: 'env file' },
  ]);
});

test('a home that is closed to us is known by the name of its unit', () => {
  const units = unit('mastodon-web.service', { WorkingDirectory: live });
  const { candidates, closed } = readDiscovery(printed(['units', units], ['closed', '/home/mastodon']));
  expect(candidates).toEqual([{ root: live, foundBy: 'units' }]);
  expect(closed).toEqual(['/home/mastodon']);
});

test('where the code lies in a store, the state folder is the root and the units are named', () => {
  const store = '/nix/store/0c1yj-mastodon-4.5.1';
  const worker = {
    WorkingDirectory: store,
    StateDirectory: 'mastodon',
    EnvironmentFiles: '/var/lib/mastodon/.secrets_env (ignore_errors=no)',
  };
  const units = [
    unit('mastodon-web.service', worker),
    unit('mastodon-sidekiq-all.service', worker),
    unit('mastodon-media-auto-remove.service', { ...worker, Type: 'oneshot' }),
  ].join('\n');
  expect(readDiscovery(printed(['units', units], ['code', store, store])).candidates).toEqual([
    {
      root: '/var/lib/mastodon',
      foundBy: 'units',
      envFile: '/var/lib/mastodon/.secrets_env',
      units: ['mastodon-sidekiq-all.service', 'mastodon-web.service'],
    },
  ]);
});

test("a running Puma leads to its folder, and its control group to its unit; a shell's does not", () => {
  const units = unit('social.service', {});
  const { candidates } = readDiscovery(
    printed(
      ['units', units],
      ['process', 'ruby', '/srv/social', 'here', '0::/system.slice/social.service '],
      ['process', '', '/srv/social', 'here', '0::/user.slice/user-0.slice/session-1.scope '],
      ['process', '', '/srv/social', 'here', '0::/user.slice/user@1.service/app.slice/own.service '],
      ['env', '/srv/social', '/srv/social'],
    ),
  );
  expect(candidates).toEqual([{ root: '/srv/social', foundBy: 'process', units: ['social.service'] }]);
});

test('a Puma in a container is told apart', () => {
  const found = readDiscovery(
    printed(['units', ''], ['process', 'ruby', '/opt/mastodon', 'container', '0::/docker/abc ']),
  );
  expect(found).toMatchObject({ candidates: [], contained: ['/opt/mastodon'] });
});

test('a folder that was named is looked at, whatever else is there', () => {
  const output = printed(['units', ''], ['env', '/srv/one', '/srv/one'], ['env', '/srv/two', '/srv/two']);
  expect(readDiscovery(output, ['/srv/two/']).candidates).toEqual([{ root: '/srv/two', foundBy: 'you' }]);
});

test.each([
  ['on another machine', 'pooler.internal', ['10.0.0.9', '5432', '5432'], ['10.0.0.9:5432']],
  ["on the pooler's machine", 'pooler.internal', ['127.0.0.1', '5433', '5433'], ['pooler.internal:5433']],
  ["on a socket of the pooler's machine", 'pooler.internal', ['', '', '5432'], ['pooler.internal:5432']],
  ['on a socket here', 'localhost', ['', '', '5433'], ['/var/run/postgresql:5433', '127.0.0.1:5433']],
])('behind a pooler, PostgreSQL is looked for %s', (_where, pooler, said, places) => {
  expect(placesBehind(pooler, said).map(({ host, port }) => `${host}:${String(port)}`)).toEqual(places);
});

test('object storage is that of Mastodon: S3 before Swift before Azure', () => {
  const env = (text: Record<string, string>) => new Map(Object.entries(text));
  expect(objectStorage(env({ S3_ENABLED: 'false', S3_BUCKET: 'old' }))).toBeNull();
  expect(objectStorage(env({ SWIFT_ENABLED: 'true', SWIFT_CONTAINER: 'files' }))).toEqual({
    storage: 'Swift',
    bucket: 'files',
  });
  expect(objectStorage(env({ AZURE_ENABLED: 'true' }))).toEqual({ storage: 'Azure', bucket: '' });
});

test('of what the units set, that is named which the env file has otherwise or a backup depends on', () => {
  const file = new Map([
    ['DB_HOST', 'localhost'],
    ['SMTP_SERVER', 'mail'],
    ['LOCAL_DOMAIN', 'example.social'],
  ]);
  const env = new Map([...file, ['DB_HOST', 'db'], ['REDIS_URL', 'x'], ['PORT', '3000'], ['DB_POOL', '25']]);
  expect(overriddenVariables(file, env)).toEqual(['DB_HOST', 'REDIS_URL']);
});
