import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { InstanceConfig } from '../../src/config/configuration.js';
import { parseConfiguration } from '../../src/config/load.js';
import { openHost } from '../../src/hosts/open.js';
import { inspectInstance, type Instance } from '../../src/mastodon/inspect.js';
import { bootTestbed, type Testbed, testbedAvailable, type TestHost } from '../testbed/testbed.js';

const missing = testbedAvailable();
const domain = 'sample.example';

const sudoers = 'keeper ALL=(root, mastodon) NOPASSWD: ALL';

const dropIn = `install -d /etc/systemd/system/mastodon-web.service.d
cat > /etc/systemd/system/mastodon-web.service.d/mail.conf <<'END'
[Service]
Environment=PORT=3000 "GREETING=from a \\"unit\\""
EnvironmentFile=-/etc/default/mastodon
EnvironmentFile=/opt/mastodon/*.env
END
install -d /opt/mastodon /etc/nginx/sites-enabled
echo 'GREETING="from a file"' > /opt/mastodon/more.env
echo 'root /home/mastodon/live/public;' > /opt/mastodon/site.conf
ln -s /opt/mastodon/site.conf /etc/nginx/sites-enabled/elsewhere
ln -s /etc/nginx/sites-available/mastodon /etc/nginx/sites-enabled/mastodon
install -m 600 /dev/null /etc/default/mastodon
echo 'SMTP_PASSWORD="of the unit"' > /etc/default/mastodon
systemctl daemon-reload
systemctl start mastodon-streaming@4001`;

describe.skipIf(missing !== null)('an instance on a host with systemd, over SSH', () => {
  let testbed: Testbed;
  let machine: TestHost;

  beforeAll(async () => {
    testbed = await bootTestbed();
    machine = await testbed.addHost('mastodon', {
      mastodon: { domain, size: { statuses: 50 } },
      users: [{ name: 'keeper', sudoers }],
    });
    await machine.ssh('root', ['sh', '-c', dropIn]);
  });

  afterAll(() => testbed.destroy());

  function configured(user: string, services?: unknown): InstanceConfig {
    const { address, identityFile, knownHosts } = machine;
    const host = { ssh: `${user}@${address}`, identityFile, knownHosts, sudo: user !== 'root' };
    const text = stringify({
      instances: {
        [domain]: { host, mastodon: { root: machine.mastodon?.root, ...(services ? { services } : {}) } },
      },
      offsites: { vault: { kind: 'restic', repository: '/none', passwordFile: 'none' } },
    });
    const instance = parseConfiguration(text, '/tmp/permafrost.yaml', {}).instances[domain];
    if (!instance) throw new Error('The instance is not in its own configuration.');
    return instance;
  }

  async function inspect(config: InstanceConfig): Promise<Instance> {
    const host = openHost(config.host);
    try {
      return await inspectInstance(host, config);
    } finally {
      await host.close();
    }
  }

  test.each(['root', 'keeper'])('is found whole from its root alone, as %s', async (user) => {
    const found = await inspect(configured(user));
    expect(found).toMatchObject({
      domain,
      appUser: 'mastodon',
      envFile: machine.mastodon?.envFile,
      media: { path: `${machine.mastodon?.root ?? ''}/public/system` },
      health: 'http://127.0.0.1:3000/health',
      database: { ...machine.mastodon?.database, local: true, pooled: false },
      redis: { dump: machine.mastodon?.redisDump, aof: false },
    });
    expect(found.database.binDir).toBe(`/usr/lib/postgresql/${String(found.database.major)}/bin`);
    expect(found.services.kind === 'systemd' && found.services.units).toEqual(
      [
        'mastodon-sidekiq.service',
        'mastodon-streaming.service',
        'mastodon-streaming@4000.service',
        'mastodon-streaming@4001.service',
        'mastodon-web.service',
      ].map((name) => ({ name, active: true, enabled: !name.includes('4001') })),
    );
    // Root's own (0600): whoever is not root reads as Mastodon's user, and is told what that leaves out.
    const closed = '/etc/default/mastodon';
    expect(found.warnings.some((warning) => warning.includes(closed))).toBe(user !== 'root');
    expect(found.extraFiles).toEqual([
      ...(user === 'root' ? [closed] : []),
      '/etc/nginx/sites-available/mastodon',
      '/etc/nginx/sites-enabled/elsewhere',
      '/etc/systemd/system/mastodon-sidekiq.service',
      '/etc/systemd/system/mastodon-streaming.service',
      '/etc/systemd/system/mastodon-streaming@.service',
      '/etc/systemd/system/mastodon-web.service',
      '/etc/systemd/system/mastodon-web.service.d/mail.conf',
      '/opt/mastodon/more.env',
    ]);
  });

  test('has the environment that its web unit has', async () => {
    const { env, envSources } = await inspect(configured('root'));
    expect(env.get('GREETING')).toBe('from a file');
    const [, unit] = envSources;
    expect(unit?.kind === 'unit' && unit.variables.get('GREETING')).toBe('from a "unit"');
    expect(envSources.flatMap((source) => (source.kind === 'file' ? [source.path] : []))).toEqual([
      ...[machine.mastodon?.envFile, '/etc/default/mastodon', '/opt/mastodon/more.env'],
    ]);
    expect(env.get('SMTP_PASSWORD')).toBe('of the unit');
    expect(env.get('LOCAL_DOMAIN')).toBe(domain);
  });

  test('is refused when a configured unit does not exist', async () => {
    const config = configured('root', { kind: 'systemd', units: ['mastodon-web', 'mastodon-absent'] });
    await expect(inspect(config)).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringContaining('no systemd unit mastodon-absent.service') as string,
    });
  });

  test('is refused when no unit runs it', async () => {
    await machine.ssh('root', ['cp', '-a', machine.mastodon?.root ?? '', '/home/mastodon/other']);
    const config = configured('root');
    config.mastodon.root = '/home/mastodon/other';
    await expect(inspect(config)).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringContaining('WorkingDirectory=/home/mastodon/other') as string,
    });
  });
});
