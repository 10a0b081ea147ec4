import { z } from 'zod';

/** What a Redis of Mastodon's holds, in one of its databases. */
export interface RedisCounts {
  readonly keys: number;
  /** Sidekiq's queues and the jobs waiting in each. */
  readonly queues: Readonly<Record<string, number>>;
  /** Sidekiq's sorted sets: `schedule`, `retry`, `dead`. */
  readonly sets: Readonly<Record<string, number>>;
}

/** The words of the command that counts, in one round trip. @param database default: the connection's own. */
export function countKeysCommand(database?: number): string[] {
  const select = database === undefined ? '' : `redis.call('SELECT', ${String(database)})\n`;
  return ['EVAL', `${select}${script}`, '0'];
}

const script = `local queues, sets = {}, {}
for _, name in ipairs(redis.call('SMEMBERS', 'queues')) do queues[#queues + 1] = {name, redis.call('LLEN', 'queue:' .. name)} end
for _, name in ipairs({'schedule', 'retry', 'dead'}) do sets[#sets + 1] = {name, redis.call('ZCARD', name)} end
return cjson.encode({ keys = redis.call('DBSIZE'), queues = queues, sets = sets })`;

const reply = z.object({
  keys: z.number(),
  queues: z.union([z.array(z.tuple([z.string(), z.number()])), z.object({})]),
  sets: z.array(z.tuple([z.string(), z.number()])),
});

/** Reads what `countKeysCommand` gave. */
export function readRedisCounts(text: string): RedisCounts {
  const { keys, queues, sets } = reply.parse(JSON.parse(text));
  return {
    keys,
    queues: Array.isArray(queues) ? Object.fromEntries(queues) : {},
    sets: Object.fromEntries(sets),
  };
}
