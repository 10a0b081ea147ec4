import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { permafrostCommand } from '../../scripts/permafrost.js';
import type { SampleSize } from '../../sample/data.js';
import { type SampleInstance, startSampleInstance } from '../../sample/instance.js';
import { freePort } from '../../sample/ports.js';
import type { BackupReport } from '../../src/backups/report.js';
import { localHost } from '../../src/hosts/local.js';
import { type LeaseState, leaseState } from '../../src/hosts/lease.js';
import type { Host } from '../../src/hosts/host.js';
import { CapturedIo } from '../unit/cli/captured-io.js';
import { ServerOfInstallation, WorkerOfInstallation } from './installation-processes.js';
import { makeKeysQuick } from './offsite/quick-keys.js';

export { until } from './installation-processes.js';

/**
 * A whole installation on this machine: a sample instance, a configuration, an embedded Temporal server, a worker as a
 * process of its own, and off-sites. What it starts ends with `remove`, or with the test's process.
 */
export interface Installation {
  readonly domain: string;
  readonly folder: string;
  readonly state: string;
  readonly sample: SampleInstance;
  /** Permafrost's own place on the instance's host. */
  readonly host: Host;
  readonly client: Client;
  /** Runs the command: its exit code, what it said, and its one JSON document where `--json` was asked for. */
  permafrost(...words: string[]): Promise<Said>;
  /** `permafrost backup --json`: the exit code and the report. */
  backup(...words: string[]): Promise<Night>;
  /** Ids of the backups that the off-sites hold, newest first. */
  backups(): Promise<string[]>;
  /** Does `work` with a changed configuration, and puts it back. */
  with<T>(change: (settings: Settings) => void, work: () => Promise<T>): Promise<T>;
  worker: {
    readonly pid: number;
    readonly log: string;
    start(env?: NodeJS.ProcessEnv): Promise<void>;
    stop(): Promise<void>;
    /** SIGKILL. */
    kill(): Promise<void>;
  };
  server: {
    readonly ports: { port: number; uiPort: number };
    start(): Promise<void>;
    /** SIGKILL to the server's process, and its database is gone. */
    loseForGood(): Promise<void>;
  };
  services: {
    running(): Promise<string[]>;
    allUp(): Promise<boolean>;
    allDown(): Promise<boolean>;
    /** Process ids: the same afterwards when nothing was stopped. */
    pids(): Promise<string[]>;
  };
  lease(): Promise<LeaseState>;
  /** What runs leave on a host while they are at work: job folders, the spool, keys in memory. */
  remains(): Promise<string[]>;
  remove(): Promise<void>;
}

export interface Said {
  exitCode: number;
  stdout: string;
  stderr: string;
  json: Record<string, unknown>;
}

export interface Night {
  exitCode: number;
  report: BackupReport;
}

export type OffsiteSettings =
  | { kind: 'restic'; repository: string; passwordFile: string; environmentFile?: string }
  | { kind: 'rclone'; remote: string; configFile: string; encrypted?: boolean }
  | {
      kind: 'rsync';
      target: string;
      port: number;
      identityFile: string;
      knownHosts: string;
      recipients: string[];
      ageIdentityFile?: string;
    };

/** The configuration as it is written; tests change what they are about. */
export interface Settings {
  domain: string;
  instance: {
    host: 'local';
    mastodon: Record<string, unknown> & { services: Record<string, unknown> };
    quiesce: Record<string, unknown>;
    offsites: string[];
    schedule: Record<string, unknown>;
    [key: string]: unknown;
  };
  offsites: Record<string, OffsiteSettings>;
  state: string;
}

export interface InstallationOptions {
  /** A name of its own for each file of tests: the domain is `<name>.example`. */
  readonly name: string;
  readonly size?: Partial<SampleSize>;
  readonly seed?: string;
  readonly offsites?: readonly string[];
  readonly offsitePassword?: string;
  /** Off-sites besides the restic repositories, by their names; made in the installation's folder. */
  readonly more?: (folder: string) => Promise<Record<string, OffsiteSettings>>;
}

export async function setUpInstallation(options: InstallationOptions): Promise<Installation> {
  const undo: (() => Promise<unknown>)[] = [];
  const remove = async () => {
    for (const action of undo.splice(0).reverse()) await action();
  };
  try {
    return await build(options, undo, remove);
  } catch (error) {
    await remove();
    throw error;
  }
}

async function build(
  {
    name,
    size,
    seed,
    offsites = ['vault'],
    offsitePassword = `password-of-${name}`,
    more,
  }: InstallationOptions,
  undo: (() => Promise<unknown>)[],
  remove: () => Promise<void>,
): Promise<Installation> {
  const domain = `${name}.example`;
  const folder = await mkdtemp(join(tmpdir(), `permafrost-${name}-`));
  undo.push(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755); // PostgreSQL and Redis of the sample run as users of their own
  await forgetKeys(domain); // of tests that were killed: they are in memory, whatever becomes of the folder
  undo.push(() => forgetKeys(domain)); // of a run that a failed test has cut off
  const sample = await startSampleInstance({
    ...{ folder: join(folder, 'sample'), domain, seed: seed ?? name },
    size: { accounts: 30, statuses: 60, media: 12, mediaBytes: 4_000, ...size },
  });
  undo.push(() => sample.stop());

  const state = join(folder, 'state');
  const file = join(folder, 'permafrost.yaml');
  const ports = { port: await freePort(), uiPort: await freePort() };
  const settings = await defaultSettings(folder, sample, offsites, offsitePassword);
  Object.assign(settings.offsites, await more?.(folder));
  settings.instance.offsites = Object.keys(settings.offsites);
  await writeSettings(file, settings, ports);

  const server = new ServerOfInstallation(state, ports);
  undo.push(() => server.stop());
  await server.start();
  const worker = new WorkerOfInstallation(join(folder, 'worker.log'), file);
  undo.push(() => worker.stop());
  const host = localHost({ folder: join(state, 'host') });
  undo.push(() => host.close());

  const services = servicesOf(sample);
  const permafrost = async (...words: string[]): Promise<Said> => {
    const io = new CapturedIo({ PERMAFROST_CONFIG: file, NO_COLOR: '1' });
    const exitCode = await io.run(permafrostCommand, ...words);
    return {
      exitCode,
      stdout: io.stdout.text,
      stderr: io.stderr.text,
      get json() {
        return io.json();
      },
    };
  };
  const made = await permafrost('offsite', 'init');
  if (made.exitCode !== 0) throw new Error(`offsite init: ${made.stderr}`);
  for (const name of offsites) makeKeysQuick(join(folder, name), offsitePassword);
  await worker.start();

  return {
    ...{ domain, folder, state, sample, host, permafrost, worker, services, remove },
    server,
    get client() {
      return server.client;
    },
    async backup(...words) {
      const said = await permafrost('backup', '--json', ...words);
      return { exitCode: said.exitCode, report: said.json as unknown as BackupReport };
    },
    async backups() {
      const listed = (await permafrost('list', '--json')).json as unknown as { backup: string }[];
      return listed.map(({ backup }) => backup);
    },
    async with(change, work) {
      const changed = structuredClone(settings);
      change(changed);
      await writeSettings(file, changed, ports);
      try {
        return await work();
      } finally {
        await writeSettings(file, settings, ports);
      }
    },
    lease: () => leaseState(host, domain),
    async remains() {
      const inside = async (path: string) =>
        (await readdir(path).catch(() => [])).map((entry) => join(path, entry));
      const memory = (await inside('/dev/shm')).filter((path) => path.includes(domain));
      return [
        ...(await inside(join(state, 'host/jobs'))),
        ...(await inside(join(state, 'host/spool'))),
        ...memory,
      ];
    },
  };
}

async function forgetKeys(domain: string): Promise<void> {
  const keys = (await readdir('/dev/shm')).filter(
    (name) => name.startsWith('permafrost') && name.includes(`_${domain}_`),
  );
  for (const name of keys) await rm(join('/dev/shm', name), { recursive: true, force: true });
}

async function defaultSettings(
  folder: string,
  { domain, root, services, healthUrl }: SampleInstance,
  offsites: readonly string[],
  offsitePassword: string,
): Promise<Settings> {
  const password = join(folder, 'offsite.password');
  await writeFile(password, `${offsitePassword}\n`, { mode: 0o600 });
  return {
    domain,
    instance: {
      host: 'local',
      mastodon: { root, services: { kind: 'commands', ...services }, health: healthUrl },
      quiesce: { budget: '1m', lease: '2m' },
      offsites: [...offsites],
      schedule: { backup: 'none', drill: 'none' },
    },
    offsites: Object.fromEntries(
      offsites.map((name) => [
        name,
        { kind: 'restic' as const, repository: join(folder, name), passwordFile: password },
      ]),
    ),
    state: join(folder, 'state'),
  };
}

async function writeSettings(
  file: string,
  { domain, instance, offsites, state }: Settings,
  embedded: { port: number; uiPort: number },
): Promise<void> {
  const whole = { instances: { [domain]: instance }, offsites, temporal: { embedded }, state };
  await writeFile(file, JSON.stringify(whole, null, 1)); // YAML takes JSON
}

function servicesOf({ root, services }: SampleInstance): Installation['services'] {
  const pidOf = (name: string) => readFile(join(root, 'tmp/pids', `${name}.pid`), 'utf8').catch(() => '');
  const runs = async (name: string) => {
    const pid = (await pidOf(name)).trim();
    return (
      pid !== '' && existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`).includes(root)
    );
  };
  const running = async () => {
    const states = await Promise.all(services.names.map(runs));
    return services.names.filter((_, at) => states[at]);
  };
  return {
    running,
    allUp: async () => (await running()).length === services.names.length,
    allDown: async () => (await running()).length === 0,
    pids: () => Promise.all(services.names.map(pidOf)),
  };
}
