import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { DrillReport } from '../../src/backups/drill-report.js';
import { localHost } from '../../src/hosts/local.js';
import { toolPath } from '../../src/hosts/tools.js';
import { sweepScratches } from '../../src/scratch/scratch.js';
import { drillWorkflowId } from '../../src/workflows/names.js';
import { type Sshd, startSshd } from './hosts/sshd.js';
import { type Installation, setUpInstallation, until } from './installation.js';
import { lineOf, processes, stopAsSoonAsThere } from './stopped-process.js';

/** What a night has left, restored in a scratch place and proven, as a stranger would: with the configuration alone. */

vi.setConfig({ testTimeout: 300_000 });

let here: Installation;
let elsewhere: Sshd;
let backup: string;
beforeAll(async () => {
  elsewhere = await startSshd();
  here = await setUpInstallation({
    name: 'drill',
    offsites: ['vault'],
    more: async (folder) => ({ cloud: await encryptedRemote(join(folder, 'cloud')) }),
  });
  const night = await here.backup();
  expect(night).toMatchObject({ exitCode: 0, report: { status: 'sealed' } });
  ({ backup } = night.report);
  checkout = join(here.folder, 'checkout');
  await mkdir(join(checkout, 'public/system'), { recursive: true });
}, 180_000);
afterAll(async () => {
  try {
    // What a test that failed has left open, while it is still known.
    for (const folder of here === undefined ? [] : hostFolders())
      await sweepScratches(localHost({ folder }), async () => false);
  } finally {
    await here?.remove();
    await elsewhere?.stop();
  }
});

const web = fileURLToPath(new URL('../../sample/services/web.mjs', import.meta.url));
let checkout: string;

const takeBack: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const action of takeBack.splice(0).reverse()) await action();
});

async function encryptedRemote(folder: string) {
  await mkdir(folder);
  const { stdout } = await execa(toolPath('rclone').path, ['obscure', 'one']);
  const configFile = `${folder}.conf`;
  const lines = ['[cloud]', 'type = crypt', `remote = ${folder}`, `password = ${stdout}`, ''];
  await writeFile(configFile, lines.join('\n'), { mode: 0o600 });
  return { kind: 'rclone' as const, remote: 'cloud:mastodon', configFile };
}

async function drill(...words: string[]): Promise<{ exitCode: number; report: DrillReport; stderr: string }> {
  const { exitCode, json, stderr } = await here.permafrost('drill', '--json', ...words);
  return { exitCode, report: json as unknown as DrillReport, stderr };
}

/** Permafrost's folders on the hosts where drills are made: this machine, and another one. */
const hostFolders = () => [join(here.state, 'host'), join(here.folder, 'drill-host')];

const inside = (folder: string) =>
  existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** The scratches that there are. */
const scratches = () => hostFolders().flatMap((folder) => inside(join(folder, 'scratches')));

/** Where they have their files. */
function places(): string[] {
  const notes = scratches().map((scratch) => join(scratch, 'place'));
  return notes.filter((note) => existsSync(note)).map((note) => readFileSync(note, 'utf8').trim());
}

/** Every place that there ever was while these tests ran. */
const seen = new Set<string>();

/** What a drill has on its host while it is at work: scratch with all that runs there, jobs, keys, marks. */
async function remains(): Promise<string[]> {
  return [
    ...scratches(),
    ...[...seen].filter((place) => existsSync(place)),
    ...[...seen].flatMap((place) => processes(place).map(lineOf)),
    ...inside(join(here.state, 'reading')),
    ...hostFolders().flatMap((folder) => inside(join(folder, 'jobs'))),
    ...hostFolders().flatMap((folder) => filesBelow(join(folder, 'scratch'))),
    ...(await here.remains()),
  ];
}

/** The processes of pg_restore in any scratch. */
function loaders(): number[] {
  for (const place of places()) seen.add(place);
  return [...seen]
    .flatMap((place) => processes('/pg_restore ', place))
    .filter((pid) => /^\S*\/pg_restore /.test(lineOf(pid)));
}

/** A drill that stands still in its load, as one of a large database would. */
async function drillInItsLoad() {
  const { json } = await here.permafrost('drill', '--from', 'vault', '--detach', '--json');
  const handle = here.client.workflow.getHandle((json as { workflowId: string }).workflowId);
  takeBack.push(async () => {
    // A test that failed spoils no other.
    await handle.cancel().catch(() => undefined); // it has ended
    await handle.result().catch(() => undefined);
  });
  const goOn = await stopAsSoonAsThere('pg_restore', loaders);
  takeBack.push(goOn);
  return { handle, goOn, stopped: loaders() };
}

const bad = ({ checks }: DrillReport) => checks.filter(({ passed }) => !passed);
const statusOf = async () => (await here.permafrost('status', '--json')).json;

test('a night is the instance, on another host and from an off-site alone: its server is switched off', async () => {
  const pids = await here.services.pids();
  const { exitCode, report } = await here.with(
    ({ instance }) => {
      Object.assign(instance, { host: { ssh: 'nobody@127.0.0.1', port: 1, knownHosts: '/dev/null' } });
      const { port, identityFile, knownHosts } = elsewhere;
      const ssh = { ssh: 'root@127.0.0.1', port, identityFile, knownHosts };
      instance['drill'] = {
        host: { ...ssh, folder: join(here.folder, 'drill-host') },
        depth: 'application',
        application: {
          command: [process.execPath, web],
          directory: checkout,
          user: 'root',
          health: '/health',
        },
      };
    },
    () => drill(),
  );
  expect(bad(report)).toEqual([]);
  expect(exitCode).toBe(0);
  expect(report).toMatchObject({ backup, from: 'cloud', depth: 'application', passed: true });
  expect(report.notProven).toEqual([expect.stringContaining('the application ran as root')]);
  expect(report.host).toMatch(/^root@127\.0\.0\.1/);
  expect(report.checks.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      ...[
        'manifest-signature',
        'part-hashes',
        'media-index',
        'media-sample',
        'secrets-archive',
        'redis-dump',
      ],
      ...['pg-restore', 'row-counts', 'sequences', 'indexes-valid', 'btree-integrity', 'unique-indexes'],
      ...['functions', 'foreign-keys', 'secrets-open', 'actor-keys', 'media-complete', 'newest-status'],
      ...['no-way-out', 'boots', 'webfinger', 'account-lookup', 'instance', 'statuses', 'media-served'],
    ]),
  );
  // Of two off-sites one could not be seen from here: that is said, and the other one is as good.
  expect(report.warnings).toEqual([expect.stringContaining('vault is a folder on nobody@127.0.0.1')]);
  expect(report.recoveryTimeMs).toBeGreaterThan(0);
  expect(report.forecast?.totalMs).toBeGreaterThan(report.recoveryTimeMs);
  expect(await here.services.pids()).toEqual(pids);
  expect(await remains()).toEqual([]);
  expect(await statusOf()).toMatchObject({
    lastDrill: { backup, from: 'cloud', passed: true },
    problems: [],
  });
});

test('goes on in another worker when its own is killed in the load, which is not begun anew', async () => {
  const { handle, goOn, stopped } = await drillInItsLoad();
  expect(await here.permafrost('status', '--json')).toMatchObject({
    json: {
      running: [
        {
          ...{ workflowId: drillWorkflowId(here.domain), type: 'drill' },
          phase: expect.stringMatching(/^(?:files, )?load$/) as string,
        },
      ],
    },
  });
  await here.worker.kill();
  // The mark is the drill's, not that of a step or a process: no prune takes the backup from it in between.
  expect(inside(join(here.state, 'reading'))).toEqual([expect.stringContaining(`/vault_${backup}_drill-`)]);
  await here.worker.start();
  await until('the next worker has taken it up', async () => {
    const { raw } = await handle.describe();
    return (raw.pendingActivities ?? []).some(
      ({ activityType, attempt }) => activityType?.name === 'loadScratch' && (attempt ?? 1) > 1,
    );
  });
  expect(loaders().filter((pid) => !stopped.includes(pid))).toEqual([]);
  goOn();
  const report = (await handle.result()) as DrillReport;
  expect(report).toMatchObject({ from: 'vault', depth: 'database', passed: true });
  expect(await remains()).toEqual([]);
});

test('leaves nothing when it is cancelled in the load, and no record', async () => {
  const before = await statusOf();
  const { handle } = await drillInItsLoad();
  expect(await here.permafrost('cancel', '--json')).toMatchObject({
    ...{ exitCode: 0, json: { workflowId: handle.workflowId, status: 'cancelled' } },
  });
  expect(await remains()).toEqual([]);
  expect(await statusOf()).toMatchObject({ lastDrill: before['lastDrill'], problems: [] });
});

test('a backup that would not restore: 6, what is wrong with it, and status says so until one passes', async () => {
  const dump = dumpOnCloud();
  const content = readFileSync(dump);
  takeBack.push(() => {
    writeFileSync(dump, content);
  });
  const flipped = Buffer.from(content);
  const middle = Math.floor(flipped.length / 2);
  flipped[middle] = (flipped[middle] ?? 0) ^ 1;
  writeFileSync(dump, flipped);
  const { exitCode, report } = await drill('--from', 'cloud');
  expect(exitCode).toBe(6);
  expect(report).toMatchObject({ backup, from: 'cloud', passed: false, status: 'findings' });
  expect(bad(report).map(({ name }) => name)).toEqual(['part-hashes', 'pg-restore']);
  const { json } = await here.permafrost('status', '--json');
  expect(json).toMatchObject({ lastDrill: { from: 'cloud', passed: false } });
  expect(json['problems']).toEqual([
    expect.stringContaining(`${backup} on cloud would not restore: part-hashes, pg-restore`),
  ]);
  expect(await remains()).toEqual([]);
});

test('without room for it, it is refused before anything is fetched; by files alone it needs none', async () => {
  const { exitCode, stderr } = await here.with(
    ({ instance }) => {
      instance['drill'] = { folder: '/proc' };
    },
    () => here.permafrost('drill', '--from', 'cloud'),
  );
  expect(exitCode).toBe(3);
  expect(stderr.replace(/\s+/g, ' ')).toMatch(
    /\/proc on local has 0 B free, and a drill of \S+ needs about \d+ MB/,
  );
});

/** The dump, as it lies on the encrypted remote: the largest file there. */
function dumpOnCloud(): string {
  const files = filesBelow(join(here.folder, 'cloud'));
  return files.sort((one, other) => statSync(other).size - statSync(one).size)[0] ?? '';
}
