import { z } from 'zod';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import type { Instance } from '../mastodon/inspect.js';
import { redisCli, redisCliArguments } from '../mastodon/redis-cli.js';
import { redisDumpArgv } from '../mastodon/sudo-rules.js';
import { activity, report, sleep } from './activity.js';
import { captureOutput, entryFacts } from './database.js';
import type { Ground } from './ground.js';
import { runInput } from './inputs.js';
import { needFacts, spoolOf, writeFacts } from './spool.js';

const savedFacts = z.object({
  savedAt: z.string(),
  keys: z.number(),
  queues: z.record(z.string(), z.number()),
  sets: z.record(z.string(), z.number()),
});
export const redisFacts = savedFacts.extend({
  aof: z.boolean(),
  entry: entryFacts,
  checked: z.boolean(),
  newer: z.boolean(),
});

/** Sidekiq's queues and sorted sets, and the number of keys, in one round trip. */
const countScript = `local queues, sets = {}, {}
for _, name in ipairs(redis.call('SMEMBERS', 'queues')) do queues[#queues + 1] = {name, redis.call('LLEN', 'queue:' .. name)} end
for _, name in ipairs({'schedule', 'retry', 'dead'}) do sets[#sets + 1] = {name, redis.call('ZCARD', name)} end
return cjson.encode({ keys = redis.call('DBSIZE'), queues = queues, sets = sets })`;

const countsReply = z.object({
  keys: z.number(),
  queues: z.union([z.array(z.tuple([z.string(), z.number()])), z.object({})]),
  sets: z.array(z.tuple([z.string(), z.number()])),
});

export function redisActivities(ground: Ground) {
  return {
    /**
     * Has Redis fork for a fresh save: the fork is the moment, the file is waited for after the services are back.
     * Works on servers that only keep an append-only file as well: BGSAVE writes an RDB all the same.
     */
    saveRedis: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const savedAt = new Date((await serverSeconds(host, instance)) * 1000).toISOString();
      await forkSave(host, instance);
      const counts = await countKeys(host, instance);
      await writeFacts(host, await spoolOf(host, instance, run), 'redis-saved', { savedAt, ...counts });
      return { savedAt };
    }),

    /** Waits for that save, copies the RDB into the spool and checks that it is whole. */
    copyRedis: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const saved = await needFacts(host, spool, 'redis-saved', savedFacts);
      report({ subject: 'redis' });
      let lastSave = await saveFinished(host, instance);
      const lost = lastSave * 1000 < Date.parse(saved.savedAt); // Redis was restarted, or its save called off
      if (lost) {
        await forkSave(host, instance);
        lastSave = await saveFinished(host, instance);
      }
      const entry = await captureOutput(
        host,
        run,
        'redis',
        `${spool.folder}/redis/dump.rdb`,
        await readDump(host, instance),
      );
      const newer = lost || lastSave !== (await saveFinished(host, instance));
      const checked = await checkDump(host, `${spool.folder}/redis/dump.rdb`);
      await writeFacts(host, spool, 'redis', { ...saved, aof: instance.redis.aof, entry, checked, newer });
      return { bytes: entry.bytes, checked };
    }),
  };
}

async function forkSave(host: Host, instance: Instance): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await redisCli(host, instance.redis, ['BGSAVE']);
      return;
    } catch (error) {
      // A save of Redis's own is under way, and began before our moment: ours comes after it.
      if (!(error instanceof Failure) || !/in progress/i.test(error.message) || attempt > 200) throw error;
      await sleep(100);
    }
  }
}

async function serverSeconds(host: Host, instance: Instance): Promise<number> {
  return Number((await redisCli(host, instance.redis, ['TIME'])).split('\n')[0]);
}

async function countKeys(
  host: Host,
  instance: Instance,
): Promise<Omit<z.infer<typeof savedFacts>, 'savedAt'>> {
  const reply = await redisCli(host, instance.redis, ['EVAL', countScript, '0']);
  const counts = countsReply.parse(JSON.parse(reply));
  return {
    keys: counts.keys,
    queues: Array.isArray(counts.queues) ? Object.fromEntries(counts.queues) : {},
    sets: Object.fromEntries(counts.sets),
  };
}

/** Waits until no save is under way. @returns the time of the last one. @throws Failure `PartInvalid` when it failed. */
async function saveFinished(host: Host, instance: Instance): Promise<number> {
  for (;;) {
    const info = await redisCli(host, instance.redis, ['INFO', 'persistence']);
    const field = (name: string) => new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? '';
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
async function readDump(host: Host, instance: Instance): Promise<string[]> {
  if (instance.redis.local) return host.argvAs(redisDumpArgv(instance.redis), 'privileged');
  if (instance.redis.password !== undefined) {
    throw new Failure(
      'PartInvalid',
      `Redis of ${instance.domain} is on another machine and asks for a password`,
      {
        host: host.name,
        next: 'leave redis out (--only database,secrets,media) until this is supported; feeds are rebuilt by tootctl',
      },
    );
  }
  return host.argvAs(['redis-cli', ...redisCliArguments(instance.redis), '--rdb', '-'], {
    user: instance.appUser,
  });
}

/** @returns false where redis-check-rdb is not installed. @throws Failure `PartInvalid`. */
async function checkDump(host: Host, file: string): Promise<boolean> {
  const { exitCode, stdout } = await host.run(['redis-check-rdb', file], {
    okCodes: [0, 1, 126, 127],
    timeoutMs: 1_800_000,
  });
  if (exitCode >= 126) return false;
  if (exitCode === 0) return true;
  throw new Failure('PartInvalid', `the RDB of Redis is broken: ${stdout.trim().slice(-500)}`, {
    host: host.name,
    next: "it is saved and copied again; if it stays so, see Redis's log",
  });
}
