import { expect, test } from 'vitest';
import { parseUnits, selectUnits } from '../../../src/mastodon/units.js';

/** As `systemctl show` of systemd 252 prints services of a host with two instances, a proxy and a nightly task. */
function shown(units: Record<string, Record<string, string | string[]>>): string {
  return Object.entries(units)
    .map(([id, properties]) =>
      Object.entries({ Type: 'simple', LoadState: 'loaded', ActiveState: 'active', ...properties, Id: id })
        .flatMap(([name, value]) => [value].flat().map((text) => `${name}=${text}\n`))
        .join(''),
    )
    .join('\n');
}

const live = '/home/mastodon/live';

const host = parseUnits(
  shown({
    'mastodon-web.service': {
      WorkingDirectory: live,
      UnitFileState: 'enabled',
      Environment: 'RAILS_ENV=production PORT=3000 "GREETING=a \\"b\\" c"',
      EnvironmentFiles: ['/etc/default/mastodon (ignore_errors=yes)', '/etc/mastodon.env (ignore_errors=no)'],
      FragmentPath: '/etc/systemd/system/mastodon-web.service',
      DropInPaths: '/etc/systemd/system/mastodon-web.service.d/a.conf /run/systemd/b.conf',
    },
    'mastodon-sidekiq@default.service': { WorkingDirectory: `!${live}/`, UnitFileState: 'enabled' },
    'mastodon-sidekiq@pull.service': {
      WorkingDirectory: live,
      ActiveState: 'inactive',
      UnitFileState: 'disabled',
    },
    'mastodon-streaming.service': {
      Type: 'oneshot',
      RemainAfterExit: 'yes',
      WorkingDirectory: '',
      UnitFileState: 'enabled',
      Wants: 'mastodon-streaming@4000.service network.target',
      ConsistsOf: 'mastodon-streaming@4000.service mastodon-streaming@4001.service',
    },
    'mastodon-streaming@4000.service': { WorkingDirectory: `${live}/streaming`, UnitFileState: 'disabled' },
    'mastodon-streaming@4001.service': { WorkingDirectory: live, UnitFileState: 'disabled' },
    'mastodon-vacuum.service': { Type: 'oneshot', RemainAfterExit: 'no', WorkingDirectory: live },
    'nginx.service': { WorkingDirectory: '', Wants: 'mastodon-web.service', UnitFileState: 'enabled' },
    'other-web.service': { WorkingDirectory: '/home/mastodon/live2' },
    'mastodon-masked.service': { LoadState: 'masked', WorkingDirectory: live },
    'ssh.service': { WorkingDirectory: '' },
  }),
);

test('the services of a root are found, with umbrellas and instances, and nothing else', () => {
  const units = selectUnits(host, [live]);
  expect(units.map(({ name, active, enabled }) => [name, active, enabled])).toEqual([
    ['mastodon-sidekiq@default.service', true, true],
    ['mastodon-sidekiq@pull.service', false, false],
    ['mastodon-streaming.service', true, true],
    ['mastodon-streaming@4000.service', true, true],
    ['mastodon-streaming@4001.service', true, false],
    ['mastodon-web.service', true, true],
  ]);
});

test('another instance on the same host is another one', () => {
  expect(selectUnits(host, ['/home/mastodon/live2']).map((unit) => unit.name)).toEqual(['other-web.service']);
});

test('a root is known by all its names', () => {
  expect(selectUnits(host, ['/srv/mastodon', live])).toHaveLength(6);
});

test('named units are taken as they are named, with what they want of the instance', () => {
  const units = selectUnits(host, [live], ['mastodon-streaming.service', 'ssh.service']);
  expect(units.map((unit) => unit.name)).toEqual([
    'mastodon-streaming.service',
    'mastodon-streaming@4000.service',
    'mastodon-streaming@4001.service',
    'ssh.service',
  ]);
});

test('what a unit sets and where it is written are read', () => {
  const web = selectUnits(host, [live]).find((unit) => unit.name === 'mastodon-web.service');
  expect(web).toMatchObject({
    environment: new Map([
      ['RAILS_ENV', 'production'],
      ['PORT', '3000'],
      ['GREETING', 'a "b" c'],
    ]),
    environmentFiles: ['/etc/default/mastodon', '/etc/mastodon.env'],
    files: [
      '/etc/systemd/system/mastodon-web.service',
      '/etc/systemd/system/mastodon-web.service.d/a.conf',
      '/run/systemd/b.conf',
    ],
  });
});
