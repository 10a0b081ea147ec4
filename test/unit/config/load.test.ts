import { describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import type { TemporalConfig } from '../../../src/config/configuration.js';
import { explainConfiguration } from '../../../src/config/explain.js';
import { file, load, problems } from './parsed.js';

const smallest = `instances:
  example.social:
    host: local
    mastodon: { root: /home/mastodon/live }
offsites:
  vault: { kind: restic, repository: "sftp:backup@vault:/srv/restic", passwordFile: vault.password }
`;

const whole = `instances:
  example.social:
    host: { ssh: backup@10.0.0.5, port: 2222, identityFile: id_ed25519, knownHosts: /etc/ssh/known, sudo: true }
    mastodon:
      root: /home/mastodon/live/
      envFile: /home/mastodon/live/.env.production
      media: none
      mediaCache: include
      redisDump: /var/lib/redis/dump.rdb
      services: { kind: systemd, units: [mastodon-web, mastodon-sidekiq, mastodon-streaming@4000.service] }
      health: http://127.0.0.1:3000/health
      extraFiles: [/etc/nginx/sites-available/mastodon, /etc/systemd/system/mastodon-*.service.d]
    database: { format: custom, jobs: 4, lockWaitTimeout: 30s, delta: off, host: /run/postgresql, port: 5433 }
    quiesce: { mode: full, budget: 30m, lease: 1h }
    offsites: [cloud]
    allow: [other-domain, smaller-database]
    verify: { media: { new: 50%, old: 0.5% } }
    retention: { last: 1, daily: 2, weekly: 3, monthly: 4, yearly: 5 }
    schedule: { backup: { at: "04:05", timezone: Europe/Berlin, catchUp: 1h, jitter: 0s }, drill: none }
    drill:
      host: { ssh: "root@[2001:db8::7]" }
      depth: application
      rotateOffsites: false
      folder: /srv/drills
      application:
        command: [bundle, exec, puma, -C, config/puma.rb]
        directory: /home/mastodon/live
        environment: { MALLOC_ARENA_MAX: "2" }
        user: mastodon
        health: /up
        timeout: 90s
  other.example:
    host: local
    mastodon:
      root: live
      services:
        kind: commands
        start: [[docker, compose, start, web], [docker, compose, start, sidekiq]]
        stop: [[docker, compose, stop, web], [docker, compose, stop, sidekiq]]
        status: [[is-up, web], [is-up, sidekiq]]
        names: [web, sidekiq]
offsites:
  vault: { kind: restic, repository: backups, passwordFile: ~/vault.password, environmentFile: b2.env }
  cloud: { kind: rclone, remote: "cloudcrypt:mastodon", configFile: rclone.conf, configPasswordFile: pw, bandwidth: 5M }
  box: { kind: rsync, target: "user@box:/srv/backups", port: 23, identityFile: id, knownHosts: known, recipients: [age1xyz] }
temporal: { address: "temporal.internal:7233", apiKeyFile: api.key, tls: { caFile: ca.pem } }
reports: { url: "https://reports.example/" }
trustedKeys: [other.pub]
state: ../state
`;

test('a host, a root and one off-site are enough', () => {
  const configuration = load(smallest);
  expect(configuration).toEqual({
    file,
    instances: {
      'example.social': {
        domain: 'example.social',
        host: { kind: 'local', folder: '/var/lib/permafrost/host' },
        mastodon: { root: '/home/mastodon/live', mediaCache: 'exclude', extraFiles: [] },
        database: { format: 'custom', jobs: 2, lockWaitTimeoutMs: 10_000, fullEveryMs: 604_800_000 },
        quiesce: { mode: 'brief', budgetMs: 600_000, leaseMs: 900_000 },
        offsites: ['vault'],
        allow: [],
        verify: { media: { new: 1, old: 0.05 } },
        retention: { last: 3, daily: 7, weekly: 4, monthly: 12, yearly: 0 },
        schedule: {
          backup: { hour: 3, minute: 17, timezone: 'UTC', catchUpMs: 21_600_000, jitterMs: 300_000 },
          drill: { day: 1, hour: 5, minute: 0, timezone: 'UTC', catchUpMs: 21_600_000, jitterMs: 300_000 },
        },
        drill: {
          host: { kind: 'local', folder: '/var/lib/permafrost/host' },
          depth: 'database',
          rotateOffsites: true,
        },
      },
    },
    offsites: {
      vault: {
        kind: 'restic',
        name: 'vault',
        repository: 'sftp:backup@vault:/srv/restic',
        passwordFile: '/etc/permafrost/vault.password',
      },
    },
    temporal: { kind: 'embedded', port: 7233, uiPort: 8233 },
    reports: { port: 8243 },
    state: '/var/lib/permafrost',
    trustedKeys: [],
  });
});

test('everything that can be written is understood', () => {
  const { instances, offsites, temporal, reports, state } = load(whole, { HOME: '/root' });
  expect(state).toBe('/etc/state');
  expect(reports).toEqual({ port: 8243, url: 'https://reports.example' });
  expect(temporal).toEqual({
    kind: 'address',
    address: 'temporal.internal:7233',
    namespace: 'default',
    apiKeyFile: '/etc/permafrost/api.key',
    tls: { caFile: '/etc/permafrost/ca.pem' },
  });
  expect(instances['example.social']).toMatchObject({
    host: {
      kind: 'ssh',
      user: 'backup',
      address: '10.0.0.5',
      port: 2222,
      identityFile: '/etc/permafrost/id_ed25519',
      knownHosts: '/etc/ssh/known',
      sudo: true,
    },
    mastodon: { root: '/home/mastodon/live', media: 'none' },
    database: { host: '/run/postgresql', port: 5433 },
    allow: ['other-domain', 'smaller-database'],
    verify: { media: { new: 0.5, old: 0.005 } },
    schedule: { backup: { hour: 4, minute: 5, timezone: 'Europe/Berlin', jitterMs: 0 } },
    drill: {
      host: { kind: 'ssh', user: 'root', address: '2001:db8::7', port: 22, sudo: false },
      application: {
        command: ['bundle', 'exec', 'puma', '-C', 'config/puma.rb'],
        directory: '/home/mastodon/live',
        environment: { MALLOC_ARENA_MAX: '2' },
        user: 'mastodon',
        health: '/up',
        timeoutMs: 90_000,
      },
    },
  });
  expect(instances['example.social']?.schedule.drill).toBeUndefined();
  expect(instances['other.example']?.mastodon).toMatchObject({
    root: '/etc/permafrost/live',
    services: {
      services: [
        { name: 'web', start: ['docker', 'compose', 'start', 'web'], status: ['is-up', 'web'] },
        { name: 'sidekiq', stop: ['docker', 'compose', 'stop', 'sidekiq'] },
      ],
    },
  });
  expect(instances['other.example']?.offsites).toEqual(['vault', 'cloud', 'box']);
  expect(offsites).toMatchObject({
    vault: { repository: '/etc/permafrost/backups', passwordFile: '/root/vault.password' },
    cloud: { kind: 'rclone', configFile: '/etc/permafrost/rclone.conf', encrypted: true },
    box: { kind: 'rsync', knownHosts: '/etc/permafrost/known' },
  });
});

test.each([smallest, whole])('what config show prints is read back as the same configuration', (text) => {
  const configuration = load(text, { HOME: '/root' });
  expect(load(explainConfiguration(configuration))).toEqual(configuration);
});

test('one argv each makes one service called mastodon', () => {
  const text = smallest.replace(
    'live }',
    'live, services: { kind: commands, start: [up], stop: [down], status: [test, -e, /run/up] } }',
  );
  expect(load(text).instances['example.social']?.mastodon.services).toEqual({
    kind: 'commands',
    services: [{ name: 'mastodon', start: ['up'], stop: ['down'], status: ['test', '-e', '/run/up'] }],
  });
});

describe.each<[string, string, NodeJS.ProcessEnv, TemporalConfig]>([
  ['nothing', '', {}, { kind: 'embedded', port: 7233, uiPort: 8233 }],
  ['TEMPORAL_ADDRESS', '', { TEMPORAL_ADDRESS: 'x:7233' }, { kind: 'profile' }],
  ['TEMPORAL_PROFILE', '', { TEMPORAL_PROFILE: 'prod' }, { kind: 'profile' }],
  [
    'embedded in both',
    'temporal: embedded',
    { TEMPORAL_ADDRESS: 'x:7233' },
    { kind: 'embedded', port: 7233, uiPort: 8233 },
  ],
  [
    'a cluster that knows its clients',
    'temporal: { address: "t:7233", authenticatesClients: true }',
    {},
    { kind: 'address', address: 't:7233', namespace: 'default', authenticatesClients: true },
  ],
  ['a port', 'temporal: { embedded: { port: 7300 } }', {}, { kind: 'embedded', port: 7300, uiPort: 8300 }],
  [
    'a profile and its file',
    'temporal: { profile: prod, file: temporal.toml }',
    {},
    { kind: 'profile', profile: 'prod', file: '/etc/permafrost/temporal.toml' },
  ],
])('Temporal from %s', (_, line, env, expected) => {
  test('is found', () => {
    expect(load(smallest + line, env).temporal).toEqual(expected);
  });
});

/** A line of YAML below `example.social`, and the problem that it is refused with. */
test.each([
  [
    'quiesce: { lease: 90s }',
    '5:23 instances.example.social.quiesce.lease: found "90s"; expected a duration such as 15m (at least 2m, at most 1d)',
  ],
  [
    'quiesce: { budget: 20m }',
    '5:5 instances.example.social.quiesce.lease: missing; expected a lease (15m by default) at least as long as the budget (10m by default)',
  ],
  [
    'quiesce: { mode: breif }',
    '5:22 instances.example.social.quiesce.mode: found "breif"; expected brief, full or none; did you mean brief?',
  ],
  [
    'quiecse: { mode: brief }',
    '5:5 instances.example.social.quiecse: unknown key "quiecse"; did you mean quiesce?',
  ],
  [
    'database: { jobs: many }',
    '5:23 instances.example.social.database.jobs: found "many"; expected a whole number from 1 to 32',
  ],
  [
    'database: 5',
    '5:15 instances.example.social.database: found 5; expected keys and values, such as format: …',
  ],
  [
    'offsites: [valt]',
    '5:16 instances.example.social.offsites.0: there is no off-site "valt"; did you mean vault?',
  ],
  [
    'offsites: []',
    '5:5 instances.example.social.offsites: found an empty list; expected at least one off-site; leave offsites out for all of them',
  ],
  [
    'verify: { media: { old: 5 } }',
    '5:29 instances.example.social.verify.media.old: found 5; expected all, none or a percentage such as 5%',
  ],
  [
    'retention: { last: 0 }',
    '5:24 instances.example.social.retention.last: found 0; expected a whole number from 1 to 10000',
  ],
  [
    'schedule: { backup: { at: "3:17" } }',
    '5:31 instances.example.social.schedule.backup.at: found "3:17"; expected a time such as "03:17"',
  ],
  [
    'schedule: { backup: { at: "02:30", timezone: Europe/Berlin } }',
    '5:31 instances.example.social.schedule.backup.at: found "02:30"; expected a time before 01:00 or from 03:00 on: when clocks change in Europe/Berlin, one in between is skipped or comes twice (or use timezone: UTC)',
  ],
  [
    'schedule: { backup: { timezone: Europe/Berln } }',
    '5:37 instances.example.social.schedule.backup.timezone: found "Europe/Berln"; expected a timezone such as UTC or Europe/Berlin; did you mean Europe/Berlin?',
  ],
  [
    'schedule: { backup: nome }',
    '5:25 instances.example.social.schedule.backup: found "nome"; expected { at: "03:17", … } or none; did you mean none?',
  ],
  [
    'drill: { host: { ssh: 10.0.0.7 } }',
    '5:27 instances.example.social.drill.host.ssh: found "10.0.0.7"; expected user@address (the port has a key of its own)',
  ],
  [
    'drill: { host: { ssh: "-oProxyCommand=x@y" } }',
    '5:27 instances.example.social.drill.host.ssh: found a value that is not shown (it may be secret); expected user@address (the port has a key of its own)',
  ],
])('%s', (line, expected) => {
  const text = smallest.replace('offsites:\n', `    ${line}\noffsites:\n`);
  expect(problems(text)).toEqual([expected]);
});

/** What is replaced in the smallest configuration, by what, and the problem. */
test.each([
  [
    'example.social:',
    'Example_Social:',
    '2:3 instances.Example_Social: found "Example_Social"; expected a domain as LOCAL_DOMAIN has it: lower case letters, digits, hyphens and dots (xn--… for other letters)',
  ],
  [
    'example.social:',
    '../evil:',
    '2:3 instances.../evil: found "../evil"; expected a domain as LOCAL_DOMAIN has it: lower case letters, digits, hyphens and dots (xn--… for other letters)',
  ],
  [
    'host: local',
    'host: lokal',
    '3:11 instances.example.social.host: found "lokal"; expected local, or { ssh: user@address }; did you mean local?',
  ],
  [
    'host: local',
    'host: { ssh: a@b, prot: 22 }',
    '3:23 instances.example.social.host.prot: unknown key "prot"; did you mean port?',
  ],
  [
    'host: local',
    'host: { ssh: a@b, password: hunter2 }',
    '3:23 instances.example.social.host.password: unknown key "password": a secret is never written here; keep it in a file or an environment variable',
  ],
  [
    '{ root: /home/mastodon/live }',
    '{}',
    "4:5 instances.example.social.mastodon.root: missing; expected the path of Mastodon's folder",
  ],
  [
    'vault:',
    'My Vault:',
    '6:3 offsites.My Vault: found "My Vault"; expected a name of at most 40 lower case letters, digits and hyphens',
  ],
  [
    'kind: restic',
    'kind: rustic',
    '6:18 offsites.vault.kind: found "rustic"; expected restic, rclone or rsync; did you mean restic?',
  ],
  [
    'passwordFile: vault.password',
    'password: hunter2, passwordFile: x',
    '6:71 offsites.vault.password: unknown key "password": a secret is never written here; write it to a file (chmod 600) and name the file with passwordFile',
  ],
  [
    '"sftp:backup@vault:/srv/restic"',
    '"rest:https://me:hunter2@vault/"',
    '6:38 offsites.vault.repository: found a value that is not shown (it may be secret); expected a repository as restic writes it, such as sftp:user@host:/folder, without a password in it (a file holds it)',
  ],
  [
    'vault.password',
    '"-----BEGIN OPENSSH PRIVATE KEY-----"',
    '6:85 offsites.vault.passwordFile: found a value that is not shown (it may be secret); expected the path of the file that holds the password of the repository, not its content',
  ],
])('%s → %s', (from, to, expected) => {
  expect(problems(smallest.replace(from, to))).toEqual([expected]);
});

test('paths on another host are absolute', () => {
  const text = smallest.replace('host: local', 'host: { ssh: a@b }').replace('/home/mastodon/live', 'live');
  expect(problems(text)).toEqual([
    '4:23 instances.example.social.mastodon.root: found "live"; expected an absolute path on the host',
  ]);
});

test('services by commands come in equal numbers', () => {
  const services = '{ kind: commands, start: [[a], [b]], stop: [[a]], status: [[a], [b]] }';
  expect(problems(smallest.replace('live }', `live, services: ${services} }`))).toEqual([
    '4:91 instances.example.social.mastodon.services.stop: found a list; expected as many entries as start has (2)',
  ]);
});

test('all problems are told at once, in the order of the file', () => {
  const text = `instances:
  a.example:
    host: nowhere
    mastodon: { rot: /x }
    offsites: [vualt]
offsites:
  vault: { kind: restic, repository: /r }
stat: /x
`;
  expect(problems(text)).toEqual([
    '3:11 instances.a.example.host: found "nowhere"; expected local, or { ssh: user@address }',
    '4:17 instances.a.example.mastodon.rot: unknown key "rot"; did you mean root?',
    '5:16 instances.a.example.offsites.0: there is no off-site "vualt"; did you mean vault?',
    '7:3 offsites.vault.passwordFile: missing; expected the path of the file that holds the password of the repository, not its content',
    '8:1 stat: unknown key "stat"; did you mean state?',
  ]);
});

test('no secret of a wrong configuration is repeated', () => {
  const text = stringify({
    ...(parse(smallest) as object),
    temporal: { address: 'x:1', apiKey: 'planted-secret', tls: { keyFile: '-----BEGIN planted-secret' } },
    offsites: {
      vault: { kind: 'restic', repository: 's3:https://id:planted-secret@s3/b', password: 'planted-secret' },
      cloud: { kind: 'rclone', remote: ':s3,secret_access_key=planted-secret:b', configFile: 'c' },
    },
  });
  const found = problems(text);
  expect(found).toHaveLength(5);
  expect(found.join('\n')).not.toContain('planted-secret');
});
