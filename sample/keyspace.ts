import type { Draft } from './data.js';

/** Redis as a running Mastodon leaves it: feeds, counters of activity, and Sidekiq's sets. */
export function addKeyspace(draft: Draft): void {
  const { redis, random } = draft;
  const job = (name: string, ...args: unknown[]): string =>
    JSON.stringify({
      class: name,
      args,
      queue: 'default',
      retry: true,
      jid: random.hex(12),
      created_at: 1_782_820_800,
      enqueued_at: 1_782_820_800,
    });
  redis.push(['SADD', 'queues', 'default', 'push', 'ingress', 'mailers', 'pull', 'scheduler']);
  for (let index = 0; index < 5; index++) {
    redis.push([
      'ZADD',
      'schedule',
      String(4_000_000_000 + index),
      job('PublishScheduledStatusWorker', index),
    ]);
    redis.push([
      'ZADD',
      'retry',
      String(4_000_000_000 + index),
      job('ActivityPub::DeliveryWorker', '{}', index),
    ]);
    redis.push([
      'ZADD',
      'dead',
      String(1_782_000_000 + index),
      job('ActivityPub::DeliveryWorker', '{}', -index),
    ]);
  }
  redis.push(['LPUSH', 'queue:mailers', job('ActionMailer::MailDeliveryJob', 'welcome')]);
  for (const { id } of draft.accounts.filter(({ userId }) => userId !== undefined)) {
    for (let index = 0; index < 20; index++) {
      const status = String(id + BigInt(index));
      redis.push(['ZADD', `feed:home:${String(id)}`, String(index), status]);
    }
  }
  redis.push(['INCRBY', 'activity:statuses:local:1782777600', '321']);
  redis.push(['PFADD', 'activity:logins:1782777600', ...draft.accounts.map(({ id }) => String(id))]);
}

/** Redis's own protocol, for `redis-cli --pipe`. */
export function redisProtocol(commands: readonly (readonly string[])[]): string {
  return commands
    .map(
      (words) =>
        `*${String(words.length)}\r\n${words.map((word) => `$${String(Buffer.byteLength(word))}\r\n${word}\r\n`).join('')}`,
    )
    .join('');
}
