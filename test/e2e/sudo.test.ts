import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Check } from '../../src/backups/checks.js';
import { parse, stringify } from 'yaml';
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
    await installation.makeOffsite();
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
  const doctor = async () => {
    const { stdout, exitCode } = await installation.verb('doctor', '--json');
    const { checks } = JSON.parse(stdout) as { checks: Check[] };
    return { exitCode, checks, sudo: checks.filter(({ name }) => name === 'sudo') };
  };
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

  test('doctor prints a file that visudo accepts, in two steps, and so does config sudoers', async () => {
    const first = await installation.json<typeof sudoers>('config', 'sudoers');
    expect(first).toMatchObject({ complete: false });
    expect(first.sudoers).toContain('backup ALL=(mastodon) NOPASSWD: ALL\n');
    const before = await doctor();
    expect(before).toMatchObject({
      exitCode: 3,
      sudo: [{ severity: 'bad', file: { path: sudoersFile, text: first.sudoers } }],
    });
    await put(before.sudo[0]?.file?.text ?? '');
    sudoers = await installation.json<typeof sudoers>('config', 'sudoers');
    expect(sudoers).toMatchObject({ complete: true });
    const halfway = await doctor();
    expect(halfway).toMatchObject({
      exitCode: 3,
      sudo: [{ severity: 'bad', file: { text: sudoers.sudoers } }],
    });
    await put(halfway.sudo[0]?.file?.text ?? '');
    const after = await doctor();
    expect(after.checks.filter(({ severity }) => severity === 'bad')).toEqual([]);
    expect(after).toMatchObject({ exitCode: 0, sudo: [{ ok: true }] });
    for (const name of ['units', 'health', 'offsite', 'offsite-reading', 'worker', 'database-rights'])
      expect([name, after.checks.find((check) => check.name === name)?.ok]).toEqual([name, true]);
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
      // sudo -l says that it is allowed; at night nobody types the password.
      await put(
        sudoers.sudoers.replace(/NOPASSWD: (?=\S*systemctl stop mastodon-web\.service$)/m, 'PASSWD: '),
      );
      const asking = await installation.backup();
      expect(asking.exitCode).toBe(3);
      expect(asking.report.error?.message).toMatch(/password.*systemctl stop mastodon-web\.service/);
      expect(await running()).toBe(before);
    } finally {
      await put(sudoers.sudoers);
    }
  });

  test('Mastodon’s own user without sudo is refused before anything is touched, and told what it may not', async () => {
    const before = await running();
    const key =
      'install -d -m 700 -o mastodon ~mastodon/.ssh && install -o mastodon ~backup/.ssh/authorized_keys ~mastodon/.ssh/';
    await host.ssh('root', ['bash', '-c', key]);
    const text = await readFile(installation.configFile, 'utf8');
    const changed = parse(text) as { instances: Record<string, { host: { ssh: string; sudo?: boolean } }> };
    for (const instance of Object.values(changed.instances)) {
      instance.host.ssh = `mastodon@${host.address}`;
      delete instance.host.sudo;
    }
    await writeFile(installation.configFile, stringify(changed));
    try {
      const stopping = await installation.backup();
      expect(stopping.exitCode).toBe(3);
      expect(stopping.report.error?.message).toMatch(
        /systemd does not let it stop and start .*mastodon-web\.service/,
      );
      expect(stopping.report.error?.next).toContain('--quiesce none');
      const reading = await installation.backup('--quiesce', 'none');
      expect(reading.exitCode).toBe(3);
      expect(reading.report.error?.message).toContain(
        `may not read Redis's file ${host.mastodon?.redisDump ?? ''}`,
      );
      const rest = ['--quiesce', 'none', '--only', 'database,secrets,media', '--dry-run'];
      const { exitCode, report } = await installation.backup(...rest);
      expect([exitCode, report.status]).toEqual([0, 'planned']);
      const { checks } = JSON.parse((await installation.verb('doctor', '--json')).stdout) as {
        checks: { name: string; ok: boolean }[];
      };
      expect(checks.filter(({ name }) => name === 'rights').map(({ ok }) => ok)).toEqual([false, false]);
    } finally {
      await writeFile(installation.configFile, text);
    }
    expect(await running()).toBe(before);
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
