import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Host } from '../../src/hosts/host.js';
import { localHost } from '../../src/hosts/local.js';
import { psql } from '../../src/mastodon/psql.js';
import { startCluster } from '../../src/scratch/cluster.js';
import { inNamespace } from '../../src/scratch/namespace.js';
import { startScratchRedis } from '../../src/scratch/redis.js';
import { findScratch, openScratch, type Scratch, sweepScratches } from '../../src/scratch/scratch.js';
import { until } from './installation.js';

const ref = { instance: 'scratch.example', id: '20261121T031700Z' };

let folder: string;
let host: Host;
let opened: Scratch[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-scratch-test-'));
  chmodSync(folder, 0o711);
  host = localHost({ folder: join(folder, 'host') });
  opened = [];
});
afterEach(async () => {
  try {
    for (const scratch of opened) await scratch.close();
  } finally {
    await host.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

async function open(): Promise<Scratch> {
  const scratch = await openScratch(host, ref, { folder: join(folder, 'drills') });
  opened.push(scratch);
  return scratch;
}

/** Everything on this machine that knows the scratch: processes, jobs, files, mounts, memory. */
function traces(scratch: Scratch): string[] {
  const processes = readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && pid !== String(process.pid))
    .flatMap((pid) => {
      const of = (name: string) => {
        try {
          return readFileSync(`/proc/${pid}/${name}`, 'latin1').replaceAll('\0', ' ');
        } catch {
          return '';
        }
      };
      const told = [of('cmdline'), of('environ'), linkOf(`/proc/${pid}/cwd`)].join(' ');
      return told.includes(scratch.folder) || told.includes(scratch.jobId('x').slice(0, -2))
        ? [`${pid}: ${of('cmdline')}`]
        : [];
    });
  const jobs = listed(join(folder, 'host/jobs'));
  return [
    ...processes,
    ...jobs.map((job) => `job ${job}`),
    ...listed(join(folder, 'host/scratches')).map((name) => `noted ${name}`),
    ...readdirSync(join(folder, 'drills')).map((name) => `files ${name}`),
    ...readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(scratch.folder)),
  ];
}

function listed(path: string): string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** The piece of shared memory that PostgreSQL locks its folder with, which a killed server leaves behind. */
function memoryOf(scratch: Scratch): string {
  const [, , , , , , line = ''] = readFileSync(join(scratch.folder, 'pg/data/postmaster.pid'), 'utf8').split(
    '\n',
  );
  return /\d+$/.exec(line)?.[0] ?? '';
}

function memories(): string[] {
  return readFileSync('/proc/sysvipc/shm', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[1] ?? '');
}

test('servers and a namespace, found again by another worker, and nothing left of them', async () => {
  const scratch = await open();
  const [cluster, redis] = await Promise.all([startCluster(scratch), startScratchRedis(scratch)]);
  const memory = memoryOf(scratch);
  await redis.cli(['SET', 'key', 'value']);
  await redis.cli(['SAVE']);
  await psql(host, cluster.access, 'CREATE DATABASE restored TEMPLATE template0 ENCODING latin1');

  await psql(host, cluster.database('restored'), 'CREATE TABLE plain AS SELECT 7');

  const other = localHost({ folder: join(folder, 'host') });
  const again = await findScratch(other, ref);
  expect(again.folder).toBe(scratch.folder);
  expect(await psql(other, (await startCluster(again)).database('restored'), 'SELECT current_user')).toEqual([
    ['postgres'],
  ]);
  expect(await (await startScratchRedis(again)).cli(['GET', 'key'])).toBe('value');
  const loaded = await startScratchRedis(again, { rdb: `${scratch.folder}/redis/dump.rdb` });
  expect(await loaded.cli(['GET', 'key'])).toBe('value');
  await loaded.stop();
  const rdb = readFileSync(join(scratch.folder, 'redis/dump.rdb'));
  // The folder is the servers' user's: what he has put there leads nobody else astray.
  writeFileSync(join(folder, 'kept'), 'as it was', { mode: 0o600 });
  symlinkSync(join(folder, 'kept'), join(scratch.folder, 'redis-rdb/dump.rdb.new'));
  await (await startScratchRedis(again, { rdb: `${scratch.folder}/redis/dump.rdb` })).stop();
  expect(readFileSync(join(folder, 'kept'), 'utf8')).toBe('as it was');
  for (const [reason, bytes] of [
    ['newer', Buffer.concat([Buffer.from('REDIS0099'), rdb.subarray(9)])],
    ['newer', Buffer.concat([Buffer.from('VALKEY080'), rdb.subarray(9)])],
    ['damaged', Buffer.from(rdb.map((byte, at) => (at === rdb.length - 15 ? byte ^ 1 : byte)))],
  ] as const) {
    writeFileSync(join(folder, 'odd.rdb'), bytes);
    const refused = startScratchRedis(again, { rdb: join(folder, 'odd.rdb') });
    await expect(refused).rejects.toMatchObject({ type: 'PartInvalid', reason });
  }
  await other.close();

  const { database } = await cluster.databaseForApplication('restored');
  const asked = (role: string, sql: string) => [
    `${cluster.binDir}/psql`,
    ...['-h', cluster.socketFolder, '-U', role, '-d', database.name, '-Atc', sql],
  ];
  const asDaemon = (role: string) =>
    host.run(asked(role, 'SELECT 7'), { as: { user: 'daemon' }, okCodes: [0, 2] });
  expect((await asDaemon(database.user)).stderr).toContain('Permission denied');
  await scratch.admit('daemon');
  expect((await asDaemon(database.user)).stdout).toBe('7\n');
  // Whoever is superuser runs programs on the host itself.
  expect((await asDaemon('postgres')).stderr).toContain('Peer authentication failed');

  const outside = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
  try {
    await once(outside, 'listening');
    const { port } = outside.address() as AddressInfo;
    const web = await inNamespace(
      scratch,
      'web',
      ['sh', '-c', 'echo "secret is $SECRET"; cd /; exec sleep 1000'],
      {
        env: new Map([
          ['SECRET', 'hunter two\n"c"'],
          ['PATH', '/usr/bin:/bin'],
        ]),
        cwd: '/',
      },
    );
    expect(await web.waysOut()).toEqual([]);
    const reach = (to: string) => `exec 3<> /dev/tcp/${to}/${String(port)}`;
    expect((await host.run(['bash', '-c', reach('127.0.0.1')])).exitCode).toBe(0);
    for (const to of ['127.0.0.1', '192.0.2.1'])
      expect((await web.run(['bash', '-c', reach(to)], { okCodes: [0, 1] })).exitCode).toBe(1);
    expect(await web.run(['id', '-un'])).toMatchObject({ stdout: `${scratch.user}\n` });
    expect(await web.logTail()).toContain('secret is hunter two\n"c"\n');
    expect(JSON.stringify(traces(scratch))).not.toContain('hunter');
    const ask = (role: string, sql: string) => web.run(asked(role, sql), { okCodes: [0, 1, 2] });
    expect((await ask(database.user, 'SELECT * FROM plain')).stdout).toBe('7\n');
    const program = 'CREATE TEMP TABLE said (line text); COPY said FROM PROGRAM $$id$$';
    expect((await ask(database.user, program)).stderr).toContain('pg_execute_server_program');
    expect((await ask('postgres', program)).stderr).toContain('Peer authentication failed');
    expect((await web.run(['ls', '-A', `${scratch.folder}/pg`], { okCodes: [0, 2] })).stdout).toBe('');
    expect((await web.run(['ls', '-A', '/run'])).stdout).toMatch(/^(mount\n)?$/);
  } finally {
    outside.close();
  }

  expect(traces(scratch).length).toBeGreaterThan(5);
  // Somebody else who happens to look into it, such as a backup of the whole machine, is not ended.
  const bystander = spawn('sleep', ['1000'], { cwd: await scratch.place('looked-at') });
  try {
    await scratch.close();
    expect(traces(scratch)).toEqual([`${String(bystander.pid)}: sleep 1000 `]);
    expect(bystander.exitCode ?? bystander.signalCode).toBe(null);
  } finally {
    bystander.kill();
  }
  expect(memories()).not.toContain(memory);
  await scratch.close();
  await expect(findScratch(host, ref)).rejects.toMatchObject({ type: 'LeaseLost' });
});

test('whatever looks after it is killed: the lease ends what runs and removes all', async () => {
  const scratch = await open();
  const cluster = await startCluster(scratch);
  const memory = memoryOf(scratch);
  expect(memories()).toContain(memory);
  await psql(host, cluster.access, 'CREATE TABLE plain AS SELECT 1;');
  const env = new Map([['PATH', '/usr/bin:/bin']]);
  await inNamespace(scratch, 'web', ['sh', '-c', 'sleep 1000 & exec sleep 1000'], { env, cwd: '/' });
  const supervisors = readdirSync(join(folder, 'host/jobs'))
    .filter((job) => job.startsWith('scratch-'))
    .map((job) => Number(readFileSync(join(folder, 'host/jobs', job, 'launched'), 'utf8').split(' ')[0]));
  expect(supervisors).toHaveLength(2);
  const postmaster = Number(
    readFileSync(join(scratch.folder, 'pg/data/postmaster.pid'), 'utf8').split('\n')[0],
  );
  const children = readFileSync(`/proc/${String(postmaster)}/task/${String(postmaster)}/children`, 'utf8');
  // So that they do not notice, and stay behind: they have written their names over their environment.
  for (const pid of children.trim().split(' ')) process.kill(Number(pid), 'SIGSTOP');
  for (const pid of [...supervisors, postmaster]) process.kill(pid, 'SIGKILL');
  const [noted = ''] = readdirSync(join(folder, 'host/scratches'));
  writeFileSync(join(folder, 'host/scratches', noted, 'deadline'), '0\n');

  const known = /^(job scratchlease|noted )/;
  await until('the lease is over', () => traces(scratch).every((trace) => known.test(trace)));
  expect(memories()).not.toContain(memory);
  await expect(scratch.place('more')).rejects.toMatchObject({ type: 'LeaseLost' });
  // A worker that slept through it goes on with a command that makes its folders.
  mkdirSync(join(scratch.folder, 'received'), { recursive: true });
  expect(await sweepScratches(host, async () => true)).toEqual([]);
  expect(await sweepScratches(host, async () => false)).toEqual([ref]);
  expect(traces(scratch)).toEqual([]);
});

test('a folder in which others could put something in its way is refused, and nothing is left of the attempt', async () => {
  const at = join(folder, 'open');
  mkdirSync(at);
  const attempt = (where: string) => openScratch(host, ref, { folder: where });
  chmodSync(at, 0o777);
  await expect(attempt(at)).rejects.toMatchObject({
    type: 'Refused',
    message: expect.stringContaining('others may write'),
  });
  await expect(attempt(join(at, 'deeper'))).rejects.toMatchObject({ type: 'Refused' });
  chmodSync(at, 0o700);
  await expect(attempt(at)).rejects.toMatchObject({
    message: expect.stringContaining('may not pass through'),
  });
  chownSync(at, 1, 1);
  await expect(attempt(at)).rejects.toMatchObject({ message: expect.stringContaining('belongs to daemon') });
  const odd = join(folder, 'with a space');
  await expect(attempt(odd)).rejects.toMatchObject({ message: expect.stringContaining('characters') });
  expect(await host.listJobs()).toEqual([]);
  expect(readdirSync(join(folder, 'host/scratches'))).toEqual([]);
});

test('sweeping closes what nobody holds, and leaves the rest alone', async () => {
  const held = await open();
  const left = await openScratch(
    host,
    { ...ref, instance: 'other.example' },
    { folder: join(folder, 'drills') },
  );
  opened.push(left);
  expect(await sweepScratches(host, async ({ instance }) => instance === ref.instance)).toEqual([left.ref]);
  expect([held, left].map((scratch) => existsSync(scratch.folder))).toEqual([true, false]);

  const lease = host.job((await host.listJobs()).find((id) => id.startsWith('scratchlease')) ?? '');
  await lease.cancel();
  await held.renew();
  expect(await lease.status()).toMatchObject({ state: 'running' });

  // As after a boot.
  for (const name of readdirSync(join(folder, 'host/scratches')))
    writeFileSync(join(folder, 'host/scratches', name, 'boot'), 'another boot\n');
  await expect(held.renew()).rejects.toMatchObject({ type: 'LeaseLost' });
  const anew = await open();
  expect(anew.folder).not.toBe(held.folder);
  expect(traces(held).filter((trace) => trace.startsWith('files'))).toHaveLength(1);

  // As when somebody clears away what belongs to Permafrost.
  const env = new Map([['PATH', '/usr/bin:/bin']]);
  await inNamespace(anew, 'web', ['sleep', '1000'], { env, cwd: '/' });
  rmSync(join(folder, 'host/scratches'), { recursive: true });
  await until('its lease has ended it', () =>
    traces(anew).every((trace) => trace.startsWith('job scratchlease')),
  );
});
