import { Failure } from '../errors.js';
import { countKeysCommand, readRedisCounts, type RedisCounts } from '../mastodon/redis-counts.js';
import { RdbRefused, type ScratchRedis, startScratchRedis } from '../scratch/redis.js';
import { NotSeen, Wrong } from './check.js';
import type { FilesAtHand } from './files.js';

/**
 * Keys that may be there more or less than were counted right after the save's beginning: Redis forgets some by itself
 * meanwhile.
 */
const strayShare = 0.02;
const strayKeys = 10;

/** The dump loads into a throw-away Redis, and holds what was counted when it was saved. */
export async function redisDump({ received, scratch }: FilesAtHand): Promise<string> {
  const { manifest, files } = received;
  const expected = manifest.redis;
  if (files.rdb === undefined) throw new Wrong('the dump of Redis did not come as it was sealed');
  if (expected === undefined) throw new NotSeen('the manifest does not say what Redis held');
  const redis = await startScratchRedis(scratch, { rdb: files.rdb }).catch((error: unknown) => {
    const lacking =
      error instanceof RdbRefused
        ? error.reason === 'newer'
        : isFailure(error) && error.type === 'ToolMissing';
    if (lacking && isFailure(error)) throw new NotSeen(`${error.message} ${error.next ?? ''}`.trim());
    throw error;
  });
  try {
    const info = await redis.cli(['INFO', 'persistence']);
    // Before Redis 7.0 it does not say how many it has passed over, which are most where the backup is old.
    const [, passedOver] = /^rdb_last_load_keys_expired:(\d+)/m.exec(info) ?? [];
    const expired = passedOver === undefined ? Infinity : Number(passedOver);
    const found = await countedAs(expected, redis);
    // What changes while it is counted, or is saved once more, cannot be compared to the key.
    // Earlier versions did not note whether it was; then it is not known.
    const still = (manifest.moment?.quiesced ?? false) && expected.newer === false;
    if (still) requireSame(expected, found);
    requireKeys(expected.keys, found.keys, expired, still);
    const as = still ? 'as many as at the save' : 'as far as that can be compared';
    return `loads into Redis ${redis.version}: ${String(found.keys)} keys${expiredText(expired)}, ${queuesText(found)}, ${as}`;
  } finally {
    await redis.stop();
  }
}

function isFailure(error: unknown): error is Failure {
  return error instanceof Failure;
}

/** A dump has all databases of a server, and Mastodon is in one of them: the one that is most like what was counted. */
async function countedAs(expected: RedisCounts, redis: ScratchRedis): Promise<RedisCounts> {
  const keyspace = await redis.cli(['INFO', 'keyspace']);
  const databases = [...keyspace.matchAll(/^db(\d+):/gm)].map(([, number = '0']) => Number(number));
  const counts: RedisCounts[] = [];
  for (const database of databases) counts.push(readRedisCounts(await redis.cli(countKeysCommand(database))));
  const distance = (one: RedisCounts): number =>
    differencesOf(expected, one).length * 1e9 + Math.abs(one.keys - expected.keys);
  const [nearest] = counts.sort((one, other) => distance(one) - distance(other));
  return nearest ?? { keys: 0, queues: {}, sets: {} };
}

function requireSame(expected: RedisCounts, found: RedisCounts): void {
  const differences = differencesOf(expected, found);
  if (differences.length > 0)
    throw new Wrong(
      `the dump of Redis is not what was saved, or of another server: ${differences.join(', ')}`,
    );
}

function differencesOf(expected: RedisCounts, found: RedisCounts): string[] {
  return (['queues', 'sets'] as const).flatMap((kind) => {
    const names = new Set([...Object.keys(expected[kind]), ...Object.keys(found[kind])]);
    return [...names].sort().flatMap((name) => {
      const [was, is] = [expected[kind][name] ?? 0, found[kind][name] ?? 0];
      return was === is ? [] : [`${name} has ${String(is)} jobs instead of ${String(was)}`];
    });
  });
}

function requireKeys(expected: number, found: number, expired: number, still: boolean): void {
  // On a server that was at work, its queues alone may have grown or gone.
  const slack = still ? Math.max(strayKeys, expected * strayShare) : Math.max(100, expected / 2);
  if (found <= expected + slack && found + expired >= expected - slack) return;
  throw new Wrong(
    `the dump of Redis holds ${String(found)} keys${expiredText(expired)}, and there were ${String(expected)} when it was saved: it is of another server, or of another time`,
  );
}

function expiredText(expired: number): string {
  if (expired === 0) return '';
  return expired === Infinity
    ? ' that have not expired'
    : ` (and ${String(expired)} that have expired since)`;
}

function queuesText({ queues, sets }: RedisCounts): string {
  const jobs = Object.values(queues).reduce((sum, count) => sum + count, 0);
  const waiting = Object.values(sets).reduce((sum, count) => sum + count, 0);
  return `${String(jobs)} jobs in ${String(Object.keys(queues).length)} queues and ${String(waiting)} in retry, schedule and dead`;
}
