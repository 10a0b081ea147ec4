import { readFile } from 'node:fs/promises';
import type { SampleInstance } from '../../sample/instance.js';
import { until } from './installation.js';

/** Real things that keep a run where it is, or make a step of it fail; each is taken back by what it returns. */

/** So slow a save that it outlasts every test: Redis sleeps this many microseconds before each key. */
const slowSave = '5000000';

/**
 * Holds a run in its quiesce window: Redis answers no script, as when it is failed over, so that its keys cannot be
 * counted. Let go of, the run goes on.
 */
export async function holdTheWindow({ servers: { redis } }: SampleInstance): Promise<() => Promise<void>> {
  await redis.command('CLIENT', 'PAUSE', '600000', 'WRITE');
  return async () => {
    await redis.command('CLIENT', 'UNPAUSE');
  };
}

/** Holds a run in its capture: the moment's save begins at once and does not end. */
export async function holdTheCapture({ servers: { redis } }: SampleInstance): Promise<() => Promise<void>> {
  await redis.command('CONFIG', 'SET', 'rdb-key-save-delay', slowSave);
  return async () => {
    await redis.command('CONFIG', 'SET', 'rdb-key-save-delay', '0');
    const info = await redis.command('INFO');
    const pid = /process_id:(\d+)/.exec(info)?.[1] ?? '';
    const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ');
    // How Redis itself ends a save that is no longer wanted: it does not count as a failed one.
    for (const child of children) if (child !== '') process.kill(Number(child), 'SIGUSR1');
    await until('the save has ended', async () =>
      (await redis.command('INFO', 'persistence')).includes('rdb_bgsave_in_progress:0'),
    );
  };
}

/** Makes the step in the quiesce window fail that has Redis save: it is not allowed to. */
export async function forbidSaves({ servers: { redis } }: SampleInstance): Promise<() => Promise<void>> {
  await redis.command('ACL', 'SETUSER', 'default', '-bgsave');
  return async () => {
    await redis.command('ACL', 'SETUSER', 'default', '+bgsave');
  };
}

/** Keeps a database from being renamed: whoever changes its comment does, until that is over. */
export async function holdTheRename({
  servers: { postgres },
  database: { name },
}: SampleInstance): Promise<() => Promise<void>> {
  const commenting = `pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep(600)%'`;
  const held = postgres.sql(
    'postgres',
    `BEGIN; COMMENT ON DATABASE "${name}" IS 'held'; SELECT pg_sleep(600);`,
  );
  const ended = held.catch(() => undefined); // it is terminated
  await until(
    'the database is held',
    async () => (await postgres.sql('postgres', `SELECT ${commenting}`)) !== '',
  );
  return async () => {
    await postgres.sql('postgres', `SELECT pg_terminate_backend(pid) FROM (SELECT ${commenting}) AS held`);
    await ended;
  };
}
