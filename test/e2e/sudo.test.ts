import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Manifest } from '../../src/backups/manifest.js';
import { bootTestbed, type Testbed, testbedAvailable, type TestHost } from '../testbed/testbed.js';
import { holdDump, type Installation, install } from './installation.js';

const missing = testbedAvailable();
const domain = 'sample.example';
const sudoersFile = '/etc/sudoers.d/permafrost';

/** The user `backup` of the Mastodon host itself keeps the repository too, in its home: one machine less. */
describe.skipIf(missing !== null)(`a host where we are not root ${missing ?? ''}`, () => {
  let testbed: Testbed;
  let host: TestHost;
  let installation: Installation;
  let sudoers: { sudoers: string; complete: boolean };

  beforeAll(async () => {
    testbed = await bootTestbed();
    host = await testbed.addHost('mastodon', { mastodon: { domain, size: { statuses: 50 } } });
    // As adduser makes a home on Debian 12 and Ubuntu: closed to others.
    await host.ssh('root', ['chmod', '0750', '/home/mastodon']);
    installation = await install({
      ...{ host, user: 'backup', vault: host },
      more: { database: { lockWaitTimeout: '2m' } },
    });
    await installation.json('offsite', 'init');
    await installation.up();
  });

  afterAll(async () => {
    await installation.remove();
    await testbed.destroy();
  });

  const put = (text: string) =>
    host.ssh(
      'root',
      [
        'sh',
        '-c',
        `umask 227; cat > ${sudoersFile}.new && visudo -cqf ${sudoersFile}.new && mv -f ${sudoersFile}.new ${sudoersFile}`,
      ],
      { stdin: text },
    );
  const backupMay = async (...argv: string[]): Promise<boolean> =>
    (await host.ssh('backup', ['sudo', '-n', '-l', '--', ...argv], { okCodes: [0, 1] })).exitCode === 0;
  const running = () =>
    host.systemctl('list-units', 'mastodon-*', '--state=active', '--plain', '--no-legend');

  test('without any rule the run refuses, names the rule, and touches nothing', async () => {
    const before = await running();
    const { exitCode, report } = await installation.backup();
    expect(exitCode).toBe(3);
    expect(report.error?.type).toBe('Refused');
    expect(report.error?.next).toContain('backup ALL=(mastodon) NOPASSWD: ALL');
    expect(await running()).toBe(before);
  });

  test('config sudoers prints a file that visudo accepts, in two steps', async () => {
    const first = await installation.json<typeof sudoers>('config', 'sudoers');
    expect(first).toMatchObject({ complete: false });
    expect(first.sudoers).toContain('backup ALL=(mastodon) NOPASSWD: ALL\n');
    await put(first.sudoers);
    sudoers = await installation.json<typeof sudoers>('config', 'sudoers');
    expect(sudoers).toMatchObject({ complete: true });
    await put(sudoers.sudoers);
  });

  test('which grants no shell as root, and nothing but the commands that a night needs', async () => {
    for (const unit of host.mastodon?.units ?? []) {
      expect(await backupMay('systemctl', 'stop', unit)).toBe(true);
      expect(await backupMay('systemctl', 'start', unit)).toBe(true);
    }
    const refused = [
      ['bash'],
      ['sh', '-c', 'id'],
      ['systemctl', 'stop', 'ssh.service'],
      ['systemctl', 'edit', 'mastodon-web.service'],
      ['systemctl', 'stop', 'mastodon-web.service', 'ssh.service'],
      ['systemd-run', '--quiet', '/bin/bash'],
      ['cat', '/etc/shadow'],
      ['cat', '/var/lib/redis/dump.rdb', '/etc/shadow'],
      ['env', 'id'],
      ['kill', '-9', '1'],
    ];
    for (const argv of refused) expect([argv, await backupMay(...argv)]).toEqual([argv, false]);
    const { exitCode, stderr } = await host.ssh('backup', ['sudo', '-n', 'id'], { okCodes: [1] });
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('sudo:')]);
    const { stdout } = await host.ssh('backup', ['sudo', '-n', '-l']);
    const granted = stdout.split('\n').filter((line) => /NOPASSWD: ALL/.test(line));
    expect(granted.map((line) => line.trim())).toEqual(['(mastodon) NOPASSWD: ALL']);
  });

  test('with it a whole night is sealed, a suspended account’s media included', async () => {
    const before = await running();
    const { exitCode, report } = await installation.backup();
    expect(report).toMatchObject({ status: 'sealed', services: 'up' });
    expect(exitCode).toBe(0);
    const manifest = await installation.json<Manifest>('show', 'latest');
    expect(manifest).toMatchObject({
      moment: { kind: 'pinned', quiesced: true },
      database: { roles: 'with passwords' },
      secrets: { proof: { proven: true } },
    });
    expect(report.warnings.filter((warning) => warning.includes('could not be read'))).toEqual([]);
    const closed = host.mastodon?.data.oddities.private ?? [];
    expect(closed.length).toBeGreaterThan(0);
    const stored = manifest.parts.find((part) => part.name === 'media')?.files ?? 0;
    const { stdout } = await host.ssh('root', [
      ...['find', `${host.mastodon?.root ?? ''}/public/system`, '-path', '*/cache', '-prune', '-o'],
      ...['-type', 'f', '-print'],
    ]);
    expect(stored).toBe(stdout.split('\n').length);
    expect(await running()).toBe(before);
    const timers = await host.systemctl('list-units', 'permafrost-*', '--all', '--plain', '--no-legend');
    expect(timers).toBe('');
    const left = await host.ssh('root', ['sh', '-c', 'ls -d /dev/shm/permafrost* 2>/dev/null; true']);
    expect(left.stdout).toBe('');
  });

  test('a rule that is missing is named before anything is touched', async () => {
    const without = sudoers.sudoers.replace(/^.*systemctl stop mastodon-web\.service\n/m, '');
    expect(without).not.toBe(sudoers.sudoers);
    await put(without);
    try {
      const before = await running();
      const { exitCode, report } = await installation.backup();
      expect(exitCode).toBe(3);
      expect(report.error?.message).toMatch(
        /backup ALL=\(root\) NOPASSWD: \S+\/systemctl stop mastodon-web\.service/,
      );
      expect(report.error?.next).toContain(`permafrost config sudoers ${domain}`);
      expect(await running()).toBe(before);
    } finally {
      await put(sudoers.sudoers);
    }
  });

  test('a cancelled run leaves none of its processes on the host', async () => {
    const dump = holdDump(host);
    const night = installation.backup();
    await dump.running;
    await installation.verb('cancel');
    expect((await night).exitCode).toBe(130);
    await dump.letGo();
    const { stdout } = await host.ssh('root', ['sh', '-c', "pgrep -af 'pg_dump|hold.sql|supervise' || true"]);
    expect(stdout.split('\n').filter((line) => line !== '' && !line.includes('pgrep'))).toEqual([]);
  });
});
