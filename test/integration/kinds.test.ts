import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Manifest } from '../../src/backups/manifest.js';
import { toolPath } from '../../src/hosts/tools.js';
import { type Sshd, startSshd } from './hosts/sshd.js';
import { type Installation, type Night, setUpInstallation } from './installation.js';

vi.setConfig({ testTimeout: 300_000 });

/** One capture to three places: a restic repository, an encrypted remote of rclone, a second server by rsync. */
let here: Installation;
let box: Sshd;
beforeAll(async () => {
  box = await startSshd();
  here = await setUpInstallation({
    name: 'kinds',
    offsites: ['vault'],
    more: async (folder) => ({
      cloud: await encryptedRemote(join(folder, 'cloud')),
      box: await secondServer(join(folder, 'box'), folder),
    }),
  });
}, 300_000);
afterAll(async () => {
  await here?.remove();
  await box?.stop();
});

async function encryptedRemote(folder: string) {
  await mkdir(folder);
  const obscured = async (password: string) =>
    (await execa(toolPath('rclone').path, ['obscure', password])).stdout;
  const configFile = `${folder}.conf`;
  const lines = ['[cloud]', 'type = crypt', `remote = ${folder}`, `password = ${await obscured('one')}`];
  await writeFile(configFile, `${lines.join('\n')}\npassword2 = ${await obscured('two')}\n`, { mode: 0o600 });
  return { kind: 'rclone' as const, remote: 'cloud:mastodon', configFile };
}

async function secondServer(target: string, folder: string) {
  await mkdir(target);
  const ageIdentityFile = join(folder, 'age.key');
  await execa('age-keygen', ['-o', ageIdentityFile]);
  const { stdout: recipient } = await execa('age-keygen', ['-y', ageIdentityFile]);
  return {
    kind: 'rsync' as const,
    ...{ target: `root@127.0.0.1:${target}`, port: box.port },
    ...{ identityFile: box.identityFile, knownHosts: box.knownHosts },
    ...{ recipients: [recipient], ageIdentityFile },
  };
}

const places = ['vault', 'cloud', 'box'];

async function verified(backup: string, from: string): Promise<unknown> {
  const { json, exitCode } = await here.permafrost(
    'verify',
    backup,
    '--from',
    from,
    '--depth',
    'all',
    '--json',
  );
  return { exitCode, passed: json['passed'], findings: json['findings'] };
}

const whole = { exitCode: 0, passed: true, findings: [] };

function sealedOn(night: Night): string[] {
  return night.report.offsites.filter(({ sealed }) => sealed).map(({ name }) => name);
}

async function show(backup: string): Promise<Manifest> {
  return (await here.permafrost('show', backup, '--json')).json as unknown as Manifest;
}

describe('nights to three kinds of places', () => {
  let first: Night;
  let second: Night;
  beforeAll(async () => {
    first = await here.backup();
    second = await here.backup();
  }, 300_000);

  test('are sealed on each', () => {
    expect(first).toMatchObject({ exitCode: 0, report: { status: 'sealed' } });
    expect(sealedOn(first)).toEqual(places);
    expect(second).toMatchObject({ exitCode: 0, report: { status: 'sealed' } });
    expect(sealedOn(second)).toEqual(places);
  });

  test('send a delta of the database the second time, and no media that are there', async () => {
    const { database } = await show(second.report.backup);
    expect(database?.delta).toMatchObject({ full: first.report.backup });
    for (const [at, { name, bytesAdded }] of second.report.offsites.entries()) {
      expect(bytesAdded, name).toBeLessThan((first.report.offsites[at]?.bytesAdded ?? 0) / 2);
    }
  });

  test.each(['cloud', 'box'])(
    'are read back whole from %s, the delta put on its full dump',
    async (place) => {
      expect(await verified(second.report.backup, place)).toEqual(whole);
    },
  );

  test('come out of each into a folder, as plain files that ordinary tools read', async () => {
    const { backup } = second.report;
    const manifest = await show(backup);
    const restore = (from: string, folder: string, ...words: string[]) =>
      here.permafrost('restore', backup, '--to', folder, '--from', from, '--json', ...words);
    const folder = join(here.folder, 'out/of the box');
    const { exitCode, json } = await restore('box', folder);
    expect({ exitCode, json }).toMatchObject({
      exitCode: 0,
      json: {
        ...{ backup, from: 'box', to: folder, status: 'restored', downtimeMs: 0, undoUntil: null },
        ...{ parts: ['database', 'secrets', 'media', 'redis'], findings: [], signature: 'valid' },
      },
    });
    expect((await readdir(folder)).sort()).toEqual([
      ...['README.txt', 'database.dump', 'dump.rdb', 'manifest.json', 'media', 'media.index'],
      ...['roles.sql', 'secrets'],
    ]);
    const env = join(here.sample.root, '.env.production');
    expect(await readFile(join(folder, 'secrets', env))).toEqual(await readFile(env));
    expect((await stat(join(folder, 'secrets', env))).mode).toBe((await stat(env)).mode);
    const inMedia = { cwd: join(folder, 'media') };
    await execa('sha256sum', ['--check', '--quiet', '../media.index'], inMedia);
    const { stdout: counted } = await execa('sh', ['-c', 'find . -type f | wc -l'], inMedia);
    expect(Number(counted)).toBe(manifest.parts.find(({ name }) => name === 'media')?.files);
    const readme = await readFile(join(folder, 'README.txt'), 'utf8');
    const [, oneTable = ''] = /^ {2}(pg_restore --table=.*?)(?: {2,}#.*)?$/m.exec(readme) ?? [];
    await execa('sh', ['-c', oneTable], { cwd: folder });
    const rows = (sql: string) =>
      /^COPY public\.accounts [^\n]*\n(.*?)^\\\.$/ms.exec(sql)?.[1]?.trimEnd().split('\n');
    const accounts = rows(await readFile(join(folder, 'accounts.sql'), 'utf8'));
    expect(accounts).toHaveLength(manifest.database?.rowCounts['accounts'] ?? NaN);

    const plain = join(here.folder, 'out/plain');
    const sql = await restore('vault', plain, '--parts', 'database', '--format', 'plain');
    expect(sql).toMatchObject({ exitCode: 0, json: { parts: ['database'] } });
    expect((await readdir(plain)).sort()).toEqual([
      'README.txt',
      'database.sql',
      'manifest.json',
      'roles.sql',
    ]);
    expect(rows(await readFile(join(plain, 'database.sql'), 'utf8'))).toEqual(accounts);

    expect(await restore('box', folder)).toMatchObject({ exitCode: 3, json: { error: { type: 'Refused' } } });
    await rm(join(here.folder, 'out'), { recursive: true });
  });

  test('leave nothing in the open on the second server, and no names on the encrypted remote', async () => {
    const { root } = here.sample;
    const secret =
      /SECRET_KEY_BASE=(.+)/.exec(await readFile(join(root, '.env.production'), 'utf8'))?.[1] ?? '';
    const grep = ['-rlaF', secret, join(here.folder, 'box'), join(here.folder, 'cloud')];
    expect((await execa('grep', grep, { reject: false })).stdout).toBe('');
    const names = await readdir(join(here.folder, 'cloud'), { recursive: true });
    expect(names.filter((name) => /manifest|database|media|kinds/.test(name))).toEqual([]);
  });

  test('one that is dead does not keep the others from being sealed', async () => {
    const night = await here.with(
      ({ offsites }) => {
        if (offsites['box']?.kind === 'rsync') offsites['box'].port = 1;
      },
      () => here.backup(),
    );
    expect(night).toMatchObject({ exitCode: 5, report: { status: 'partial' } });
    expect(sealedOn(night)).toEqual(['vault', 'cloud']);
    const missed = night.report.offsites.find(({ name }) => name === 'box');
    expect(missed?.error?.message).toContain('box');
  });
});
