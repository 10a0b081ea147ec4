import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type PostgresServer, startPostgres } from '../../sample/postgres.js';
import {
  copyToStdout,
  type ExpectedFile,
  mediaFilesOf,
  mediaFilesSql,
  type Schema,
} from '../../src/mastodon/media-files.js';
import { readSecretSamples, secretSamplesSql } from '../../src/mastodon/secrets-samples.js';

let folder: string;
let server: PostgresServer;
let client: Client;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-media-files-'));
  await execa('chmod', ['755', folder]);
  server = await startPostgres({ folder: join(folder, 'pg') });
  client = new Client({
    host: server.socketFolder,
    port: server.port,
    user: 'postgres',
    database: 'postgres',
  });
  await client.connect();
  // Other sessions' time zones must not move what "a day old" means.
  await client.query("SET TIME ZONE 'Pacific/Auckland'");
  await client.query(await readFile(new URL('../../sample/schema.sql', import.meta.url), 'utf8'));
  await client.query('RESET search_path; SET session_replication_role = replica'); // rows without what they point to
});
afterAll(async () => {
  await client?.end();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  await client.query('ROLLBACK');
  for (const table of ['users', ...Object.keys(rowsOf)]) await client.query(`DELETE FROM public.${table}`);
});

async function schemaNow(): Promise<Schema> {
  const { rows } = await client.query<{ table: string; column: string }>(
    `SELECT table_name AS "table", column_name AS "column" FROM information_schema.columns WHERE table_schema = 'public'`,
  );
  const schema = new Map<string, Set<string>>();
  for (const { table, column } of rows) schema.set(table, (schema.get(table) ?? new Set()).add(column));
  return schema;
}

async function filesBySql(options: { only?: string[] } = {}): Promise<ExpectedFile[]> {
  const sql = mediaFilesSql(await schemaNow(), options);
  if (sql === null) throw new Error('no SQL');
  const { rows } = await client.query<{
    path: string;
    bytes: string | null;
    tolerated: ExpectedFile['tolerated'];
  }>(sql);
  return rows.map((row) => ({ ...row, bytes: row.bytes === null ? null : Number(row.bytes) }));
}

/** Inserts rows whose columns the test chooses; what else a column needs is made up from its type. */
async function insert(table: string, rows: readonly Record<string, unknown>[]): Promise<void> {
  const needed = await client.query<{ name: string; type: string }>(
    `SELECT column_name AS name, data_type AS type FROM information_schema.columns WHERE table_schema = 'public'
     AND table_name = $1 AND is_nullable = 'NO' AND column_default IS NULL`,
    [table],
  );
  let number = 0;
  for (const row of rows) {
    number += 1;
    const full: Record<string, unknown> = { ...row };
    for (const { name, type } of needed.rows) {
      if (name in full) continue;
      if (type.startsWith('timestamp')) full[name] = '2026-01-01';
      else full[name] = /int|numeric/.test(type) ? number : type === 'boolean' ? false : `made-${number}`;
    }
    const columns = Object.keys(full);
    await client.query(
      `INSERT INTO public.${table} (${columns.map((column) => `"${column}"`).join(', ')})
       VALUES (${columns.map((_, i) => `$${i + 1}`).join(', ')})`,
      Object.values(full),
    );
  }
}

const fileName = fc.oneof(
  fc.constantFrom(
    'a.png',
    '.hidden',
    '..a.b',
    'a.tar.gz',
    'dot.',
    'noext',
    'it\'s "q".jpg',
    'back\\slash.gif',
    'a\tb\nc.png',
  ),
  fc.stringMatching(/^[0-9a-f]{16}\.(png|jpeg|gif|mp4|mp3)$/),
  fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    .filter((s) => !/[\0/]/.test(s) && !/[\ud800-\udfff]/.test(s)),
);
const id = fc.oneof(
  fc.bigInt(1n, 10_000n),
  fc.constantFrom(999_999_999n, 1_000_000_000n, 999_999_999_999n, 1_234_567_890_123n, -99n),
  fc.bigInt(109_000_000_000_000_000n, 117_000_000_000_000_000n),
);
const type = fc.constantFrom(
  'image/png',
  'image/gif',
  'image/jpeg',
  'video/mp4',
  'audio/mpeg',
  'application/x',
  null,
);
const size = fc.option(fc.integer({ min: 0, max: 99_000_000 }));
const domain = fc.constantFrom(null, null, 'elsewhere.example');
const when = fc.constantFrom(-30, -5, 0).map((hours) => new Date(Date.now() + (hours - 1) * 3_600_000));

const rowsOf: Record<string, fc.Arbitrary<Record<string, unknown>>> = {
  accounts: fc.record({
    ...{ id, domain, username: fc.uuid() },
    ...{ avatar_file_name: fc.option(fileName), avatar_content_type: type, avatar_file_size: size },
    ...{ header_file_name: fc.option(fileName), header_content_type: type, header_file_size: size },
  }),
  media_attachments: fc.record({
    ...{ id, remote_url: fc.constantFrom('', '', 'https://elsewhere.example/x'), created_at: when },
    ...{ processing: fc.constantFrom(null, 2, 0, 1, 3), status_id: fc.constantFrom(null, null, 5) },
    scheduled_status_id: fc.constantFrom(null, null, 6),
    ...{ file_file_name: fc.option(fileName), file_content_type: type, file_file_size: size },
    ...{ thumbnail_file_name: fc.option(fileName), thumbnail_content_type: type, thumbnail_file_size: size },
  }),
  custom_emojis: fc.record({
    ...{ id, domain, shortcode: fc.uuid() },
    ...{ image_file_name: fc.option(fileName), image_content_type: type, image_file_size: size },
  }),
  site_uploads: fc.record({
    ...{ id, var: fc.constantFrom('thumbnail', 'favicon', 'app_icon', 'mascot', 'odd') },
    ...{ file_file_name: fc.option(fileName), file_content_type: type, file_file_size: size },
  }),
  backups: fc.record({ id, dump_file_name: fc.option(fileName), dump_file_size: size }),
};

describe('the SQL and the function', () => {
  it.each(Object.keys(rowsOf))('agree on the files of %s', async (table) => {
    const arbitrary = rowsOf[table] ?? fc.constant<Record<string, unknown>>({});
    const known = (await schemaNow()).get(table) ?? new Set();
    const unique = (row: Record<string, unknown>): string =>
      String(table === 'site_uploads' ? row['var'] : row['id']);
    const sample = fc.uniqueArray(arbitrary, { minLength: 1, maxLength: 60, selector: unique });
    await fc.assert(
      fc.asyncProperty(sample, async (generated) => {
        const rows = [...new Map(generated.map((row) => [String(row['id']), row])).values()];
        const existing = rows.map((row) =>
          Object.fromEntries(Object.entries(row).filter(([key]) => known.has(key))),
        );
        await client.query(`DELETE FROM public.${table}`);
        await insert(table, existing);
        const expected = existing
          .flatMap((row) => mediaFilesOf(table, row, new Date()))
          .sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
        expect(await filesBySql()).toEqual(expected);
      }),
      { numRuns: 12 },
    );
  });

  it('find paths again, however they are quoted', async () => {
    const names = ["it's.png", 'back\\slash.png', '$$.png', ":'x'.png", 'plain.png'];
    await insert(
      'custom_emojis',
      names.map((image_file_name, i) => ({ id: i + 1, domain: null, image_file_name })),
    );
    const all = (await filesBySql()).map((file) => file.path);
    const wanted = all.filter((path) => path.includes('/original/') && !path.includes('plain'));
    expect((await filesBySql({ only: wanted })).map((file) => file.path)).toEqual(wanted);
    expect(await filesBySql({ only: [] })).toEqual([]);

    const copied = await server.sql(
      'postgres',
      copyToStdout(mediaFilesSql(await schemaNow(), { only: wanted }) ?? ''),
    );
    expect(copied.split('\n')).toContain(
      'custom_emojis/images/000/000/002/original/back\\\\slash.png\t\\N\t\\N',
    );
  });
});

describe('a database of another version', () => {
  it('may lack any column or table of these: what is left is still asked', async () => {
    await client.query('BEGIN');
    for (const [table, column] of [
      ['media_attachments', 'processing'],
      ['media_attachments', 'scheduled_status_id'],
      ['media_attachments', 'thumbnail_file_name'],
      ['accounts', 'avatar_file_size'],
      ['custom_emojis', 'image_file_name'],
    ])
      await client.query(`ALTER TABLE public.${table} DROP COLUMN ${column} CASCADE`);
    await client.query('DROP TABLE public.site_uploads CASCADE');
    await insert('accounts', [
      { id: 7, domain: null, avatar_file_name: 'a.png', avatar_content_type: 'image/png' },
    ]);
    await insert('media_attachments', [
      { id: 8, remote_url: '', status_id: 1, file_file_name: 'b.png', file_content_type: 'image/png' },
    ]);
    expect((await filesBySql()).map((file) => file.path)).toEqual([
      'accounts/avatars/000/000/007/original/a.png',
      'media_attachments/files/000/000/008/original/b.png',
      'media_attachments/files/000/000/008/small/b.png',
    ]);
    await client.query('ROLLBACK');
  });
});

describe('the sample of ciphertext', () => {
  it('is bounded, holds the newest, and survives line breaks', async () => {
    const envelope = (n: number): string => `{"p":"${n}","h":{}}`;
    const pem = '-----BEGIN RSA PRIVATE KEY-----\nAB\\n\tCD\n-----END RSA PRIVATE KEY-----\n';
    await insert(
      'users',
      Array.from({ length: 300 }, (_, i) => ({ id: i + 1, email: `${i}@x`, otp_secret: envelope(i + 1) })),
    );
    await insert('users', [{ id: 301, email: 'none@x', otp_secret: null }]);
    await insert('accounts', [
      { id: 1, domain: null, username: 'local', private_key: pem, public_key: 'public' },
      { id: 2, domain: 'elsewhere.example', username: 'remote', private_key: null, public_key: 'public' },
    ]);
    const sql = secretSamplesSql(await schemaNow());
    const samples = readSecretSamples(await server.sql('postgres', `${sql ?? ''};`));
    expect(samples.accountKeys).toMatchObject([{ privatePem: pem, publicPem: 'public' }]);
    expect(samples.otpSecrets).toContain(envelope(300));
    expect(samples.otpSecrets).toContain(envelope(251));
    expect(samples.otpSecrets.length).toBeGreaterThan(50);
    expect(samples.otpSecrets.length).toBeLessThanOrEqual(100);
  });

  it('is asked of the legacy columns where there are any, and not of columns that are missing', async () => {
    await insert('users', [{ id: 3, email: 'a@x' }]);
    await client.query('BEGIN');
    await client.query(
      'ALTER TABLE public.users DROP COLUMN otp_secret CASCADE; DROP TABLE IF EXISTS public.keypairs CASCADE',
    );
    for (const suffix of ['', '_iv', '_salt'])
      await client.query(
        `ALTER TABLE public.users ADD COLUMN IF NOT EXISTS encrypted_otp_secret${suffix} text`,
      );
    await client.query(
      "UPDATE public.users SET encrypted_otp_secret = 'x', encrypted_otp_secret_iv = 'y' WHERE id = 3",
    );
    const { rows } = await client.query<{ document: object }>(secretSamplesSql(await schemaNow()) ?? '');
    const samples = readSecretSamples(rows.map((row) => JSON.stringify(row.document)).join('\n'));
    expect(samples.legacyOtpSecrets).toMatchObject([{ value: 'x', iv: 'y', salt: '' }]);
    expect(samples.otpSecrets).toEqual([]);
    await client.query('ROLLBACK');
  });
});
