/** The sample's background worker: takes jobs from Redis, as Sidekiq does, and changes the database. */
import { openDatabase, transaction } from './database.mjs';
import { onEnd } from './process.mjs';
import { Redis } from './redis.mjs';

const database = openDatabase(2);
const redis = new Redis();
const patience = 200;
let ending = false;
let working = Promise.resolve();

onEnd(async () => {
  ending = true;
  await working;
  redis.close();
  await database.end();
});

while (!ending) {
  try {
    const taken = await redis.command('BRPOP', 'queue:default', '1');
    if (taken) await (working = perform(taken[1]));
  } catch (error) {
    console.error(`sidekiq: ${error.message}`);
    await new Promise((resolve) => setTimeout(resolve, patience));
  }
}

async function perform(job) {
  try {
    const { class: name, args } = JSON.parse(job);
    if (name === 'DistributionWorker') await distribute(args[0]);
  } catch (error) {
    console.error(`sidekiq: job failed, to be tried again: ${error.message}`);
    await redis.command('ZADD', 'retry', Math.floor(Date.now() / 1000) + 30, job);
  }
}

/** Somebody likes the new status. */
async function distribute(statusId) {
  await transaction(database, async (client) => {
    await client.query(
      `INSERT INTO favourites (account_id, status_id, created_at, updated_at)
       SELECT account_id, $1, now(), now() FROM users WHERE EXISTS (SELECT FROM statuses WHERE id = $1)
       ORDER BY id LIMIT 1 ON CONFLICT DO NOTHING`,
      [statusId],
    );
    await client.query(
      `INSERT INTO status_stats (status_id, favourites_count, created_at, updated_at)
       SELECT id, 1, now(), now() FROM statuses WHERE id = $1
       ON CONFLICT (status_id) DO UPDATE SET favourites_count = status_stats.favourites_count + 1, updated_at = now()`,
      [statusId],
    );
  });
  await redis.command('INCR', 'activity:interactions');
}
