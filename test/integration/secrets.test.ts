import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { parseEnvFile, secretVariables } from '../../src/mastodon/env-file.js';
import { type Installation, type Said, setUpInstallation } from './installation.js';

/** Secrets stay on hosts and in files: good and failing runs, then everything is searched that anybody else may see. */

vi.setConfig({ testTimeout: 300_000 });

const random = randomBytes(8).toString('hex');
const planted = {
  repositoryPassword: `planted-repository-password-${random}`,
  wrongPassword: `planted-wrong-password-${random}`,
  storageKey: `planted-storage-key-${random}`,
  urlPassword: `planted-url-password-${random}`,
};

let here: Installation;
let secrets: Map<string, string>;
beforeAll(async () => {
  // A seed of its own: what is found is ours, and not that of a sample that runs beside this one.
  here = await setUpInstallation({
    name: 'secrets',
    seed: random,
    offsitePassword: planted.repositoryPassword,
  });
  const env = parseEnvFile(readFileSync(here.sample.envFile, 'utf8'));
  secrets = new Map(secretVariables(env).map((name) => [name, env.get(name) ?? '']));
  for (const name of [
    'DB_PASS',
    'REDIS_PASSWORD',
    'SECRET_KEY_BASE',
    'ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY',
  ]) {
    expect(secrets.get(name)).toMatch(/.{20}/);
  }
  for (const [name, value] of Object.entries(planted)) secrets.set(name, value);
});
afterAll(() => here?.remove());

/** The names of the secrets that a text holds, in plain or in base64. */
function secretsIn(text: string | Buffer): string[] {
  const bytes = Buffer.from(text);
  return [...secrets]
    .filter(
      ([, value]) =>
        bytes.includes(value) ||
        bytes.includes(Buffer.from(value).toString('base64').replace(/=+$/, '').slice(0, -1)),
    )
    .map(([name]) => name);
}

/** Everything below a folder; what vanishes while it is read is not there. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function look(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}

/** What others on the machine see while runs are at work: every process's argv, and the jobs' folders. */
function watchTheMachine() {
  const found = new Set<string>();
  let watching = true;
  let looks = 0;
  const seen = (async () => {
    while (watching) {
      const processes = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
      for (const pid of processes) {
        const argv = look(`/proc/${pid}/cmdline`);
        for (const name of secretsIn(argv)) found.add(`${name} in ${argv.toString().replaceAll('\0', ' ')}`);
      }
      try {
        for (const path of filesBelow(join(here.state, 'host/jobs'))) {
          for (const name of secretsIn(look(path))) found.add(`${name} in ${path}`);
        }
      } catch {
        // no jobs yet
      }
      looks += 1;
      await sleep(20);
    }
  })();
  return async () => {
    watching = false;
    await seen;
    expect(looks).toBeGreaterThan(5);
    return [...found];
  };
}

const said: Said[] = [];
async function night(exitCode: number, ...words: string[]): Promise<string> {
  const one = await here.permafrost('backup', '--verbose', ...words);
  said.push(one);
  expect.soft(one.exitCode, one.stderr).toBe(exitCode);
  return one.stdout + one.stderr;
}

/** As Capistrano has it: the file itself lies elsewhere. */
function putEnvFileElsewhere(): string {
  const shared = join(here.folder, 'shared.env');
  renameSync(here.sample.envFile, shared);
  symlinkSync(shared, here.sample.envFile);
  return shared;
}

test('the runs: good ones, and ones that fail over their secrets', async () => {
  const shared = putEnvFileElsewhere();
  const stop = watchTheMachine();
  try {
    const storage = join(here.folder, 'storage.env');
    writeFileSync(storage, `AWS_SECRET_ACCESS_KEY=${planted.storageKey}\n`, { mode: 0o600 });
    await here.with(
      ({ offsites: { vault } }) => {
        if (vault?.kind === 'restic') vault.environmentFile = storage;
      },
      async () => void (await night(0)),
    );
    const { json } = await here.permafrost('show', 'latest', '--json');
    const archived = { path: here.sample.envFile, bytes: statSync(shared).size };
    expect(json).toMatchObject({
      secrets: { proof: { proven: true }, files: [expect.objectContaining(archived)] },
    });

    const wrong = join(here.folder, 'wrong.password');
    writeFileSync(wrong, `${planted.wrongPassword}\n`, { mode: 0o600 });
    await here.with(
      ({ offsites: { vault } }) => {
        if (vault?.kind === 'restic') vault.passwordFile = wrong;
      },
      async () => expect(await night(3)).toContain('does not open the repository'),
    );

    const key = 'ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY';
    const other = join(here.folder, 'other-keys.env');
    const text = readFileSync(here.sample.envFile, 'utf8');
    const forged = randomBytes(16).toString('hex');
    secrets.set('forged key', forged);
    writeFileSync(other, text.replace(new RegExp(`^${key}=.*$`, 'm'), `${key}=${forged}`), { mode: 0o600 });
    const before = await here.backups();
    await here.with(
      ({ instance }) => (instance.mastodon['envFile'] = other),
      async () => expect(await night(3, '--only', 'database,secrets')).toContain(key),
    );
    expect(await here.backups()).toEqual(before);
    expect(await here.services.allUp()).toBe(true);

    // Redis on another machine, by an address that is not this one's: its password goes along with a job.
    const remote = join(here.folder, 'remote-redis.env');
    writeFileSync(remote, text.replace(/^REDIS_HOST=.*$/m, 'REDIS_HOST=0.0.0.0'), { mode: 0o600 });
    await here.with(
      ({ instance }) => (instance.mastodon['envFile'] = remote),
      async () => expect(await night(0, '--only', 'redis')).toContain('Redis runs on another machine'),
    );

    // A password in the address of a repository is refused, and not repeated.
    await here.with(
      ({ offsites: { vault } }) => {
        if (vault?.kind === 'restic')
          vault.repository = `rest:http://keeper:${planted.urlPassword}@127.0.0.1:9/`;
      },
      async () => expect(await night(2)).toContain('without a password in it'),
    );

    await here.sample.servers.postgres.stop();
    await night(3);
  } finally {
    expect(await stop()).toEqual([]);
  }
});

test('nothing that was said on the terminal holds one', () => {
  expect(said.length).toBeGreaterThan(4);
  for (const { stdout, stderr } of said) expect(secretsIn(stdout + stderr)).toEqual([]);
});

test('no history, description or answer of Temporal holds one', async () => {
  let runs = 0;
  const { client } = here;
  for await (const { workflowId, runId, raw } of client.workflow.list()) {
    const handle = client.workflow.getHandle(workflowId, runId);
    const { raw: description } = await handle.describe();
    const metadata = await handle.query('__temporal_workflow_metadata');
    const progress = await handle.query('progress').catch(() => null);
    const all = [await handle.fetchHistory(), raw, description, metadata, progress].map(textsOf).join('\n');
    expect(all).toContain(here.domain); // payloads are read in plain
    expect([workflowId, secretsIn(all)]).toEqual([workflowId, []]);
    runs += 1;
  }
  expect(runs).toBeGreaterThan(4); // the runs and their guards
});

/** Every string and every byte of what Temporal answered. */
function textsOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .map(([key, inner]) => `${key} ${textsOf(inner)}`)
    .join('\n');
}

test("neither the worker's log nor anything in the state folder holds one", () => {
  expect(secretsIn(look(here.worker.log))).toEqual([]);
  const files = filesBelow(here.state);
  expect(files.some((path) => path.includes('/temporal/'))).toBe(true);
  const holding = files.flatMap((path) => secretsIn(look(path)).map((name) => `${name} in ${path}`));
  expect(holding).toEqual([]);
});
