import { activityInfo } from '@temporalio/activity';
import { z } from 'zod';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import type { Instance } from '../mastodon/inspect.js';
import { redisCli, redisFetchArgv } from '../mastodon/redis-cli.js';
import { countKeysCommand, readRedisCounts, type RedisCounts } from '../mastodon/redis-counts.js';
import { redisDumpArgv } from '../mastodon/sudo-rules.js';
import { rdbCreatedAt } from '../mastodon/redis-dump.js';
import { activity, cancellation, report, sleep } from './activity.js';
import { captureOutput, entryFacts } from './database.js';
import type { Ground } from './ground.js';
import { runInput, type RunRef } from './inputs.js';
import { jobId } from './jobs.js';
import { needFacts, readFacts, redisPasswordFile, type Spool, spoolOf, writeFacts } from './spool.js';

const savedFacts = z.object({
  savedAt: z.string(),
  /** Redis was saving by itself and did not let us: its save is made after the services are back. */
  later: z.boolean().default(false),
  keys: z.number(),
  queues: z.record(z.string(), z.number()),
  sets: z.record(z.string(), z.number()),
});
/** Milliseconds in which a save that Redis makes by itself may end while the services stand still. */
const patienceInWindowMs = 2_000;

export const redisFacts = savedFacts.extend({
  aof: z.boolean(),
  entry: entryFacts,
  checked: z.boolean(),
  newer: z.boolean(),
});

export function redisActivities(ground: Ground) {
  return {
    /**
     * Has Redis fork for a fresh save: the fork is the moment, the file is waited for after the services are back.
     * Works on servers that only keep an append-only file as well: BGSAVE writes an RDB all the same. Where Redis is
     * saving by itself, nobody waits for it with the services stopped: `copyRedis` has it save again.
     */
    saveRedis: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const before = activityInfo().attempt > 1 && (await readFacts(host, spool, 'redis-saved', savedFacts));
      if (before) return { savedAt: before.savedAt };
      const savedAt = new Date((await serverSeconds(host, instance)) * 1000).toISOString();
      const later = !(await forkSave(host, instance.redis, patienceInWindowMs));
      const counts = await countKeys(host, instance);
      await writeFacts(host, spool, 'redis-saved', { savedAt, later, ...counts });
      return { savedAt };
    }),

    /** Waits for that save, copies the RDB into the spool and checks that it is whole. */
    copyRedis: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const saved = await needFacts(host, spool, 'redis-saved', savedFacts);
      report({ subject: 'redis' });
      // Not made yet; or Redis was restarted, or the save was called off.
      let lastSave = saved.later ? 0 : await saveFinished(host, instance);
      const lost = lastSave * 1000 < Date.parse(saved.savedAt);
      if (lost) {
        await awaitSave(host, instance.redis, Infinity);
        await forkSave(host, instance.redis, Infinity);
        lastSave = await saveFinished(host, instance);
      }
      const entry = await captureOutput(
        host,
        run,
        'redis',
        `${spool.folder}/redis/dump.rdb`,
        await readDump(host, instance, spool),
      );
      // What is fetched over the wire is a save of its own.
      const newer = lost || !instance.redis.local || lastSave !== (await saveFinished(host, instance));
      await refuseOldDump(host, instance, `${spool.folder}/redis/dump.rdb`, saved.savedAt);
      const checked = await checkDump(host, run, `${spool.folder}/redis/dump.rdb`);
      await writeFacts(host, spool, 'redis', { ...saved, aof: instance.redis.aof, entry, checked, newer });
      return { bytes: entry.bytes, checked };
    }),
  };
}

/**
 * Has Redis fork for a save. One of its own that is under way, or a rewriting of its append-only file, began before:
 * ours comes after it.
 *
 * @returns false when that took longer than `patienceMs`: then there is no save of ours.
 */
async function forkSave(host: Host, redis: Instance['redis'], patienceMs: number): Promise<boolean> {
  for (const began = performance.now(); ;) {
    try {
      await ask(host, redis, 'BGSAVE');
      return true;
    } catch (error) {
      const busy = error instanceof Failure && /in progress|child process is active/i.test(error.message);
      if (!busy) throw error;
      if (performance.now() - began > patienceMs) return false;
      await sleep(100);
    }
  }
}

/** Ends with the step: the services do not wait for a Redis that hangs. */
function ask(host: Host, redis: Instance['redis'], ...words: string[]): Promise<string> {
  return redisCli(host, redis, words, { signal: cancellation() });
}

async function persistence(host: Host, redis: Instance['redis']): Promise<(name: string) => string> {
  const info = await ask(host, redis, 'INFO', 'persistence');
  return (name) => new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? '';
}

/** Waits until Redis is not saving by itself, for so long at most. */
export async function awaitSave(host: Host, redis: Instance['redis'], patienceMs: number): Promise<void> {
  const working = ['rdb_bgsave_in_progress', 'aof_rewrite_in_progress'];
  for (const began = performance.now(); performance.now() - began < patienceMs; await sleep(200)) {
    const field = await persistence(host, redis);
    if (working.every((name) => field(name) !== '1')) return;
    report({ subject: 'until Redis has saved' });
  }
}

async function serverSeconds(host: Host, instance: Instance): Promise<number> {
  return Number((await ask(host, instance.redis, 'TIME')).split('\n')[0]);
}

async function countKeys(host: Host, instance: Instance): Promise<RedisCounts> {
  return readRedisCounts(await ask(host, instance.redis, ...countKeysCommand()));
}

/** Waits until no save is under way. @returns the time of the last one. @throws Failure `PartInvalid` when it failed. */
async function saveFinished(host: Host, instance: Instance): Promise<number> {
  for (;;) {
    const field = await persistence(host, instance.redis);
    if (field('rdb_bgsave_in_progress') === '0') {
      if (field('rdb_last_bgsave_status') !== 'ok') {
        throw new Failure(
          'PartInvalid',
          `Redis of ${instance.domain} could not save its data (${host.name})`,
          {
            host: host.name,
            next: "see Redis's log there: most often the disk is full, or overcommit_memory forbids the fork",
          },
        );
      }
      return Number(field('rdb_last_save_time'));
    }
    await sleep(200);
  }
}

/** The command that prints the RDB: of the file where Redis runs here, over the wire where it does not. */
async function readDump(host: Host, instance: Instance, spool: Spool): Promise<string[]> {
  if (instance.redis.local) return host.argvAs(redisDumpArgv(instance.redis), 'privileged');
  const file = instance.redis.password === undefined ? null : redisPasswordFile(spool);
  return host.argvAs(redisFetchArgv(instance.redis, file), { user: instance.appUser });
}

/**
 * The file is where the configuration, or Redis itself, says; whether Redis writes it there is told by the time that it
 * puts into every file. What is copied over the wire is made at that moment.
 *
 * @throws Failure `ConfigInvalid` for a file that is older than the save.
 */
async function refuseOldDump(host: Host, instance: Instance, file: string, savedAt: string): Promise<void> {
  const { local, dump } = instance.redis;
  if (!local) return;
  const { stdout } = await host.run(['sh', '-c', 'head -c 1024 -- "$1" | od -An -v -tx1', 'sh', file]);
  const createdAt = rdbCreatedAt(Buffer.from(stdout.replace(/\s/g, ''), 'hex'));
  // To the second, by two clocks of the kernel.
  if (createdAt === null || createdAt >= Math.floor(Date.parse(savedAt) / 1000) - 1) return;
  throw new Failure(
    'ConfigInvalid',
    `Redis of ${instance.domain} has saved its data, but not to ${dump} on ${host.name}: that file is of ${new Date(createdAt * 1000).toISOString()}`,
    {
      host: host.name,
      next: 'name the file that Redis writes with mastodon.redisDump in the configuration (CONFIG GET dir and dbfilename tell it), or leave it out when Redis tells it itself',
    },
  );
}

/** @returns false where redis-check-rdb is not installed. @throws Failure `PartInvalid`. */
async function checkDump(host: Host, run: RunRef, file: string): Promise<boolean> {
  const { exitCode, stdout } = await host.run(['redis-check-rdb', file], {
    okCodes: [0, 1, 126, 127],
    timeoutMs: 1_800_000,
  });
  if (exitCode >= 126) return false;
  if (exitCode === 0) return true;
  await host.job(jobId(run, 'redis')).forget(); // or the next attempt would have the same copy
  throw new Failure('PartInvalid', `the RDB of Redis is broken: ${stdout.trim().slice(-500)}`, {
    host: host.name,
    next: "it is saved and copied again; if it stays so, see Redis's log",
  });
}
