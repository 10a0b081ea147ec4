import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { projectFolder } from '../../sample/paths.js';
import { type AcknowledgedPost, startWriter, type Writer } from '../../sample/writer.js';
import type { RestoreReport } from '../../src/backups/restore-report.js';
import { bootTestbed, type Testbed, testbedAvailable, type TestHost } from '../testbed/testbed.js';
import { type Installation, install } from './installation.js';

const missing = testbedAvailable();
const domain = 'sample.example';

/** Where the sheet has the clone; here the built project stands in for `git clone` and `npm run setup`. */
const clone = '/opt/permafrost';

/** Two servers with Mastodon's code and nothing else: one is restored to over SSH, one by the sheet alone. */
describe.skipIf(missing !== null)(`the worst day ${missing ?? ''}`, () => {
  let testbed: Testbed;
  let lost: TestHost;
  let reached: TestHost;
  let empty: TestHost;
  let installation: Installation;
  let writer: Writer | undefined;
  let posts: AcknowledgedPost[];
  let sheet: string;

  beforeAll(async () => {
    testbed = await bootTestbed();
    lost = await testbed.addHost('mastodon', { mastodon: { domain, size: { statuses: 60, media: 40 } } });
    const vault = await testbed.addHost('vault');
    [reached, empty] = await Promise.all([
      testbed.addHost('reached', { code: true }),
      testbed.addHost('empty', { code: true, binds: [`${projectFolder}:${clone}`] }),
    ]);
    installation = await install({ host: lost, user: 'root', vault });
    await installation.makeOffsite();
    await installation.up();
    writer = startWriter({
      url: lost.mastodon?.url ?? '',
      log: join(installation.folder, 'posts.jsonl'),
      everyMs: 100,
    });
    await writer.more(20);
    await writer.stop();
    const { report } = await installation.backup();
    expect(report.status).toBe('sealed');
    posts = (await readFile(join(installation.folder, 'posts.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as AcknowledgedPost);
    const file = join(installation.folder, 'sheet.md');
    await installation.json('recovery-sheet', domain, '--with-secrets', '--yes', '--output', file);
    sheet = await readFile(file, 'utf8');
  });

  afterAll(async () => {
    await writer?.stop();
    await installation.remove();
    await testbed.destroy();
  });

  /** The instance is there, whole, on another server than before. */
  async function expectInstanceOn(host: TestHost): Promise<void> {
    const units = lost.mastodon?.units ?? [];
    await host.until(units);
    const ask = async (path: string): Promise<unknown> => {
      const headers = { Host: domain, 'X-Forwarded-Proto': 'https' };
      const answer = await fetch(`http://${host.address}:3000${path}`, { headers });
      expect({ path, status: answer.status }).toEqual({ path, status: 200 });
      return answer.json();
    };
    const sql = async (text: string) =>
      (
        await host.ssh('root', ['runuser', '-u', 'mastodon', '--', 'psql', '-XAtq', 'mastodon_sample'], {
          stdin: text,
        })
      ).stdout.trim();
    const known = new Set((await sql('SELECT id FROM statuses')).split('\n'));
    expect(posts.filter(({ id }) => !known.has(id))).toEqual([]);
    const [name = ''] = (
      await sql(
        'SELECT a.username FROM accounts a JOIN users u ON u.account_id = a.id WHERE a.suspended_at IS NULL ORDER BY a.id LIMIT 1',
      )
    ).split('\n');
    expect(await ask(`/.well-known/webfinger?resource=acct:${name}@${domain}`)).toMatchObject({
      subject: `acct:${name}@${domain}`,
    });
    expect(await ask(`/api/v1/accounts/lookup?acct=${name}`)).toMatchObject({ username: name });
    // Mastodon's user has another number here; rights are as they were, those of suspended accounts' media too.
    const listed = async (on: string, from: TestHost) =>
      (
        await from.ssh('root', [
          'sh',
          '-c',
          `cd ${on} && find . -path ./cache -prune -o -type f -printf '%m %u %g %s %p\\n' | LC_ALL=C sort`,
        ])
      ).stdout.split('\n');
    const media = '/home/mastodon/live/public/system';
    expect(await listed(media, host)).toEqual(await listed(media, lost));
    const stat = async (on: TestHost, ...paths: string[]) =>
      (await on.ssh('root', ['stat', '-c', '%a %U:%G %n', ...paths])).stdout;
    const files = [
      '/home/mastodon/live/.env.production',
      '/etc/nginx/sites-available/mastodon',
      '/etc/systemd/system/mastodon-web.service',
    ];
    expect(await stat(host, ...files)).toBe(await stat(lost, ...files));
    expect(await host.systemctl('is-enabled', ...units.slice(0, 3))).toBe('enabled\nenabled\nenabled');
  }

  test('restore --to brings an empty server over SSH to a running instance, and refuses one that is in use', async () => {
    const ssh = ['--identity-file', reached.identityFile, '--known-hosts', reached.knownHosts];
    const report = await installation.json<RestoreReport>(
      ...['restore', domain, '--to', `root@${reached.address}`, ...ssh, '--yes'],
    );
    expect(report).toMatchObject({ status: 'restored', parts: ['database', 'secrets', 'media'] });
    expect(report.checks.filter(({ passed }) => !passed)).toEqual([]);
    expect(report.next.join('\n')).toContain('tootctl feeds build');
    await expectInstanceOn(reached);
    // The living one was not touched.
    await lost.until(lost.mastodon?.units ?? []);
  });

  test('the sheet alone brings it back on a server that has nothing else', async () => {
    await installation.remove();
    await lost.ssh('root', ['systemctl', 'stop', 'mastodon-web', 'mastodon-sidekiq', 'mastodon-streaming']);
    const blocks = [...sheet.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
    const [clonedAndSetUp, ...steps] = blocks;
    expect(clonedAndSetUp).toMatch(/git clone .* \/opt\/permafrost\n[\s\S]*npm run setup/);
    expect(steps.length).toBeGreaterThan(4);
    for (const step of steps)
      await empty.ssh('root', ['bash', '-euo', 'pipefail', '-c', `cd ${clone}; ${step}`]);
    await expectInstanceOn(empty);
  });
});
