import { redisCli } from './redis-cli.js';
import type { Look, Source, SourceCheck } from './source-check.js';

/** Whether Redis can be had. */
export const redisChecks = [
  { name: 'redis-save', parts: ['redis'], look: redisSave },
] as const satisfies readonly SourceCheck[];

/** A managed Redis often has the commands taken away that a copy needs. */
async function redisSave({ host, instance: { redis } }: Source): Promise<Look> {
  const needed = redis.local ? ['BGSAVE'] : ['BGSAVE', 'PSYNC'];
  const known = await Promise.all(
    needed.map(async (name) => {
      // Where COMMAND itself is forbidden, nobody knows.
      const reply = await redisCli(host, redis, ['COMMAND', 'INFO', name]).catch(() => 'unknown');
      return reply.trim() !== '';
    }),
  );
  const missing = needed.filter((_, at) => known[at] === false);
  const place = `Redis at ${redis.host}`;
  if (missing.length === 0) return [true, `${place} lets itself be saved`];
  return [
    false,
    `${place} does not know ${missing.join(' and ')} (renamed or switched off), without which it cannot be copied`,
    'give the command back in its configuration (rename-command), or leave Redis out: --only database,secrets,media',
  ];
}
