import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { noteSent, sentOf } from '../../src/activities/copy-parts.js';
import type { CopyReport } from '../../src/backups/copy-report.js';
import type { Manifest } from '../../src/backups/manifest.js';
import { toolPath } from '../../src/hosts/tools.js';
import { guardWorkflowId, TASK_QUEUE } from '../../src/workflows/names.js';
import { type Installation, setUpInstallation } from './installation.js';

vi.setConfig({ testTimeout: 300_000 });

/** Two nights on one off-site, the second one a delta, and what it takes to have them on others. */
let here: Installation;
let full: string;
let delta: string;
beforeAll(async () => {
  here = await setUpInstallation({
    name: 'copy',
    offsites: ['vault', 'cellar'],
    more: async (folder) => {
      await mkdir(join(folder, 'cloud'));
      const configFile = join(folder, 'rclone.conf');
      await writeFile(configFile, `[cloud]\ntype = alias\nremote = ${join(folder, 'cloud')}\n`);
      return { cloud: { kind: 'rclone', remote: 'cloud:', configFile, encrypted: false } };
    },
  });
  full = (await here.backup('--offsite', 'vault')).report.backup;
  delta = (await here.backup('--offsite', 'vault')).report.backup;
}, 300_000);
afterAll(() => here?.remove());

async function copy(backup: string, from: string, to: string) {
  const { exitCode, json } = await here.permafrost('copy', backup, '--from', from, '--to', to, '--json');
  return { exitCode, report: json as unknown as CopyReport, json };
}

async function listed(): Promise<Record<string, string[]>> {
  const all = (await here.permafrost('list', '--json')).json as unknown as {
    backup: string;
    offsites: string[];
  }[];
  return Object.fromEntries(all.map(({ backup, offsites }) => [backup, offsites]));
}

async function problems(backup: string, from: string): Promise<unknown> {
  const { json, exitCode } = await here.permafrost(
    'verify',
    backup,
    '--from',
    from,
    '--depth',
    'all',
    '--json',
  );
  return exitCode === 0 ? json['findings'] : json;
}

/** What a copy keeps on this machine while it is at work. */
async function remains(): Promise<string[]> {
  const copies = join(here.state, 'host/copy', here.domain);
  return [...(await here.remains()), ...(existsSync(copies) ? [copies] : [])];
}

/** Repository of restic: path → mode, mtime. */
async function mediaIn(repository: string, snapshot: string): Promise<Map<string, string>> {
  const password = join(here.folder, 'password');
  await writeFile(password, 'password-of-copy\n', { mode: 0o600 });
  const argv = ['-r', repository, '-p', password, '--no-cache', 'ls', '--no-lock', '--json', snapshot];
  const { stdout } = await execa(toolPath('restic').path, argv);
  const found = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const node = JSON.parse(line) as Record<string, unknown>;
    if (node['type'] !== 'file') continue;
    const path = String(node['path']).replace(/^.*(public\/system|-to-cellar\/media)\//, '');
    found.set(path, [node['mode'], node['uid'], node['mtime']].join(' '));
  }
  return found;
}

test('what was sent is known again, whatever a kill has left of the last note', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-sent-'));
  const [one, other] = ['1'.repeat(64), '2'.repeat(64)];
  try {
    await noteSent({ folder }, [{ sha256: one }]);
    await appendFile(join(folder, 'sent'), `\n${other.slice(0, 20)}`);
    await noteSent({ folder }, [{ sha256: other }]);
    const sent = await sentOf({ folder });
    expect([sent.has(one, ''), sent.has(other, '')]).toEqual([true, true]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe('copy', () => {
  test('brings a backup to a place of another kind, with the full dump that its delta needs', async () => {
    const before = await here.permafrost('verify', '--depth', 'new', '--json');
    expect(before).toMatchObject({ exitCode: 0, json: { from: 'vault', notOn: ['cellar', 'cloud'] } });
    const { exitCode, report } = await copy('latest', 'vault', 'cloud');
    expect({ exitCode, ...report }).toMatchObject({
      ...{ exitCode: 0, instance: here.domain, backup: delta, from: 'vault', to: 'cloud', status: 'copied' },
      copied: [{ backup: full }, { backup: delta }],
    });
    for (const { checked, bytesAdded } of report.copied) {
      expect(checked.files).toBeGreaterThanOrEqual(5);
      expect(bytesAdded).toBeGreaterThan(1000);
    }
    expect(await listed()).toEqual({ [full]: ['vault', 'cloud'], [delta]: ['vault', 'cloud'] });
    expect(await remains()).toEqual([]);
  });

  test('says of one that is there already that nothing has to be done', async () => {
    const again = await copy(delta, 'vault', 'cloud');
    expect(again).toMatchObject({ exitCode: 0, report: { status: 'there already', copied: [] } });
  });

  test('sends nothing of a backup that is damaged where it lies, and names what is', async () => {
    const pool = join(here.folder, 'cloud', here.domain, 'media');
    const [name = ''] = (await readdir(pool, { recursive: true })).filter((one) => one.length > 60);
    const whole = await readFile(join(pool, name));
    await writeFile(join(pool, name), Buffer.from(whole).fill(0, 0, 1));
    try {
      const broken = await copy(full, 'cloud', 'cellar');
      expect(broken).toMatchObject({ exitCode: 6, json: { error: { type: 'VerifyFailed' } } });
      expect(JSON.stringify(broken.json)).toMatch(/off-site cloud: .+ of \d+T\d+Z \(media\) did not come/);
    } finally {
      await writeFile(join(pool, name), whole);
    }
    expect((await listed())[full]).toEqual(['vault', 'cloud']);
    expect(await remains()).toEqual([]);
  });

  test('brings it back into a repository: times, modes and owners as the index has them', async () => {
    expect(await copy(full, 'cloud', 'cellar')).toMatchObject({ exitCode: 0, report: { status: 'copied' } });
    expect(await problems(full, 'cellar')).toEqual([]);
    const shown = (await here.permafrost('show', full, '--json')).json as unknown as Manifest;
    const [original = ''] = shown.parts.flatMap(({ name, snapshot }) =>
      name === 'media' ? [snapshot ?? ''] : [],
    );
    const media = await mediaIn(join(here.folder, 'vault'), original);
    expect(media.size).toBeGreaterThan(5);
    const tags = ['-r', join(here.folder, 'cellar'), '-p', join(here.folder, 'password'), '--no-cache'];
    const { stdout } = await execa(toolPath('restic').path, [
      ...tags,
      'snapshots',
      '--no-lock',
      '--json',
      '--tag',
      'part=media',
    ]);
    const [copied] = JSON.parse(stdout) as { id: string }[];
    expect(await mediaIn(join(here.folder, 'cellar'), copied?.id ?? '')).toEqual(media);
  });

  test('waits for nobody: another run holds the instance', async () => {
    const guard = await here.client.workflow.start('guard', {
      ...{ taskQueue: TASK_QUEUE, workflowId: guardWorkflowId(here.domain), startDelay: '1 hour' },
      args: [{ instance: here.domain, token: randomUUID(), workflowId: 'backup/somebody' }],
    });
    try {
      expect(await copy(delta, 'cloud', 'cellar')).toMatchObject({ exitCode: 4 });
    } finally {
      await guard.terminate();
    }
  });

  test('wants two off-sites of the configuration, and a backup that is on the first', async () => {
    expect(await copy(full, 'vault', 'vault')).toMatchObject({ exitCode: 2 });
    expect(await copy(full, 'valt', 'cloud')).toMatchObject({ exitCode: 2 });
    const missing = await copy(delta, 'cellar', 'cloud');
    expect(missing).toMatchObject({ exitCode: 2, json: { error: { type: 'NotFound' } } });
  });
});
