import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { transaction } from './database.mjs';
import { env } from './env.mjs';
import { attachmentFolder, mediaFolder } from './media.mjs';

/**
 * Publishes a status in Mastodon's order: the upload's files under their final names, then the rows in one
 * transaction, and only after its commit the job in Redis.
 */
export async function post(database, redis, { text, withMedia }) {
  const account = await author(database);
  const media = withMedia ? await upload(database) : undefined;
  const status = await transaction(database, async (client) => {
    const conversation = await client.query(
      'INSERT INTO conversations (created_at, updated_at) VALUES (now(), now()) RETURNING id',
    );
    const { rows } = await client.query(
      `WITH new AS (SELECT timestamp_id('statuses') AS id)
       INSERT INTO statuses (id, uri, text, created_at, updated_at, local, visibility, language, account_id, conversation_id)
       SELECT id, $1 || id, $2, now(), now(), true, 0, 'en', $3, $4 FROM new RETURNING id, created_at`,
      [
        `https://${env.LOCAL_DOMAIN}/users/${account.username}/statuses/`,
        text,
        account.id,
        conversation.rows[0].id,
      ],
    );
    if (media) {
      await client.query(
        `INSERT INTO media_attachments (id, status_id, account_id, file_file_name, file_content_type, file_file_size,
           file_updated_at, created_at, updated_at, type, processing, file_storage_schema_version)
         VALUES ($1, $2, $3, $4, 'image/jpeg', $5, now(), now(), now(), 0, 2, 1)`,
        [media.id, rows[0].id, account.id, media.name, media.sizeBytes],
      );
    }
    await client.query(
      `INSERT INTO account_stats (account_id, statuses_count, created_at, updated_at) VALUES ($1, 1, now(), now())
       ON CONFLICT (account_id) DO UPDATE SET statuses_count = account_stats.statuses_count + 1, updated_at = now()`,
      [account.id],
    );
    return rows[0];
  });
  const now = Date.now() / 1000;
  const job = { class: 'DistributionWorker', args: [status.id], queue: 'default', retry: true };
  const ids = { jid: randomBytes(12).toString('hex'), created_at: now, enqueued_at: now };
  await redis.command('LPUSH', 'queue:default', JSON.stringify({ ...job, ...ids }));
  return {
    id: status.id,
    created_at: status.created_at,
    content: text,
    media_attachments: media ? [{ id: media.id, url: media.url }] : [],
  };
}

let known;

async function author(database) {
  if (!known) {
    const { rows } = await database.query(
      "SELECT id, username FROM accounts WHERE domain IS NULL AND username = 'writer'",
    );
    if (rows.length === 0) throw new Error('there is no account "writer"');
    known = rows[0];
  }
  return known;
}

async function upload(database) {
  const { rows } = await database.query("SELECT timestamp_id('media_attachments') AS id");
  const name = `${randomBytes(8).toString('hex')}.jpg`;
  const original = randomBytes(4000 + randomBytes(1)[0] * 100);
  const folder = attachmentFolder(rows[0].id);
  for (const [style, content] of [
    ['original', original],
    ['small', original.subarray(0, 1000)],
  ]) {
    const path = join(mediaFolder, folder, style);
    await mkdir(path, { recursive: true });
    await writeFile(join(path, name), content);
  }
  return { id: rows[0].id, name, sizeBytes: original.length, url: `/system/${folder}/original/${name}` };
}
