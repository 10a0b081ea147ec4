import { randomUUID } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Activities } from '../../src/activities/index.js';
import { jobId } from '../../src/activities/jobs.js';
import { TASK_QUEUE } from '../../src/workflows/names.js';
import { type Installation, setUpInstallation, until } from './installation.js';
import { holdTheCapture } from './obstacles.js';

/** Steps of a night in an order that no night has on purpose: lost moments, dead workers, servers that do as they like. */

vi.setConfig({ testTimeout: 300_000 });

let here: Installation;
beforeAll(async () => {
  here = await setUpInstallation({ name: 'steps' });
});
afterAll(() => here?.remove());

const takeBack: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const action of takeBack.splice(0).reverse()) await action();
});

let backup = 20260101;
/** A run whose steps are called one by one; swept after its test. */
function someRun() {
  backup += 1;
  const run = { instance: here.domain, backup: `${String(backup)}T000000Z`, token: randomUUID() };
  const step = (name: keyof Activities, more: object = {}): Promise<unknown> =>
    here.client.activity.execute(name, {
      ...{ id: randomUUID(), taskQueue: TASK_QUEUE, args: [{ run, ...more }] },
      ...{ startToCloseTimeout: '2 minutes', retry: { maximumAttempts: 1 } },
    });
  takeBack.push(() => step('sweepRun'));
  const spool = join(here.state, 'host/spool', here.domain);
  const facts = (name: string) =>
    JSON.parse(readFileSync(join(spool, 'facts', `${name}.json`), 'utf8')) as Record<string, unknown>;
  return {
    run,
    step,
    spool,
    facts,
    prepare: (parts: string[]) => step('prepareRun', { parts, offsites: [] }),
  };
}

const sql = (text: string, user?: string) =>
  here.sample.servers.postgres.sql(here.sample.database.name, text, user);

describe('a moment that was lost and is taken again', () => {
  test('is taken whole: neither the dump, nor the counts, nor the index are those of the first', async () => {
    const { run, step, spool, facts, prepare } = someRun();
    await prepare(['database']);
    await step('pinMoment');
    const capture = async () => {
      for (const name of ['dumpDatabase', 'countRows', 'indexMedia'] as const) await step(name);
      const media = facts('media')['files'] as number;
      const dump = await execa(`${here.sample.servers.postgres.binaries}/pg_restore`, [
        '--list',
        join(spool, 'database/database.dump'),
      ]);
      return { counted: facts('rows'), media, dumped: dump.stdout.includes('TABLE public since_then') };
    };
    const first = await capture();
    expect(first.counted).not.toHaveProperty('since_then');
    await sql('CREATE TABLE since_then AS SELECT generate_series(1, 7) AS x;', 'mastodon');
    takeBack.unshift(() => sql('DROP TABLE since_then;')); // once the moment does not hold it any more
    writeFileSync(join(here.sample.root, 'public/system/since-then.png'), 'png');

    // As long as it is held, what was captured holds; an attempt after a worker's death has the same.
    expect(await step('keepMoment')).toMatchObject({ kind: 'pinned' });
    expect(await capture()).toEqual(first);

    await here.host.job(jobId(run, 'moment')).cancel();
    expect(await step('keepMoment')).toMatchObject({ kind: 'own' });
    const second = await capture();
    expect(second.counted).toMatchObject({ since_then: 7 });
    expect(second).toMatchObject({ dumped: true, media: first.media + 1 });
  });
});

describe('the database', () => {
  test('with tables of an extension that nobody may read, and impatient with idle sessions', async () => {
    await sql(`CREATE SCHEMA monitor; CREATE TABLE monitor.samples (x int); CREATE TABLE monitor.settings (x int);
      ALTER EXTENSION plpgsql ADD TABLE monitor.samples;
      ALTER ROLE mastodon SET idle_session_timeout = '100ms';`);
    takeBack.push(() =>
      sql(`ALTER ROLE mastodon RESET idle_session_timeout;
        ALTER EXTENSION plpgsql DROP TABLE monitor.samples; DROP SCHEMA monitor CASCADE;`),
    );
    // What is nobody's but the database's own cannot be left out: that is said before anything is touched.
    const refused = await here.backup('--dry-run', '--only', 'database');
    expect(refused).toMatchObject({ exitCode: 3, report: { error: { type: 'Refused' } } });
    expect(refused.report.error?.message).toContain('may not read monitor.settings:');

    await sql('GRANT USAGE ON SCHEMA monitor TO mastodon; GRANT SELECT ON monitor.settings TO mastodon;');
    const { run, step, facts, prepare } = someRun();
    await prepare(['database']);
    await sleep(500);
    expect(await here.host.job(jobId(run, 'moment')).status()).toMatchObject({ state: 'running' });
    await step('pinMoment');
    await step('dumpDatabase');
    await step('countRows');
    expect(facts('rows')).toMatchObject({ 'monitor.settings': 0 });
    expect(facts('rows')).not.toHaveProperty('monitor.samples');
  });
});

describe('a Redis that is saving by itself', () => {
  /** Redis saves, and does not come to an end. */
  async function saving(): Promise<() => Promise<void>> {
    const letGo = await holdTheCapture(here.sample);
    await here.sample.servers.redis.command('BGSAVE');
    takeBack.push(letGo);
    return letGo;
  }

  test('is waited for before the services are stopped', async () => {
    const { spool, prepare } = someRun();
    const letGo = await saving();
    let prepared = false;
    const preparing = prepare(['redis']).then(() => (prepared = true));
    await until('it has come so far', () => existsSync(join(spool, 'facts/instance.json')));
    await sleep(500);
    expect(prepared).toBe(false);
    await letGo();
    await preparing;
  });

  test('does not keep them stopped: its own save comes afterwards, and is called newer', async () => {
    const { step, facts, prepare } = someRun();
    await prepare(['secrets']);
    const letGo = await saving();
    await step('saveRedis');
    expect(facts('redis-saved')).toMatchObject({ later: true });
    const copying = step('copyRedis');
    await letGo();
    await copying;
    expect(facts('redis')).toMatchObject({ newer: true });
  });

  test('to another file than the configuration names is noticed', async () => {
    const old = join(here.folder, 'old.rdb');
    await here.sample.servers.redis.command('SAVE');
    copyFileSync(here.sample.redis.dump, old);
    await sleep(2500); // Redis tells times to the second
    const { exitCode, report } = await here.with(
      ({ instance }) => (instance.mastodon['redisDump'] = old),
      () => here.backup('--only', 'redis', '--quiesce', 'none'),
    );
    expect(report.error?.message).toContain(`not to ${old}`);
    expect(report).toMatchObject({ status: 'failed', error: { type: 'ConfigInvalid' } });
    expect(exitCode).toBe(2);
    expect(report.error?.next).toContain('mastodon.redisDump');
  });
});

test('a damaged index of the last media is told in the report, and the night is sealed', async () => {
  const last = join(here.state, 'host/index', `${here.domain}.index`);
  mkdirSync(join(last, '..'), { recursive: true });
  writeFileSync(last, Buffer.alloc(4096));
  const { report } = await here.backup('--only', 'media', '--quiesce', 'none');
  expect(report.error).toBeUndefined();
  expect(report.status).toBe('sealed');
  expect(report.warnings).toContainEqual(expect.stringMatching(/index of the last media backup was damaged/));
  expect(readFileSync(last, 'utf8')).toMatch(/^# permafrost media index 1\n/);
});

describe('another worker', () => {
  test('sweeps what the first has left, also when the database is down', async () => {
    const { prepare } = someRun();
    await prepare(['secrets']);
    expect(await here.remains()).not.toEqual([]);
    await here.worker.kill();
    const home = join(here.folder, 'home');
    mkdirSync(home);
    await here.worker.start({ HOME: home });
    await here.with(
      ({ instance }) => (instance['database'] = { port: 9 }),
      async () => {
        await takeBack.pop()?.();
      },
    );
    expect(await here.remains()).toEqual([]);
  });

  test("finds the database's password in ~/.pgpass of Mastodon's user, as Mastodon does", async () => {
    const home = join(here.folder, 'home');
    const { password } = here.sample.database;
    writeFileSync(join(home, '.pgpass'), `*:*:*:mastodon:${password}\n`, { mode: 0o600 });
    const env = join(here.folder, 'without-password.env');
    const text = readFileSync(here.sample.envFile, 'utf8');
    writeFileSync(env, text.replace(/^DB_PASS=.*\n/m, ''), { mode: 0o600 });
    await here.with(
      ({ instance }) => (instance.mastodon['envFile'] = env),
      async () => {
        const { step, facts, prepare } = someRun();
        await prepare(['database']);
        await step('pinMoment');
        await step('dumpDatabase');
        expect(facts('dump')).toMatchObject({ entry: { path: 'database.dump' } });
      },
    );
  });
});
