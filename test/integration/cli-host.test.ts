import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { permafrostCommand } from '../../scripts/permafrost.js';
import { freePort } from '../../src/temporal/server-process.js';
import { CapturedIo } from '../unit/cli/captured-io.js';

/** The verbs that ask the host and the off-sites themselves, on a host whose services are files: running when there. */

let folder: string;

function file(name: string): string {
  return join(folder, name);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-cli-'));
  mkdirSync(file('live'));
  writeFileSync(file('live/.env.production'), 'LOCAL_DOMAIN=example.social\n');
  writeFileSync(file('password'), 'only-a-test\n', { mode: 0o600 });
  const services = {
    kind: 'commands',
    names: ['web', 'sidekiq'],
    start: ['web', 'sidekiq'].map((name) => ['touch', file(`run/${name}`)]),
    stop: ['web', 'sidekiq'].map((name) => ['rm', '-f', file(`run/${name}`)]),
    status: ['web', 'sidekiq'].map((name) => ['test', '-e', file(`run/${name}`)]),
  };
  const restic = (name: string) => ({
    kind: 'restic',
    repository: file(name),
    passwordFile: file('password'),
  });
  const configuration = {
    instances: {
      'example.social': {
        host: 'local',
        mastodon: { root: file('live'), services },
        offsites: ['vault', 'cellar'],
      },
    },
    offsites: { vault: restic('vault'), cellar: restic('cellar') },
    temporal: { embedded: { port: await freePort(), uiPort: await freePort() } },
    state: file('state'),
  };
  writeFileSync(file('permafrost.yaml'), JSON.stringify(configuration));
});

beforeEach(() => {
  rmSync(file('run'), { recursive: true, force: true });
  mkdirSync(file('run'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function permafrost(...args: string[]) {
  const io = new CapturedIo({ PERMAFROST_CONFIG: file('permafrost.yaml') });
  const code = await io.run(permafrostCommand, ...args);
  return { code, io };
}

test('status answers although Temporal and the off-sites do not', async () => {
  writeFileSync(file('run/web'), '');
  const { code, io } = await permafrost('status', '--json');
  expect(code).toBe(0);
  expect(io.json()).toMatchObject({
    instance: 'example.social',
    services: [
      { name: 'web', running: true },
      { name: 'sidekiq', running: false },
    ],
    lastBackup: null,
    running: [],
  });
  const problems = (io.json()['problems'] as string[]).join('\n');
  expect(problems).toContain('Temporal does not answer');
  expect(problems).toContain('sidekiq is not running');
  expect(problems).toContain('permafrost offsite init');
});

describe('services start', () => {
  test('needs no Temporal, and says what runs', async () => {
    const { code, io } = await permafrost('services', 'start');
    expect(code).toBe(0);
    expect(io.stdout.text).toContain('2 of 2 services of example.social are running.');
    expect(existsSync(file('run/sidekiq'))).toBe(true);
  });

  test('that does not work: 9', async () => {
    rmSync(file('run'), { recursive: true });
    const { code, io } = await permafrost('services', 'start', '--json');
    expect(code).toBe(9);
    expect(io.json()).toMatchObject({ error: { code: 9, type: 'ServicesDown' } });
  });
});

test('an off-site is created where there is none; a dead one among others is only told', async () => {
  expect((await permafrost('offsite', 'init', 'vault')).io.stdout.text).toContain('vault: created');
  expect((await permafrost('offsite', 'init', 'vault')).io.stdout.text).toContain('already');
  const { code, io } = await permafrost('list', '--json');
  expect(code).toBe(0);
  expect(io.json()).toEqual([]);
  expect(io.stderr.text).toContain('Off-site cellar could not be read.');
  const missing = await permafrost('show', 'latest');
  expect(missing.code).toBe(2);
  expect(missing.io.stderr.text).toContain('permafrost list');
});

test('up brings server, worker and schedules, and ends in good order when it is asked to', async () => {
  const io = new CapturedIo({ PERMAFROST_CONFIG: file('permafrost.yaml') });
  const ended = io.run(permafrostCommand, 'up', '--json');
  const deadline = Date.now() + 60_000;
  while (io.stdout.text === '' && Date.now() < deadline) await sleep(100);
  expect(io.json()).toMatchObject({
    ready: true,
    ui: expect.stringMatching(/^http:\/\/127\.0\.0\.1:/) as string,
  });
  expect(io.json()['next']).toContainEqual(expect.objectContaining({ scheduleId: 'backup/example.social' }));
  io.send('SIGTERM');
  expect(await ended).toBe(0);
  expect((await permafrost('worker', '--json')).code).toBe(7);
});
