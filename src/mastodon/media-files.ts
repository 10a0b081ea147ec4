/**
 * Which local media files a Mastodon database names: as SQL for the host, and as a function for one row.
 *
 * `accounts/avatars/000/001/234/original/3f2a.png`: class, attachment, id in groups of three, style, file name
 * (mastodon/mastodon config/initializers/paperclip.rb; kt-paperclip lib/paperclip/interpolations.rb). Only copies of
 * remote files lie below `cache/`, so no path here does. Styles: mastodon/mastodon app/models/concerns/account/avatar.rb,
 * header.rb, app/models/media_attachment.rb, custom_emoji.rb, site_upload.rb, backup.rb, preview_card_provider.rb.
 */

/** The columns of each table: versions of Mastodon differ, and a table that a version lacks is left out. */
export type Schema = ReadonlyMap<string, ReadonlySet<string>>;

/** One file that the database names. */
export interface ExpectedFile {
  /** Below the media's folder. */
  readonly path: string;
  /** Size that the database has of it; null for derived files, of which it has none. */
  readonly bytes: number | null;
  /**
   * null, or why Mastodon can do without it: `unattached` is an upload older than a day that belongs to no post, which
   * the nightly vacuum deletes (file first, then row); `derived` is a size of a site upload, which older versions did
   * not make.
   */
  readonly tolerated: 'unattached' | 'derived' | null;
}

type Row = Readonly<Record<string, unknown>>;

/** A file made of an attachment: its style, its extension (null: the original's), and for which rows. */
interface Style {
  readonly style: string;
  readonly extension: string | null;
  readonly tolerated?: 'derived';
  readonly sql: string;
  readonly applies: (row: Row) => boolean;
}

interface Attachment {
  readonly table: string;
  /** `avatar`: the columns are `avatar_file_name` and so on. */
  readonly prefix: string;
  readonly folder: string;
  /** Columns without which the rule cannot be applied. */
  readonly needs: readonly string[];
  readonly sql: string;
  readonly local: (row: Row) => boolean;
  readonly styles: readonly Style[];
}

const always = { sql: 'true', applies: () => true };
const original: Style = { style: 'original', extension: null, ...always };
const staticPng: Style = { style: 'static', extension: 'png', ...always };

/** accounts: a GIF has a still image beside it. */
function staticOfGif(column: string): Style {
  return {
    ...staticPng,
    sql: `${column} = 'image/gif'`,
    applies: (row) => row[column] === 'image/gif',
  };
}

const type = (row: Row): string =>
  typeof row['file_content_type'] === 'string' ? row['file_content_type'] : '';
const smallImage: Style = {
  style: 'small',
  extension: null,
  sql: "file_content_type LIKE 'image/%' AND file_content_type <> 'image/gif'",
  applies: (row) => type(row).startsWith('image/') && type(row) !== 'image/gif',
};
const smallPng: Style = {
  style: 'small',
  extension: 'png',
  sql: "(file_content_type LIKE 'video/%' OR file_content_type = 'image/gif')",
  applies: (row) => type(row).startsWith('video/') || type(row) === 'image/gif',
};

const appIconSizes = [57, 60, 72, 76, 114, 120, 144, 152, 167, 180, 1024, 36, 48, 96, 192, 256, 384, 512];
const siteUploadStyles = new Map([
  ['thumbnail', ['@1x', '@2x']],
  ['favicon', ['16', '32', '48']],
  ['app_icon', appIconSizes.map(String)],
]);
const derivedOfSiteUpload: Style[] = [...siteUploadStyles].flatMap(([name, styles]) =>
  styles.map((style) => ({
    style,
    extension: 'png',
    tolerated: 'derived' as const,
    sql: `var = '${name}'`,
    applies: (row: Row) => row['var'] === name,
  })),
);

const ofLocalAccount = {
  needs: ['domain'],
  sql: 'domain IS NULL',
  local: (row: Row) => row['domain'] === null,
};
/** Rows being processed (0 queued, 1 in progress) or failed (3) may still name the file as it was before. */
const localAndProcessed = {
  needs: ['remote_url', 'processing'],
  sql: "coalesce(remote_url, '') = '' AND coalesce(processing, 2) = 2",
  local: (row: Row) => (row['remote_url'] ?? '') === '' && (row['processing'] ?? 2) === 2,
};
const everyRow = { needs: [], sql: 'true', local: () => true };

const attachments: readonly Attachment[] = [
  {
    ...{ table: 'accounts', prefix: 'avatar', folder: 'accounts/avatars', ...ofLocalAccount },
    styles: [original, staticOfGif('avatar_content_type')],
  },
  {
    ...{ table: 'accounts', prefix: 'header', folder: 'accounts/headers', ...ofLocalAccount },
    styles: [original, staticOfGif('header_content_type')],
  },
  {
    ...{
      table: 'media_attachments',
      prefix: 'file',
      folder: 'media_attachments/files',
      ...localAndProcessed,
    },
    styles: [original, smallImage, smallPng],
  },
  {
    ...{ table: 'media_attachments', prefix: 'thumbnail', folder: 'media_attachments/thumbnails' },
    ...localAndProcessed,
    styles: [original],
  },
  {
    ...{ table: 'custom_emojis', prefix: 'image', folder: 'custom_emojis/images', ...ofLocalAccount },
    styles: [original, staticPng],
  },
  {
    ...{ table: 'site_uploads', prefix: 'file', folder: 'site_uploads/files', ...everyRow, needs: ['var'] },
    styles: [original, ...derivedOfSiteUpload],
  },
  { table: 'backups', prefix: 'dump', folder: 'backups/dumps', ...everyRow, styles: [original] },
  {
    ...{
      table: 'preview_card_providers',
      prefix: 'icon',
      folder: 'preview_card_providers/icons',
      ...everyRow,
    },
    styles: [original, staticPng],
  },
];

/**
 * The files that one row names: the same rules as the SQL's, for tests and for a look at one row.
 *
 * @param row column values as PostgreSQL has them; `id` as bigint or decimal string; times as Date.
 * @param now what "older than a day" is counted from.
 */
export function mediaFilesOf(table: string, row: Row, now: Date): ExpectedFile[] {
  return attachments
    .filter((attachment) => attachment.table === table && attachment.local(row))
    .flatMap(({ prefix, folder, styles }) => {
      const name = row[`${prefix}_file_name`];
      if (typeof name !== 'string' || name === '') return [];
      const size = row[`${prefix}_file_size`];
      const base = `${folder}/${idPartition(BigInt(String(row['id'])))}`;
      return styles
        .filter((style) => style.applies(row))
        .map(({ style, extension, tolerated }) => ({
          path: `${base}/${style}/${style === 'original' ? name : derivedName(name, extension)}`,
          bytes: style === 'original' && size !== null && size !== undefined ? Number(size) : null,
          tolerated: isUnattached(table, row, now) ? ('unattached' as const) : (tolerated ?? null),
        }));
    });
}

/** kt-paperclip lib/paperclip/interpolations.rb, `id_partition`: a last group of fewer than three digits is dropped. */
export function idPartition(id: bigint): string {
  const width = id < 1_000_000_000n ? 9 : 12;
  const digits = id < 0n ? `-${String(-id).padStart(width - 1, '0')}` : String(id).padStart(width, '0');
  return (digits.match(/\d{3}/g) ?? []).join('/');
}

/** Ruby's File.extname: leading dots begin no extension. */
function derivedName(name: string, extension: string | null): string {
  const [found = ''] = /\.[^.]*$/.exec(name.replace(/^\.+/, '')) ?? [];
  const base = name.slice(0, name.length - found.length);
  return [base, extension ?? found.replace(/^\.+/, '')].filter((part) => part !== '').join('.');
}

function isUnattached(table: string, row: Row, now: Date): boolean {
  if (table !== 'media_attachments') return false;
  const created = row['created_at'];
  const attached = (row['status_id'] ?? row['scheduled_status_id'] ?? null) !== null;
  return !attached && created instanceof Date && now.getTime() - created.getTime() > 24 * 3_600_000;
}

/**
 * A SELECT of every local media file that the database names: `path text, bytes bigint, tolerated text` as in
 * `ExpectedFile`, one row per file, sorted by the bytes of the path. It reads the tables once each, and runs inside the
 * pinned snapshot; it does not fail where a table or column is missing. null when the schema has nothing of it at all.
 *
 * @param options.only Asks for these paths alone: run against the live database after the index was made, it tells the
 *   missing files that the database still names (missing at the source) from those that were deleted meanwhile.
 */
export function mediaFilesSql(schema: Schema, options: { only?: readonly string[] } = {}): string | null {
  const selects = attachments.flatMap((attachment) => selectOf(attachment, schema));
  if (selects.length === 0) return null;
  const only = options.only && `WHERE path IN (${['NULL', ...options.only.map(quoted)].join(', ')})`;
  return [
    `SELECT path, bytes, tolerated FROM (`,
    selects.join('\nUNION ALL\n'),
    `) AS files(path, bytes, tolerated) ${only ?? ''}`,
    // Bytewise, whatever the database's collation is.
    `ORDER BY convert_to(path, 'UTF8')`,
  ].join('\n');
}

/**
 * The statement by which psql writes a query's rows to its stdout in COPY's text format: one line a row, tabs between
 * the columns, `\N` for NULL, tabs, newlines and backslashes escaped, so that no file name can break it.
 */
export function copyToStdout(select: string): string {
  return `COPY (${select}) TO STDOUT;`;
}

function selectOf(attachment: Attachment, schema: Schema): string[] {
  const { table, prefix, folder, needs, styles } = attachment;
  const columns = schema.get(table);
  const has = (column: string): boolean => columns?.has(column) ?? false;
  const name = `${prefix}_file_name`;
  // A column that this version lacks is NULL in every row.
  const optional = [`${prefix}_content_type`, `${prefix}_file_size`, ...needs];
  if (!has('id') || !has(name) || (needs.includes('domain') && !has('domain'))) return [];

  const used = [...new Set(optional), ...(table === 'media_attachments' ? attachedColumns : [])];
  const source = used.map((column) => (has(column) ? column : `${nullOf(column)} AS ${column}`)).join(', ');
  const knowsAttached =
    table === 'media_attachments' && ['status_id', 'created_at'].every((column) => has(column));
  const tolerance = knowsAttached ? `CASE WHEN ${unattachedSql} THEN 'unattached' END` : 'made.tolerated';
  const made = styles.map(
    ({ style, extension, tolerated, sql }) =>
      `(${quoted(style)}, ${style === 'original' ? 'name' : `concat_ws('.', nullif(base, ''), nullif(${extension === null ? 'ext' : quoted(extension)}, ''))`}, ${tolerated ? quoted(tolerated) : 'NULL::text'}, ${sql})`,
  );
  return [
    `SELECT ${quoted(`${folder}/`)} || ${partitionSql} || '/' || made.style || '/' || made.file,
  CASE WHEN made.style = 'original' THEN ${prefix}_file_size::bigint END,
  ${tolerance}
FROM (SELECT id::bigint AS id, ${name}::text AS name, ${source} FROM public.${table}) AS rows
CROSS JOIN LATERAL (SELECT coalesce(substring(ltrim(name, '.') from '\\.[^.]*$'), '') AS dotted) AS found
CROSS JOIN LATERAL (SELECT left(name, length(name) - length(dotted)) AS base, ltrim(dotted, '.') AS ext) AS parts
CROSS JOIN LATERAL (VALUES ${made.join(', ')}) AS made(style, file, tolerated, applies)
WHERE name <> '' AND ${attachment.sql} AND made.applies`,
  ];
}

const unattachedSql = `status_id IS NULL AND scheduled_status_id IS NULL
    AND created_at < (now() AT TIME ZONE 'UTC') - interval '1 day'`;
const attachedColumns = ['status_id', 'scheduled_status_id', 'created_at'];

function nullOf(column: string): string {
  if (column.endsWith('_size') || column === 'processing') return 'NULL::bigint';
  return column.endsWith('_id') ? 'NULL::bigint' : column === 'created_at' ? 'NULL::timestamp' : 'NULL::text';
}

const digitsSql = `CASE WHEN id < 0 THEN lpad((-id)::text, 8, '0') WHEN id < 1000000000 THEN lpad(id::text, 9, '0')
  WHEN id < 1000000000000 THEN lpad(id::text, 12, '0') ELSE id::text END`;
const partitionSql = `(SELECT rtrim(regexp_replace(left(d, length(d) / 3 * 3), '(\\d{3})', '\\1/', 'g'), '/') FROM (SELECT ${digitsSql}) AS digits(d))`;

/** A string literal that means the same whatever `standard_conforming_strings` says. */
function quoted(text: string): string {
  const escaped = text.replaceAll("'", "''");
  return escaped.includes('\\') ? `E'${escaped.replaceAll('\\', '\\\\')}'` : `'${escaped}'`;
}
