import { access, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { initCommand } from '../../scripts/init.js';
import type { Configuration } from '../../src/config/configuration.js';
import { loadConfiguration } from '../../src/config/load.js';
import { openHost } from '../../src/hosts/open.js';
import { inspectInstance, type Instance } from '../../src/mastodon/inspect.js';
import { bootTestbed, type Testbed, testbedAvailable, type TestHost } from '../testbed/testbed.js';
import { CapturedIo } from '../unit/cli/captured-io.js';
import { addOddInstances } from './odd-instances.js';

const missing = testbedAvailable();
const sudoers = 'keeper ALL=(root, mastodon) NOPASSWD: ALL';

interface InitResult {
  instances: {
    instance: string;
    root: string;
    foundBy: string;
    findings: { name: string; detail: string }[];
    problems: unknown[];
  }[];
  offsites: { name: string; sameDisk: boolean | null }[];
  leftOut: string[];
  warnings: string[];
}

describe.skipIf(missing !== null)('init, on a host with several odd instances', () => {
  let testbed: Testbed;
  let machine: TestHost;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-init-test-'));
    testbed = await bootTestbed();
    machine = await testbed.addHost('mastodon', {
      mastodon: { domain: 'sample.example', size: { statuses: 50 } },
      users: [{ name: 'keeper', sudoers }],
    });
    await addOddInstances(machine);
  });

  afterAll(async () => {
    await testbed.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs init over SSH, into a folder of its own. */
  async function init(user: string, name: string, ...more: string[]) {
    const io = new CapturedIo();
    const { address, identityFile, knownHosts } = machine;
    const output = join(folder, name, 'permafrost.yaml');
    const keys = ['--ssh', `${user}@${address}`, '--identity-file', identityFile];
    const known = more.includes('--known-hosts') ? [] : ['--known-hosts', knownHosts];
    const places = ['--output', output, '--state', join(folder, name, 'state')];
    const code = await io.run(initCommand, ...keys, ...known, ...places, '--json', ...more);
    return { code, output, io, document: io.json() as unknown as InitResult };
  }

  async function inspect(configuration: Configuration, domain: string): Promise<Instance> {
    const config = configuration.instances[domain];
    if (config === undefined) throw new Error(`${domain} is not in the configuration.`);
    const host = openHost(config.host);
    try {
      return await inspectInstance(host, config);
    } finally {
      await host.close();
    }
  }

  describe('as root', () => {
    let done: Awaited<ReturnType<typeof init>>;
    let configuration: Configuration;
    /** As a run finds them, from what was written. */
    let instances: Map<string, Instance>;

    beforeAll(async () => {
      done = await init('root', 'root', '--offsite', '/var/backups/permafrost');
      expect(done.io.stderr.text).not.toContain('Failed.');
      configuration = await loadConfiguration({ file: done.output, env: {} });
      const domains = Object.keys(configuration.instances);
      const found = await Promise.all(domains.map((domain) => inspect(configuration, domain)));
      instances = new Map(found.map((instance) => [instance.domain, instance]));
    });

    function run(domain: string): Instance {
      const instance = instances.get(domain);
      if (instance === undefined) throw new Error(`${domain} was not found.`);
      return instance;
    }

    function units(domain: string): string[] {
      const { services } = run(domain);
      return services.kind === 'systemd' ? services.units.map(({ name }) => name) : [];
    }

    /** What the summary says of an instance, by name. */
    function said(domain: string): Record<string, string> {
      const found = done.document.instances.find(({ instance }) => instance === domain);
      expect(found, domain).toBeDefined();
      expect(found?.problems).toEqual([]);
      return Object.fromEntries((found?.findings ?? []).map(({ name, detail }) => [name, detail]));
    }

    test('every instance that runs is written, and nothing else', () => {
      const found = done.document.instances.map(({ instance, root, foundBy }) => [instance, root, foundBy]);
      expect(found.sort()).toEqual([
        ['nix.example', '/var/lib/mastodon', 'units'],
        ['puma.example', '/srv/social', 'process'],
        ['sample.example', '/home/mastodon/live', 'units'],
        ['yuno.example', '/var/www/masto_ynh/live', 'units'],
      ]);
      expect(Object.keys(configuration.instances).sort()).toEqual(found.map(([domain]) => domain).sort());
      expect(done.document.leftOut.sort()).toEqual([
        expect.stringMatching(/^\/home\/mastodon\/live\.old is sample\.example as well/),
        expect.stringMatching(/^\/srv\/stale \(stale\.example\): nothing runs it/),
      ]);
    });

    test('an ordinary instance needs no more than its root', () => {
      const { mastodon, database } = configuration.instances['sample.example'] ?? {};
      expect(mastodon).toEqual({ root: '/home/mastodon/live', mediaCache: 'exclude', extraFiles: [] });
      expect(database?.host).toBeUndefined();
      expect(units('sample.example')).toEqual([
        'mastodon-sidekiq-pull.service',
        'mastodon-sidekiq.service',
        'mastodon-streaming.service',
        'mastodon-streaming@4000.service',
        'mastodon-streaming@4001.service',
        'mastodon-web.service',
      ]);
      expect(said('sample.example')['services']).toContain(
        'mastodon-sidekiq-pull, mastodon-streaming@4001: not enabled',
      );
      expect(said('sample.example')['health']).toContain('answers');
    });

    test('what the units set wins over the env file; PostgreSQL is found behind its pooler', () => {
      expect(run('yuno.example').database).toMatchObject({
        host: '127.0.0.1',
        port: 5432,
        name: 'mastodon_sample',
        pooled: false,
      });
      expect(said('yuno.example')['environment']).toContain('DATABASE_URL, REDIS_URL itself');
      expect(said('yuno.example')['database']).toContain(
        'by DATABASE_URL, behind a pooler at 127.0.0.1:6432',
      );
    });

    test('a Redis on a socket, with a password and an append-only file, that has no CONFIG', () => {
      expect(run('yuno.example').redis).toMatchObject({
        host: '/run/odd/redis.sock',
        aof: true,
        dump: '/var/lib/odd-redis/odd.rdb',
      });
      expect(said('yuno.example')['redis']).toMatch(
        /with a password, with an append-only file; CONFIG is closed to us; .*the cache has a Redis of its own/,
      );
    });

    test('media in object storage are none of ours, and that is said', async () => {
      expect(run('yuno.example').media).toBeNull();
      expect(said('yuno.example')['media']).toBe(
        'in object storage, S3 (files.yuno.example): NOT in these backups',
      );
      const text = await readFile(done.output, 'utf8');
      expect(text).toMatch(/# Media live in object storage .*NOT.*\n(?: +#.*\n)* +media: none/);
    });

    test('an instance whose code lies in a store is known by its state folder', () => {
      const found = run('nix.example');
      expect(found).toMatchObject({
        appUser: 'mastodon',
        envFile: '/var/lib/mastodon/.secrets_env',
        media: { path: '/var/lib/mastodon/public-system' },
        health: 'http://127.0.0.1:3055/health',
        database: { host: '/run/postgresql' },
      });
      expect(units('nix.example')).toEqual([
        'nixos-mastodon-sidekiq-all.service',
        'nixos-mastodon-web.service',
      ]);
      expect(said('nix.example')['media']).toContain('on a mount of its own');
      expect(said('nix.example')['health']).toContain('does not answer');
    });

    test('an instance whose unit has no WorkingDirectory is known by its Puma', () => {
      const found = run('puma.example');
      expect(units('puma.example')).toEqual(['social.service']);
      expect(found.health).toBeNull();
      expect(found.redis).toMatchObject({ user: 'limited', dump: '/var/lib/limited-redis/dump.rdb' });
    });

    test('a folder on the same disk is said to be no off-site', () => {
      expect(done.document.offsites).toEqual([
        { name: 'vault', repository: '/var/backups/permafrost', sameDisk: true },
      ]);
      expect(done.document.warnings.join('\n')).toContain('That is no off-site');
    });

    test('the password is random, private and never replaced; nor is the configuration', async () => {
      const password = join(folder, 'root', 'vault.password');
      const [text, before] = [await readFile(password, 'utf8'), await readFile(done.output, 'utf8')];
      expect(text).toMatch(/^[\w+/]{43}=\n$/);
      expect((await stat(password)).mode & 0o777).toBe(0o600);
      const again = await init('root', 'root', '--offsite', '/var/backups/permafrost');
      expect(again.code).toBe(2);
      expect(await readFile(done.output, 'utf8')).toBe(before);
      await rm(done.output);
      await init('root', 'root', '--root', '/srv/social', '--offsite', '/var/backups/permafrost');
      expect(await readFile(password, 'utf8')).toBe(text);
    });
  });

  test('a user with sudo finds the same, behind closed doors', async () => {
    await machine.ssh('root', ['chmod', '0700', '/home/mastodon']);
    try {
      const vault = `sftp:backup@${machine.address}:/srv/backups/keeper`;
      const keys = ['--offsite-known-hosts', machine.knownHosts, '--instance', 'sample.example'];
      const { document, output, code } = await init(
        'keeper',
        'keeper',
        '--offsite',
        `cellar=${vault}`,
        ...keys,
      );
      expect({ code, problems: document.instances[0]?.problems }).toEqual({ code: 0, problems: [] });
      const configuration = await loadConfiguration({ file: output, env: {} });
      expect(configuration.instances['sample.example']?.host).toMatchObject({ user: 'keeper', sudo: true });
      expect((await inspect(configuration, 'sample.example')).appUser).toBe('mastodon');
      // A key was made for the off-site.
      const cellar = configuration.offsites['cellar'];
      const identityFile = cellar?.kind === 'restic' ? cellar.identityFile : undefined;
      expect(identityFile).toBe(join(folder, 'keeper', 'cellar.key'));
      const [key, publicKey] = await Promise.all(
        [join(folder, 'keeper', 'cellar.key'), join(folder, 'keeper', 'cellar.key.pub')].map((path) =>
          readFile(path, 'utf8'),
        ),
      );
      await machine.ssh('root', ['tee', '-a', '/home/backup/.ssh/authorized_keys'], {
        stdin: publicKey ?? '',
      });
      expect(key).toContain('OPENSSH PRIVATE KEY');
      const { address, port = 22 } = { address: machine.address };
      const host = openHost({
        ...{ kind: 'ssh', user: 'backup', address, port, sudo: false },
        ...{ identityFile: identityFile ?? '', knownHosts: machine.knownHosts },
      });
      await host.run(['true']).finally(() => host.close());
      // A folder would be filled by two users.
      expect((await init('keeper', 'folder', '--offsite', '/var/backups/permafrost')).code).toBe(2);
    } finally {
      await machine.ssh('root', ['chmod', '0711', '/home/mastodon']);
    }
  });

  test('a host that nobody knows is trusted only by its fingerprint', async () => {
    const known = join(folder, 'stranger', 'known_hosts');
    const flags = ['--known-hosts', known, '--root', '/srv/social', '--offsite', '/var/backups/permafrost'];
    const refused = await init('root', 'stranger', ...flags);
    const error = refused.io.json()['error'] as { type: string; message: string };
    expect({ code: refused.code, type: error.type }).toEqual({ code: 1, type: 'HostKeyRejected' });
    await expect(access(join(folder, 'stranger'))).rejects.toThrow();
    const { stdout } = await machine.ssh('root', ['ssh-keygen', '-lf', '/etc/ssh/ssh_host_ed25519_key.pub']);
    const fingerprint = /SHA256:\S+/.exec(stdout)?.[0] ?? '';
    expect(error.message).toContain(fingerprint);
    const wrong = await init('root', 'stranger', ...flags, '--accept-host-key', `SHA256:${'A'.repeat(43)}`);
    expect(wrong.code).toBe(1);
    const accepted = await init('root', 'stranger', ...flags, '--accept-host-key', fingerprint);
    expect(accepted.code).toBe(0);
    await inspect(await loadConfiguration({ file: accepted.output, env: {} }), 'puma.example');
  });
});
