import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Activities } from '../../src/activities/index.js';
import { backupIdOf } from '../../src/backups/id.js';
import type { Manifest } from '../../src/backups/manifest.js';
import { loadConfiguration } from '../../src/config/load.js';
import { toolPath } from '../../src/hosts/tools.js';
import type { Offsite } from '../../src/offsite/offsite.js';
import { instanceOf, offsiteOf, withOffsite } from '../../src/offsite/read.js';
import { type Reader, wholeDump } from '../../src/offsite/whole-dump.js';
import { TASK_QUEUE } from '../../src/workflows/names.js';
import { type Installation, type Night, setUpInstallation } from './installation.js';

/** The database night by night, told in order: a full dump, deltas against it, and what brings a new one. */

vi.setConfig({ testTimeout: 120_000 });

let here: Installation;
beforeAll(async () => {
  here = await setUpInstallation({ name: 'deltas', size: { statuses: 3_000, media: 2 } });
});
afterAll(() => here?.remove());

const base = () => join(here.state, 'host/base', here.domain);
const spool = () => join(here.state, 'host/spool', here.domain, 'database');

interface DatabaseNight extends Night {
  /** What the run said of its database. */
  said: string;
  manifest: Manifest;
  /** Files of the part that lay on the host's disk at any time. */
  onDisk: Set<string>;
}

/** A night of the database alone. */
async function night(): Promise<DatabaseNight> {
  const onDisk = new Set<string>();
  const look = setInterval(() => {
    try {
      for (const name of readdirSync(spool())) onDisk.add(name);
    } catch {
      return; // not there yet, or no more
    }
  }, 5);
  try {
    const { exitCode, report } = await here.backup('--only', 'database', '--quiesce', 'none');
    const said = report.phases.find(({ name }) => name === 'capture')?.detail ?? '';
    const shown = exitCode === 0 ? await here.permafrost('show', report.backup, '--json') : { json: {} };
    return { exitCode, report, said, manifest: shown.json as unknown as Manifest, onDisk };
  } finally {
    clearInterval(look);
  }
}

const entries = ({ manifest }: DatabaseNight) =>
  Object.fromEntries(manifest.parts[0]?.entries.map((entry) => [entry.path, entry]) ?? []);

async function post(text: string): Promise<void> {
  const request = { method: 'POST', headers: { 'Content-Type': 'application/json' } };
  const body = JSON.stringify({ status: text });
  expect((await fetch(`${here.sample.url}/api/v1/statuses`, { ...request, body })).status).toBe(200);
}

async function onVault<T>(use: (copy: Offsite, reader: Reader) => Promise<T>): Promise<T> {
  const configuration = await loadConfiguration({ file: join(here.folder, 'permafrost.yaml') });
  return withOffsite(
    configuration,
    instanceOf(configuration, here.domain),
    offsiteOf(configuration, 'vault'),
    use,
  );
}

const packs = () => {
  const folder = join(here.folder, 'vault/data');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
  return names.filter((name) => statSync(name).isFile());
};

/** A run whose steps are called one by one, up to its plan. */
async function withPlan<T>(
  use: (
    plan: { kind: string; why: string },
    step: (name: keyof Activities) => Promise<unknown>,
  ) => T | Promise<T>,
  at = new Date(),
): Promise<T> {
  const run = { instance: here.domain, backup: backupIdOf(at), token: randomUUID() };
  const step = (name: keyof Activities, more: object = {}): Promise<unknown> =>
    here.client.activity.execute(name, {
      ...{ id: randomUUID(), taskQueue: TASK_QUEUE, args: [{ run, ...more }] },
      ...{ startToCloseTimeout: '1 minute', retry: { maximumAttempts: 1 } },
    });
  const offsites = ['vault'];
  try {
    await step('prepareRun', { parts: ['database'], offsites });
    return await use((await step('planDatabase', { offsites })) as { kind: string; why: string }, step);
  } finally {
    await step('sweepRun');
  }
}

const plan = (at?: Date) => withPlan((decided) => decided, at);

const note = () => join(base(), 'sealed-vault.json');
const walkedNote = () => join(base(), 'walked-vault.json');
const walkedAt = () => (JSON.parse(readFileSync(walkedNote(), 'utf8')) as { walkedAt: string }).walkedAt;

/** As if a week had gone by without a walk. */
function weekWithoutWalk(): string {
  const old = new Date(Date.now() - 5.6 * 86_400_000).toISOString();
  writeFileSync(walkedNote(), JSON.stringify({ walkedAt: old }));
  return old;
}

let first: DatabaseNight;
let packsOfFirst: string[];
let sealedNote: string;
beforeAll(async () => {
  first = await night();
  packsOfFirst = packs();
  sealedNote = readFileSync(note(), 'utf8');
});

test('the first night is a full dump, whose signature stays on the host', () => {
  expect(first).toMatchObject({
    exitCode: 0,
    said: 'database: a full dump, because this host remembers no full dump yet',
  });
  expect(Object.keys(entries(first))).toEqual(['database.dump', 'globals.sql']);
  expect(first.onDisk).toContain('database.dump');
  expect(first.manifest.database?.delta).toBeUndefined();
  expect(readdirSync(base()).sort()).toEqual([
    ...[`${first.report.backup}.signature`, 'full.json', 'sealed-vault.json'],
  ]);
  expect(statSync(base()).mode & 0o777).toBe(0o700);
});

test('the second is a delta: small, without a dump on the disk, and together they are the dump', async () => {
  const old = weekWithoutWalk();
  await post('the second night is a delta');
  const second = await night();
  expect(second).toMatchObject({ exitCode: 0, report: { status: 'sealed' } });
  expect(second.said).toMatch(`database: a delta against ${first.report.backup}, because`);
  expect(Object.keys(entries(second))).toEqual(['database.delta.zst', 'globals.sql']);
  expect([...second.onDisk].filter((name) => name.includes('.dump'))).toEqual([]);
  const dump = entries(first)['database.dump'];
  const delta = second.manifest.database?.delta;
  expect(delta).toMatchObject({
    full: first.report.backup,
    fullBytes: dump?.bytes,
    fullSha256: dump?.sha256,
  });
  expect(entries(second)['database.delta.zst']?.bytes).toBeLessThan((dump?.bytes ?? 0) / 20);
  const added = ({ report }: Night) => report.offsites[0]?.bytesAdded ?? 0;
  expect(added(second)).toBeLessThan(added(first) / 4);

  // The walk that was due was done: the full dump was read back as well.
  expect(second.report.offsites[0]?.checked?.bytes).toBeGreaterThan(dump?.bytes ?? Infinity);
  expect(walkedAt() > old).toBe(true);

  await onVault(async (copy, reader) => {
    const { sealed } = await copy.list();
    expect(sealed.map(({ backup, dependsOn }) => [backup, dependsOn])).toEqual([
      [second.report.backup, first.report.backup],
      [first.report.backup, undefined],
    ]);
    const whole = await wholeDump({ copy, reader, manifest: second.manifest, keep: true });
    expect(whole).toMatchObject({ findings: [], checked: { files: 2 } });
    const { path = '', folder = '' } = whole.dump ?? {};
    try {
      expect(statSync(path)).toMatchObject({ size: delta?.dumpBytes });
      const program = `${here.sample.servers.postgres.binaries}/pg_restore`;
      const words = ['--data-only', '--table=statuses', '--file=-', path];
      const { stdout } = await execa(program, words, { maxBuffer: 64 << 20 });
      expect(stdout).toContain('the second night is a delta');
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect(await wholeDump({ copy, reader, manifest: second.manifest })).toEqual({
      ...{ findings: [], checked: whole.checked },
    });
    expect(readdirSync(join(here.state, 'host/scratch')).filter((name) => name.includes('-dump-'))).toEqual(
      [],
    );
  });
});

test('it is a full dump of the same moment when the delta cannot be made', async () => {
  const signature = join(base(), `${first.report.backup}.signature`);
  const good = readFileSync(signature);
  try {
    await withPlan(async (decided, step) => {
      expect(decided.kind).toBe('delta');
      await step('pinMoment');
      writeFileSync(signature, good.subarray(0, -10));
      expect(await step('dumpDatabase')).toMatchObject({ kind: 'full' });
      expect(readdirSync(spool())).toEqual(['database.dump']);
    });
    expect(await plan()).toMatchObject({
      kind: 'full',
      why: `the signature of the full dump of ${first.report.backup} is lost or damaged`,
    });
  } finally {
    writeFileSync(signature, good);
  }
});

test('it is a full dump after a week, and with delta: off', async () => {
  const nextWeek = new Date(Date.now() + 6.7 * 86_400_000);
  expect(await plan(nextWeek)).toMatchObject({ kind: 'full', why: 'the last full dump is 7 days old' });

  await here.with(
    ({ instance }) => (instance['database'] = { delta: 'off' }),
    async () => expect(await plan()).toMatchObject({ kind: 'full', why: 'deltas are off (database.delta)' }),
  );
  expect(await plan()).toMatchObject({ kind: 'delta', full: first.report.backup });
});

test('a full dump that was damaged is found by the walk, and a new one is next', async () => {
  const [dumpPack = ''] = [...packsOfFirst].sort((one, other) => statSync(other).size - statSync(one).size);
  const bytes = readFileSync(dumpPack);
  bytes.writeUInt8(bytes.readUInt8(1000) ^ 1, 1000);
  writeFileSync(dumpPack, bytes);
  weekWithoutWalk();
  const walked = await night();
  expect(walked.said).toContain('a delta against');
  expect(walked.exitCode).not.toBe(0);
  expect(walked.report.offsites[0]?.error?.type).toBe('VerifyFailed');
  expect(walked.report.offsites[0]?.error?.message).toMatch(
    new RegExp(`database: database.dump of ${first.report.backup}.*cannot be read`),
  );
  const why = `vault lacks the full dump of ${first.report.backup}: it was not read back and sealed there`;
  expect(await plan()).toMatchObject({ kind: 'full', why });
});

test('a full dump that was removed from an off-site is missed there, and a new one is next', async () => {
  writeFileSync(note(), sealedNote);
  expect((await plan()).kind).toBe('delta');
  const vault = [
    '--repo',
    join(here.folder, 'vault'),
    '--password-file',
    join(here.folder, 'offsite.password'),
  ];
  const restic = toolPath('restic').path;
  const tag = `backup=${first.report.backup},part=database`;
  const listed = await execa(restic, [...vault, 'snapshots', '--json', '--tag', tag]);
  const [{ id = '' } = {}] = JSON.parse(listed.stdout) as { id?: string }[];
  await execa(restic, [...vault, 'forget', id]);
  expect(await plan()).toMatchObject({
    kind: 'full',
    why: `vault lacks the full dump of ${first.report.backup}: it is gone from there`,
  });
});
