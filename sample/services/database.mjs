import pg from 'pg';
import { env } from './env.mjs';

/** A pool as Mastodon's config/database.yml would make it; a lost connection is opened again by the next query. */
export function openDatabase(connections) {
  const pool = new pg.Pool({
    ...(env.DATABASE_URL && { connectionString: env.DATABASE_URL }),
    host: env.DB_HOST || 'localhost',
    port: Number(env.DB_PORT || 5432),
    database: env.DB_NAME || 'mastodon_production',
    user: env.DB_USER || 'mastodon',
    password: env.DB_PASS || undefined,
    max: connections,
    connectionTimeoutMillis: 5000,
  });
  pool.on('error', (error) => console.error(`database: ${error.message}`));
  return pool;
}

/** Runs `work` in one transaction. */
export async function transaction(pool, work) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    client.release();
    return result;
  } catch (error) {
    await client.query('ROLLBACK').then(
      () => client.release(),
      (lost) => client.release(lost),
    );
    throw error;
  }
}
