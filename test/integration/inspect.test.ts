import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { type Daemon, giveTo, makePrivateFolder, startDaemon } from '../../sample/daemon.js';
import { type SampleInstance, startSampleInstance } from '../../sample/instance.js';
import { freePort } from '../../sample/ports.js';
import type { InstanceConfig } from '../../src/config/configuration.js';
import { parseConfiguration } from '../../src/config/load.js';
import type { Host } from '../../src/hosts/host.js';
import { openHost } from '../../src/hosts/open.js';
import {
  databaseAccess,
  inspectInstance,
  inspectServices,
  type Instance,
} from '../../src/mastodon/inspect.js';
import { psql } from '../../src/mastodon/psql.js';
import { redisCli } from '../../src/mastodon/redis-cli.js';
import { checkSource } from '../../src/mastodon/source-checks.js';

let folder: string;
let sample: SampleInstance;
let host: Host;
let found: Instance;

beforeAll(async () => {
  folder = await mkdtemp('/tmp/permafrost-inspect-');
  await execa('chmod', ['0755', folder]);
  sample = await startSampleInstance({ folder: join(folder, 'sample'), size: { statuses: 50 } });
  host = openHost({ kind: 'local', folder: join(folder, 'host') });
  found = await inspectInstance(host, configured());
});

afterAll(async () => {
  await host.close();
  await sample.stop({ remove: true });
  await rm(folder, { recursive: true, force: true });
});

/** The sample's configuration as an operator would write it, with `more` under `mastodon`. */
function configured(more: Record<string, unknown> = {}, domain = sample.domain): InstanceConfig {
  const { names, start, stop, status } = sample.services;
  const mastodon = { root: sample.root, services: { kind: 'commands', names, start, stop, status }, ...more };
  const text = stringify({
    instances: { [domain]: { host: 'local', mastodon } },
    offsites: { vault: { kind: 'restic', repository: '/none', passwordFile: 'none' } },
  });
  const instance = parseConfiguration(text, join(folder, 'permafrost.yaml'), {}).instances[domain];
  if (!instance) throw new Error('The sample is not in its own configuration.');
  return instance;
}

/** A copy of the sample's env file with one line changed. */
async function otherEnv(from: RegExp, to: string): Promise<string> {
  const text = await readFile(sample.envFile, 'utf8');
  const path = join(folder, `env-${String(Math.random()).slice(2)}`);
  await writeFile(path, text.replace(from, to));
  return path;
}

test('what the configuration leaves open is found', async () => {
  const { stdout: version } = await execa('psql', ['--version']);
  const major = Number(/\d+/.exec(version)?.[0]);
  expect(found.domain).toBe(sample.domain);
  expect(found.envFile).toBe(sample.envFile);
  expect(found.env.get('SECRET_KEY_BASE')).toBe(sample.data.secrets.SECRET_KEY_BASE);
  expect(found.database).toMatchObject({ ...sample.database, major, local: true, pooled: false });
  expect(found.database.binDir).toContain(String(major));
  expect(found.database.sizeBytes).toBeGreaterThan(1_000_000);
  expect(found.redis).toMatchObject({ ...sample.redis, aof: false, local: true });
  expect(found.media).toEqual({ path: join(sample.root, 'public/system'), cache: 'exclude' });
  expect(found.appUser).toBe((await execa('stat', ['-c', '%U', sample.root])).stdout);
  expect(found.health).toBe('http://127.0.0.1:3000/health');
});

test('the services are found to be running, or not', async () => {
  const [, stopSidekiq = []] = sample.services.stop;
  const [, startSidekiq = []] = sample.services.start;
  await host.run(stopSidekiq);
  const { services } = await inspectServices(host, configured());
  await host.run(startSidekiq);
  expect(services.kind === 'commands' && services.services.map(({ name, active }) => [name, active])).toEqual(
    [
      ['web', true],
      ['sidekiq', false],
      ['streaming', true],
    ],
  );
});

test('the services are found although the database is gone', async () => {
  const envFile = await otherEnv(/DB_PORT=.*/, 'DB_PORT=1');
  expect((await inspectServices(host, configured({ envFile }))).services.kind).toBe('commands');
});

test('extra files are found by pattern, and folders stand for what is in them', async () => {
  const extra = join(folder, 'etc with space');
  await mkdir(join(extra, 'a.d'), { recursive: true });
  await Promise.all(['one.conf', 'two.conf', 'a.d/x'].map((name) => writeFile(join(extra, name), '')));
  const extraFiles = [`${extra}/*.conf`, `${extra}/a.d`, `${extra}/a.d/x`, `${extra}/none-*`];
  const instance = await inspectInstance(host, configured({ extraFiles }));
  expect(instance.extraFiles.filter((path) => path.startsWith(extra))).toEqual(
    ['a.d', 'one.conf', 'two.conf'].map((name) => join(extra, name)),
  );
  expect(instance.warnings).toEqual([expect.stringContaining('none-*')]);
});

test('media in object storage, or said to be, is no media of this host', async () => {
  const envFile = await otherEnv(/S3_ENABLED=.*/, 'S3_ENABLED=true');
  expect((await inspectInstance(host, configured({ envFile }))).media).toBeNull();
  expect((await inspectInstance(host, configured({ media: 'none' }))).media).toBeNull();
});

describe('before anything is touched', () => {
  const cases: [string, () => Promise<InstanceConfig> | InstanceConfig, RegExp, RegExp][] = [
    ['no root', () => configured({ root: '/nowhere' }), /no folder \/nowhere on local/, /mastodon\.root/],
    ['no env file', () => configured({ envFile: '/nowhere' }), /no env file \/nowhere/, /mastodon\.envFile/],
    ['no media', () => configured({ media: '/nowhere' }), /no media folder \/nowhere/, /mastodon\.media/],
    ['no extra file', () => configured({ extraFiles: ['/nowhere'] }), /no \/nowhere/, /mastodon\.extraFiles/],
    [
      'no systemd',
      () => configured({ services: undefined }),
      /not run by systemd|No systemd unit/,
      /mastodon\.services/,
    ],
    [
      'a wrong password',
      async () => configured({ envFile: await otherEnv(/DB_PASS=.*/, 'DB_PASS=planted') }),
      /password authentication failed/,
      /DB_PASS/,
    ],
    [
      'no such database',
      async () => configured({ envFile: await otherEnv(/DB_NAME=.*/, 'DB_NAME=absent') }),
      /no database absent/,
      /DB_NAME/,
    ],
    [
      'no PostgreSQL',
      async () => configured({ envFile: await otherEnv(/DB_PORT=.*/, 'DB_PORT=1') }),
      /127\.0\.0\.1:1.*Connection refused/s,
      /PostgreSQL runs/,
    ],
    [
      'a wrong Redis password',
      async () => configured({ envFile: await otherEnv(/REDIS_PASSWORD=.*/, 'REDIS_PASSWORD=planted') }),
      /Redis at .* does not let us in/,
      /REDIS_PASSWORD/,
    ],
    [
      'no Redis',
      async () => configured({ envFile: await otherEnv(/REDIS_PORT=.*/, 'REDIS_PORT=1') }),
      /Redis at 127\.0\.0\.1:1 .*Connection refused/s,
      /Redis runs/,
    ],
  ];

  test.each(cases)('%s is refused', async (_, config, message, next) => {
    await expect(inspectInstance(host, await config())).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringMatching(message) as string,
      next: expect.stringMatching(next) as string,
    });
    await expect(inspectInstance(host, await config())).rejects.not.toThrow(/planted/);
  });
});

describe('psql', () => {
  const ask = (sql: string, options = {}) => psql(host, databaseAccess(found), sql, options);

  test('returns the rows of all statements as they are', async () => {
    expect(
      await ask(
        `SELECT 'a|b', E'two\\nlines', '', NULL, 'käse 🧀'; SELECT 1 WHERE false; VALUES (1, 2), (3, 4);`,
      ),
    ).toEqual([
      ['a|b', 'two\nlines', '', '', 'käse 🧀'],
      ['1', '2'],
      ['3', '4'],
    ]);
  });

  test('passes variables without their being read as SQL', async () => {
    const value = `it's; DROP TABLE "users" -- \\ $(id)`;
    expect(await ask(`SELECT :'value'`, { variables: { value } })).toEqual([[value]]);
  });

  test('fails at the first error with the words of PostgreSQL', async () => {
    await expect(ask('SELECT 1; SELECT * FROM nowhere; SELECT 2;')).rejects.toMatchObject({
      type: 'CommandFailed',
      message: expect.stringContaining('relation "nowhere" does not exist') as string,
    });
  });

  test('shows its password to nobody who lists the processes', async () => {
    const asking = ask('SELECT pg_sleep(1)');
    const seen = await untilSeen('permafrost', /psql.*-XqAtw0/s);
    await asking;
    expect(seen).not.toContain(sample.database.password);
  });
});

describe('redis-cli', () => {
  test('returns the reply', async () => {
    expect(await redisCli(host, found.redis, ['CONFIG', 'GET', 'dbfilename'])).toBe('dbfilename\ndump.rdb');
    expect(await redisCli(host, found.redis, ['GET', 'absent'])).toBe('');
  });

  test('fails with the words of Redis', async () => {
    await expect(redisCli(host, found.redis, ['NOSUCHCOMMAND'])).rejects.toMatchObject({
      type: 'CommandFailed',
      message: expect.stringContaining('unknown command') as string,
    });
  });

  test('shows its password to nobody who lists the processes', async () => {
    const asking = redisCli(host, found.redis, ['BLPOP', 'permafrost:absent', '1']);
    const seen = await untilSeen('permafrost:absent', /redis-cli.*BLPOP/s);
    await asking;
    expect(seen).not.toContain(sample.redis.password);
  });
});

describe('another Redis', () => {
  /** A Redis, or with `--sentinel` a sentinel, of these lines of configuration. */
  async function withRedis(
    lines: string[],
    args: string[],
    work: (port: number) => Promise<void>,
  ): Promise<void> {
    const port = await freePort();
    const own = join(folder, `redis-${String(port)}`);
    await makePrivateFolder(own, 'redis');
    const file = join(own, 'redis.conf');
    await writeFile(
      file,
      [`bind 127.0.0.1`, `port ${String(port)}`, `dir "${own}"`, ...lines, ''].join('\n'),
    );
    await giveTo(file, 'redis');
    const server: Daemon = await startDaemon({
      ...{ name: 'Redis', argv: ['redis-server', file, ...args], user: 'redis', log: join(own, 'log') },
      deathSignal: 'TERM',
      ready: async () =>
        (await execa('redis-cli', ['-p', String(port), 'PING'], { reject: false })).stdout === 'PONG',
    });
    try {
      await work(port);
    } finally {
      await server.stop('SIGKILL');
    }
  }

  test('behind Sentinel is found by the first sentinel that answers', async () => {
    const { host: address, port, password } = sample.redis;
    const lines = [
      `sentinel monitor main ${address} ${String(port)} 1`,
      `sentinel auth-pass main ${password}`,
    ];
    await withRedis(lines, ['--sentinel'], async (sentinel) => {
      const behind = (master: string) =>
        otherEnv(
          /^REDIS_HOST=.*$/m,
          `REDIS_SENTINELS=127.0.0.1:1,127.0.0.1:${String(sentinel)}\nREDIS_SENTINEL_MASTER=${master}\nREDIS_HOST=nowhere`,
        );
      const { redis } = await inspectInstance(host, configured({ envFile: await behind('main') }));
      expect(redis).toEqual(found.redis);
      await expect(
        inspectInstance(host, configured({ envFile: await behind('other') })),
      ).rejects.toMatchObject({
        type: 'Refused',
        message: expect.stringMatching(/127\.0\.0\.1:1.*does not know other/s) as string,
      });
    });
  });

  test('that has no BGSAVE is refused', async () => {
    await withRedis(['rename-command BGSAVE ""'], [], async (port) => {
      const { password, ...redis } = { ...found.redis, port };
      expect(password).toBeDefined();
      const look = (given: Instance) => checkSource(host, given, { parts: ['redis'], last: null });
      const bad = (await look({ ...found, redis })).filter(({ ok }) => !ok);
      expect(bad).toMatchObject([
        { check: 'redis-save', severity: 'bad', detail: expect.stringContaining('BGSAVE') as string },
      ]);
      expect((await look(found)).filter(({ ok }) => !ok)).toEqual([]);
    });
  });
});

/** All command lines of this machine, at a moment when one of them is the wanted one. */
async function untilSeen(what: string, wanted: RegExp): Promise<string> {
  for (let tries = 0; tries < 100; tries += 1) {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const lines = await Promise.all(
      pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
    );
    if (lines.some((line) => wanted.test(line))) return lines.join('\n');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`No process was seen for ${what}.`);
}
