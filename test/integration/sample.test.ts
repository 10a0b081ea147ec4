import { spawn } from 'node:child_process';
import { createDecipheriv, createPublicKey, pbkdf2Sync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { execa } from 'execa';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type SampleInstance, startSampleInstance } from '../../sample/instance.js';
import { makeSample, sampleSql } from '../../sample/seed.js';
import { type AcknowledgedPost, startWriter } from '../../sample/writer.js';

let folder: string;
let instance: SampleInstance;
let database: pg.Client;

beforeAll(async () => {
  folder = await mkdtemp('/tmp/permafrost-sample-');
  await execa('chmod', ['0755', folder]);
  instance = await startSampleInstance({ folder: join(folder, 'one') });
  database = await connect(instance);
});

afterAll(async () => {
  await database.end();
  await instance.stop({ remove: true });
  await rm(folder, { recursive: true, force: true });
});

async function connect({
  database: { host, port, name, user, password },
}: SampleInstance): Promise<pg.Client> {
  const client = new pg.Client({ host, port, database: name, user, password });
  await client.connect();
  return client;
}

async function all<T>(argvs: readonly (readonly string[])[], each: (code: number) => T): Promise<T[]> {
  const run = async ([command = '', ...args]: readonly string[]): Promise<T> => {
    const { exitCode } = await execa(command, args, { reject: false });
    return each(exitCode ?? -1);
  };
  return Promise.all(argvs.map(run));
}

const codes = (argvs: readonly (readonly string[])[]): Promise<number[]> => all(argvs, (code) => code);

async function text(path: string): Promise<string> {
  return (await fetch(new URL(path, instance.url))).text();
}

/** Every original that a row names, with its size: written again here, so that it can disagree with the seed. */
const namedOriginals = `
  SELECT 'accounts/avatars' AS attachment, id, avatar_file_name AS name, avatar_file_size AS size, domain IS NOT NULL AND avatar_storage_schema_version >= 1 AS cached FROM accounts
  UNION ALL SELECT 'accounts/headers', id, header_file_name, header_file_size, domain IS NOT NULL AND header_storage_schema_version >= 1 FROM accounts
  UNION ALL SELECT 'media_attachments/files', id, file_file_name, file_file_size, remote_url <> '' AND file_storage_schema_version >= 1 FROM media_attachments
  UNION ALL SELECT 'media_attachments/thumbnails', id, thumbnail_file_name, thumbnail_file_size, remote_url <> '' FROM media_attachments
  UNION ALL SELECT 'custom_emojis/images', id, image_file_name, image_file_size, domain IS NOT NULL FROM custom_emojis
  UNION ALL SELECT 'site_uploads/files', id, file_file_name, file_file_size, false FROM site_uploads
  UNION ALL SELECT 'backups/dumps', id, dump_file_name, dump_file_size, false FROM backups
  UNION ALL SELECT 'preview_cards/images', id, image_file_name, image_file_size, true FROM preview_cards
  UNION ALL SELECT 'preview_card_providers/icons', id, icon_file_name, icon_file_size, false FROM preview_card_providers`;

interface NamedOriginal {
  attachment: string;
  id: string;
  name: string;
  size: string;
  cached: boolean;
}

describe('what is seeded', () => {
  test('every file that a row names is where Mastodon looks for it, but for those that are missing on purpose', async () => {
    const { rows } = await database.query<NamedOriginal>(
      `SELECT * FROM (${namedOriginals}) named WHERE name IS NOT NULL`,
    );
    expect(rows.length).toBeGreaterThan(70);
    const wrong: string[] = [];
    for (const { attachment, id, name, size, cached } of rows) {
      const digits = id.padStart(id.length > 9 ? 12 : 9, '0');
      const path = `${cached ? 'cache/' : ''}${attachment}/${digits.replaceAll(/(...)(?!$)/g, '$1/')}/original/${name}`;
      const found = await stat(join(instance.root, 'public/system', path)).catch(() => undefined);
      if (found?.size !== Number(size)) wrong.push(path);
    }
    const { missing, processing } = instance.data.oddities;
    expect(wrong.sort()).toEqual([...missing, ...processing].sort());
    expect([missing.length, processing.length]).toEqual([1, 1]);
  });

  test('the oddities are there', async () => {
    const { oddities } = instance.data;
    const at = (path: string): string => join(instance.root, 'public/system', path);
    expect(oddities.private.length).toBeGreaterThan(1);
    for (const path of oddities.private) expect((await stat(at(path))).mode & 0o777).toBe(0o600);
    for (const path of oddities.empty) expect((await stat(at(path))).size).toBe(0);
    expect(oddities.named.join()).toMatch(/Ünïcödé.*"quoted".*氷/s);
    for (const path of [...oddities.named, ...oddities.remoteOutsideCache, ...oddities.orphans]) {
      expect(existsSync(at(path)), path).toBe(true);
    }
  });

  test("every local account's key pair fits, also where it is encrypted", async () => {
    const { rows } = await database.query<{ username: string; private_key: string; public_key: string }>(
      `SELECT a.username, COALESCE(a.private_key, k.private_key) AS private_key,
         COALESCE(NULLIF(a.public_key, ''), k.public_key) AS public_key
       FROM accounts a LEFT JOIN keypairs k ON k.account_id = a.id WHERE a.domain IS NULL`,
    );
    expect(rows).toHaveLength(11);
    expect(rows.filter(({ private_key }) => private_key.startsWith('{'))).toHaveLength(1);
    for (const { private_key: stored, public_key, username } of rows) {
      const pem = stored.startsWith('{') ? open(stored) : stored;
      expect(createPublicKey(pem).export({ type: 'spki', format: 'pem' }), username).toBe(public_key);
    }
  });

  test("the env file's keys open every one-time-password secret", async () => {
    const { rows } = await database.query<{ id: string; otp_secret: string }>(
      'SELECT id, otp_secret FROM users WHERE otp_secret IS NOT NULL',
    );
    expect(rows.length).toBeGreaterThan(2);
    for (const { id, otp_secret: sealed } of rows) {
      expect(open(sealed)).toBe(instance.data.otpSecrets.get(BigInt(id)));
    }
  });

  test('its identifiers are not older than what is there: a new row fits', async () => {
    const { rows } = await database.query<{ tag: string }>(
      "INSERT INTO tags (name, created_at, updated_at) VALUES ('new', now(), now()) RETURNING id AS tag",
    );
    expect(Number(rows[0]?.tag)).toBe(instance.data.rows.count('tags') + 1);
  });

  test('a dump of it restores, views and indexes included', async () => {
    const { postgres } = instance.servers;
    const connection = ['-h', postgres.socketFolder, '-p', String(postgres.port), '-U', 'mastodon'];
    const dump = join(instance.root, '..', 'dump');
    const bin = (name: string): string => join(postgres.binaries, name);
    await execa(bin('pg_dump'), [...connection, '-Fc', '-f', dump, instance.database.name]);
    await postgres.sql('postgres', 'CREATE DATABASE restored OWNER mastodon TEMPLATE template0');
    await execa(bin('pg_restore'), [...connection, '--exit-on-error', '-d', 'restored', dump]);
    const counted = 'SELECT count(*), max(id) FROM statuses';
    expect(await postgres.sql('restored', counted)).toBe(await postgres.sql(instance.database.name, counted));
    expect(await postgres.sql('restored', 'SELECT count(*) > 5 FROM instances')).toBe('t');
  });

  test('the same seed makes the same instance, another seed another one', async () => {
    const sql = async (seed: string): Promise<string> => {
      let all = '';
      for await (const part of sampleSql(makeSample({ seed }))) all += part;
      return all;
    };
    expect(await sql('one')).toBe(await sql('one'));
    expect(await sql('one')).not.toBe(await sql('two'));
  });

  test('Redis holds what Sidekiq keeps', async () => {
    const { redis } = instance.servers;
    expect(await redis.command('ZCARD', 'retry')).toBe('5');
    expect(await redis.command('SAVE')).toBe('OK');
    await execa('redis-check-rdb', [instance.redis.dump]);
  });
});

/** Opens an ActiveRecord envelope with the keys of the env file. */
function open(sealed: string): string {
  const { secrets } = instance.data;
  const key = pbkdf2Sync(
    secrets.ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY,
    secrets.ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT,
    2 ** 16,
    32,
    'sha256',
  );
  const { p, h } = JSON.parse(sealed) as { p: string; h: { iv: string; at: string; c?: true } };
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(h.iv, 'base64'));
  decipher.setAuthTag(Buffer.from(h.at, 'base64'));
  const plain = Buffer.concat([decipher.update(p, 'base64'), decipher.final()]);
  return (h.c === true ? inflateSync(plain) : plain).toString();
}

describe('the services', () => {
  test('answer as Mastodon does', async () => {
    expect(await text('/health')).toBe('OK');
    expect(JSON.parse(await text('/api/v2/instance'))).toMatchObject({ domain: 'sample.example' });
    expect(JSON.parse(await text('/.well-known/webfinger?resource=acct:alice@sample.example'))).toMatchObject(
      {
        subject: 'acct:alice@sample.example',
      },
    );
    const gone = await fetch(
      new URL('/.well-known/webfinger?resource=acct:mallory@sample.example', instance.url),
    );
    expect(gone.status).toBe(410);
  });

  test('serve nothing outside public/system', async () => {
    const answer = await fetch(new URL('/system/..%2f..%2f.env.production', instance.url));
    expect(answer.status).toBe(404);
  });

  test('a post is committed, its picture is there, and Sidekiq takes note of it', async () => {
    const log = join(folder, 'posts.jsonl');
    const writer = startWriter({ url: instance.url, log });
    await writer.more(5);
    const counts = await writer.stop();
    const lines = (await readFile(log, 'utf8')).trim().split('\n');
    expect(lines).toHaveLength(counts.posted);
    const posts = lines.map((line) => JSON.parse(line) as AcknowledgedPost);
    const { rows } = await database.query('SELECT text FROM statuses WHERE id = ANY ($1)', [
      posts.map(({ id }) => id),
    ]);
    expect(rows).toHaveLength(posts.length);
    const pictures = posts.flatMap(({ mediaUrl }) => (mediaUrl === undefined ? [] : [mediaUrl]));
    expect(pictures).toHaveLength(counts.withMedia);
    for (const url of pictures) expect(existsSync(join(instance.root, 'public', url))).toBe(true);
    await expect
      .poll(
        async () =>
          (await database.query('SELECT 1 FROM favourites WHERE status_id = $1', [posts[0]?.id])).rowCount,
        {
          timeout: 10_000,
        },
      )
      .toBe(1);
  });

  test('are stopped and started by argv, again and again, while a writer carries on', async () => {
    const { start, stop, status } = instance.services;
    const writer = startWriter({ url: instance.url, log: join(folder, 'carry-on.jsonl') });
    await writer.more(3);
    expect(await codes(status)).toEqual([0, 0, 0]);
    expect(await codes(stop)).toEqual([0, 0, 0]);
    expect(await codes(status)).toEqual([3, 3, 3]);
    expect(await codes(stop)).toEqual([0, 0, 0]);
    await expect.poll(() => writer.counts().refused, { timeout: 5_000 }).toBeGreaterThan(0);
    // Two at once must not make two of a service.
    expect(await codes([...start, ...start])).toEqual([0, 0, 0, 0, 0, 0]);
    await writer.more(3);
    const counts = await writer.stop();
    // The stop may meet one post on its way.
    expect(counts.failed).toBeLessThanOrEqual(1);
    const { stdout } = await execa('pgrep', ['-fc', `services/sidekiq.mjs --root ${instance.root} `]);
    expect(stdout).toBe('1');
  });

  test('end when the process that owns them is killed', async () => {
    const owner = spawn('sleep', ['1000']);
    const [startSidekiq = []] = instance.services.start.slice(1, 2);
    const [statusSidekiq = []] = instance.services.status.slice(1, 2);
    const argv = [...startSidekiq.slice(0, -1), String(owner.pid)];
    await codes(instance.services.stop.slice(1, 2));
    expect(await codes([argv])).toEqual([0]);
    expect(await codes([statusSidekiq])).toEqual([0]);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    await expect.poll(() => codes([statusSidekiq]), { timeout: 5_000 }).toEqual([3]);
    expect(await codes([startSidekiq])).toEqual([0]);
  });

  test('survive the loss of their database connections', async () => {
    await database.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mastodon' AND pid <> pg_backend_pid()",
    );
    const attempt = async (): Promise<number> => {
      const body = new URLSearchParams({ status: 'after the loss', media: 'true' });
      return (await fetch(new URL('/api/v1/statuses', instance.url), { method: 'POST', body })).status;
    };
    await expect.poll(attempt, { timeout: 5_000 }).toBe(200);
    expect(await codes(instance.services.status)).toEqual([0, 0, 0]);
  });
});

test('a second instance beside the first one: nothing collides, and nothing is left of it', async () => {
  const second = await startSampleInstance({
    folder: join(folder, 'two'),
    domain: 'other.example',
    seed: 'two',
    redis: { appendonly: true },
    size: { statuses: 3000, media: 20, mediaBytes: 1000 },
  });
  const client = await connect(second);
  expect((await client.query('SELECT FROM statuses')).rowCount).toBe(3000);
  await client.end();
  expect(await second.servers.redis.command('CONFIG', 'GET', 'appendonly')).toContain('yes');
  expect(await (await fetch(new URL('/api/v2/instance', second.url))).json()).toMatchObject({
    domain: 'other.example',
  });
  await second.stop({ remove: true });
  expect(existsSync(join(folder, 'two'))).toBe(false);
  const { exitCode } = await execa('pgrep', ['-f', join(folder, 'two')], { reject: false });
  expect(exitCode).toBe(1);
  expect(await text('/health')).toBe('OK');
});
