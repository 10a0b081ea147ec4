import { chmodSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Manifest } from '../../src/backups/manifest.js';
import type { VerifiedCopy } from '../../src/backups/verify-report.js';
import { toolPath } from '../../src/hosts/tools.js';
import { type Installation, setUpInstallation } from './installation.js';

/** `permafrost verify` over what a night has really left; the damage matrix of every kind is the conformance suite's. */

vi.setConfig({ testTimeout: 120_000 });

let here: Installation;
let backup: string;
beforeAll(async () => {
  here = await setUpInstallation({
    ...{ name: 'verify', offsites: ['vault', 'cellar'] },
    size: { accounts: 8, statuses: 10, media: 6 },
  });
  const night = await here.backup('--quiesce', 'none');
  expect(night.exitCode).toBe(0);
  backup = night.report.backup;
}, 240_000);
afterAll(() => here?.remove());

async function verify(...words: string[]) {
  const { exitCode, json, stdout } = await here.permafrost('verify', '--json', ...words);
  return { exitCode, stdout, json: json as unknown, copy: json as unknown as VerifiedCopy };
}

/** restic as whoever has the password of the off-site uses it. */
async function restic(offsite: string, words: readonly string[], input = ''): Promise<string> {
  const password = join(here.folder, 'offsite.password');
  const { stdout } = await execa(
    toolPath('restic').path,
    ['--repo', join(here.folder, offsite), '--password-file', password, '--no-cache', ...words],
    { input },
  );
  return stdout;
}

function someMedia(): string {
  const folder = join(here.sample.root, 'public/system');
  const files = readdirSync(join(folder, 'media_attachments'), { recursive: true, withFileTypes: true });
  const file = files.find(
    (entry) =>
      entry.isFile() &&
      /^[a-z0-9.]+$/.test(entry.name) &&
      statSync(join(entry.parentPath, entry.name)).size > 0,
  );
  return relative(folder, join(file?.parentPath ?? '', file?.name ?? ''));
}

async function manifestOf(offsite: string): Promise<Manifest> {
  const { json } = await here.permafrost('show', backup, '--json');
  const shown = json as unknown as Manifest;
  if (shown.copy.offsite === offsite) return shown;
  const [snapshot] = JSON.parse(
    await restic(offsite, ['snapshots', '--json', '--tag', `backup=${backup},part=manifest`]),
  ) as { id: string }[];
  return JSON.parse(await restic(offsite, ['dump', snapshot?.id ?? '', '/manifest.json'])) as Manifest;
}

/** The file of the repository that holds the beginning of a file's content. */
async function packOf(offsite: string, part: string, path: string): Promise<string> {
  const { snapshot = '', root = '' } =
    (await manifestOf(offsite)).parts.find(({ name }) => name === part) ?? {};
  const folder = dirname(path) === '.' ? '' : `/${dirname(path)}`;
  const tree = JSON.parse(await restic(offsite, ['cat', 'tree', `${snapshot}:${root}${folder}`])) as {
    nodes: { name: string; content?: string[] }[];
  };
  const blob = tree.nodes.find(({ name }) => path.endsWith(name))?.content?.[0] ?? '';
  const said = await restic(offsite, ['find', '--show-pack-id', '--blob', blob]);
  const pack = /pack ([0-9a-f]{64})/.exec(said)?.[1] ?? '';
  return join(here.folder, offsite, 'data', pack.slice(0, 2), pack);
}

test('a backup that is as it should be: 0, every off-site by itself, and all of it with --depth all', async () => {
  const { exitCode, json } = await verify();
  expect(exitCode).toBe(0);
  const good = { backup, passed: true, findings: [], signature: 'valid' };
  expect(json).toMatchObject([
    { ...good, from: 'cellar' },
    { ...good, from: 'vault' },
  ]);
  const whole = await verify(backup.slice(0, 11), '--from', 'vault', '--depth', 'all');
  expect(whole).toMatchObject({ exitCode: 0, copy: { ...good, from: 'vault' } });
  const { parts } = await manifestOf('vault');
  const entries = parts.reduce(
    (sum, part) => sum + (part.name === 'media' ? part.files : 0) + part.entries.length,
    0,
  );
  expect(whole.copy.checked.files).toBe(entries);
  expect(readdirSync(join(here.state, 'reading'))).toEqual([]);
  expect(readdirSync(join(here.state, 'scratch'))).toEqual([]);
});

test('a pack that is gone and one with a flipped bit are found, with part and path: 6', async () => {
  const path = someMedia();
  const media = await packOf('vault', 'media', path);
  const secrets = await packOf('vault', 'secrets', 'secrets.tar');
  const content = readFileSync(secrets);
  renameSync(media, `${media}.away`);
  try {
    chmodSync(secrets, 0o600);
    const flipped = Buffer.from(content);
    flipped[20] = (flipped[20] ?? 0) ^ 1;
    writeFileSync(secrets, flipped);
    const { exitCode, json } = await verify('--depth', 'all');
    expect(exitCode).toBe(6);
    expect(json).toMatchObject([
      { from: 'cellar', passed: true, findings: [] },
      { from: 'vault', passed: false },
    ]);
    const { findings } = (json as VerifiedCopy[])[1] ?? { findings: [] };
    expect(findings).toContainEqual({ part: 'media', path, problem: 'cannot be read' });
    expect(findings).toContainEqual({
      ...{ part: 'secrets', path: 'secrets.tar' },
      problem: expect.stringContaining('ciphertext verification failed') as string,
    });
  } finally {
    renameSync(`${media}.away`, media);
    writeFileSync(secrets, content);
  }
});

test('a manifest that somebody with the password edited is named, and is no backup any more', async () => {
  const manifest = await manifestOf('cellar');
  const parts = manifest.parts.map((part) =>
    part.name === 'redis' ? { ...part, bytes: part.bytes + 1 } : part,
  );
  const tags = `permafrost,backup=${backup},part=manifest`;
  const said = await restic(
    'cellar',
    [
      'backup',
      '--json',
      '--stdin',
      '--stdin-filename',
      'manifest.json',
      '--host',
      here.domain,
      '--tag',
      tags,
    ],
    JSON.stringify({ ...manifest, parts }),
  );
  try {
    const problem = 'was changed after it was sealed: its signature does not fit';
    const text = await here.permafrost('verify', '--depth', 'new');
    expect(text.exitCode).toBe(6);
    expect(text.stdout).toContain(`Backup ${backup} of ${here.domain}: NOT what it should be`);
    expect(text.stdout).toContain(`manifest: ${problem}`);
    expect(text.stdout.replace(/\s+/g, ' ')).toContain('what to do vault has it whole: restore from there');
    const listed = await here.permafrost('list', '--json');
    expect(listed.json).toMatchObject([{ backup, offsites: ['vault'] }]);
    expect(listed.stderr.replace(/\s+/g, ' ')).toContain(`on cellar ${problem}`);
  } finally {
    await restic('cellar', ['forget', /"snapshot_id":"([0-9a-f]+)"/.exec(said)?.[1] ?? '']);
  }
});

test('what there is not, and what cannot be asked: 2, and the failure of the off-site', async () => {
  expect(await verify('20200101')).toMatchObject({ exitCode: 2, json: { error: { type: 'NotFound' } } });
  expect(await verify('--from', 'celar')).toMatchObject({ exitCode: 2 });
  expect(await verify('--depth', 'deep')).toMatchObject({ exitCode: 2 });
  const wrong = join(here.folder, 'wrong.password');
  writeFileSync(wrong, 'not it\n');
  const breaking = { kind: 'restic' as const, repository: join(here.folder, 'vault'), passwordFile: wrong };
  await here.with(
    ({ offsites }) => (offsites['vault'] = breaking),
    async () => {
      const { exitCode, json } = await verify();
      expect(exitCode).toBe(1);
      expect(json).toMatchObject({
        backup,
        error: { type: 'AuthFailed' },
        copies: [
          { from: 'cellar', passed: true },
          { from: 'vault', passed: false, error: { type: 'AuthFailed' } },
        ],
      });
    },
  );
  rmSync(wrong);
});
