import type { Host } from '../hosts/host.js';
import type { Schema } from '../mastodon/media-files.js';
import { type DatabaseAccess, psql } from '../mastodon/psql.js';

/** What the application is asked about: read from the restored database before it boots, which may write into it. */
export interface ApplicationSample {
  /** Those that have posted last. */
  readonly accounts: readonly SampledAccount[];
  /** Attachments of posts that everybody is shown, whose originals lie in the folder of the restored media. */
  readonly media: readonly SampledMedia[];
  /** A local account that is suspended for good; null when there is none. */
  readonly suspended: string | null;
}

export interface SampledAccount {
  readonly id: string;
  readonly username: string;
  /** 0: `/users/NAME`; 1: `/ap/users/ID`; null in versions that know only the first. */
  readonly idScheme: number | null;
  /** The newest public and unlisted ones of its own, as many as `newestPosts` at most. */
  readonly statuses: readonly string[];
}

export interface SampledMedia {
  readonly attachment: string;
  readonly status: string;
  /** Below the media's folder. */
  readonly path: string;
}

/** As many as one page of the API has at most. */
export const newestPosts = 40;
const accountsAtMost = 6;
const mediaAtMost = 20;
/** Most of what is restored as a sample belongs to posts that not everybody is shown, or to none. */
const mediaLookedAt = 1000;

/** @param media the folder of the restored media; null without. */
export async function sampleOf(
  host: Host,
  database: DatabaseAccess,
  schema: Schema,
  media: string | null,
): Promise<ApplicationSample> {
  const has = (table: string, column: string): boolean => schema.get(table)?.has(column) ?? false;
  const rows = await psql(host, database, accountsSql(has), { timeoutMs: 300_000 });
  const [suspended] = await psql(host, database, suspendedSql(has));
  return {
    accounts: rows.map(([id = '', username = '', scheme = '', statuses = '']) => ({
      ...{ id, username, idScheme: scheme === '' ? null : Number(scheme) },
      statuses: statuses.split(','),
    })),
    media: media === null ? [] : await mediaOf(host, database, has, media),
    suspended: suspended?.[0] ?? null,
  };
}

async function mediaOf(host: Host, database: DatabaseAccess, has: Has, media: string) {
  const lying = await attachmentsIn(host, media);
  if (lying.size === 0) return [];
  const rows = await psql(host, database, mediaSql(has, [...lying.keys()]), { timeoutMs: 300_000 });
  return rows.flatMap(([attachment = '', status = '', name = '']) => {
    const path = lying.get(attachment) ?? '';
    return path.endsWith(`/original/${name}`) ? [{ attachment, status, path }] : [];
  });
}

/** Paths of attachments' originals by the attachments' ids: the digits of the folders that they are in. */
async function attachmentsIn(host: Host, media: string): Promise<Map<string, string>> {
  const script = `[ ! -d "$1/$2" ] || { cd "$1" && find "$2" -type f -path '*/original/*' -print0 | head -z -n ${String(mediaLookedAt)}; }`;
  const { stdout } = await host.run(['bash', '-c', script, 'bash', media, 'media_attachments/files'], {
    as: 'privileged',
  });
  const found = stdout.split('\0').flatMap((path): [string, string][] => {
    const digits = /^media_attachments\/files\/((?:\d{3}\/)+)original\//.exec(path)?.[1];
    return digits === undefined ? [] : [[String(BigInt(digits.replaceAll('/', ''))), path]];
  });
  return new Map(found);
}

type Has = (table: string, column: string) => boolean;

/** Local people who are there for everybody to see (mastodon/mastodon app/models/account.rb, user.rb). */
function seen(has: Has): string {
  return [
    "a.domain IS NULL AND a.id > 0 AND a.username <> ''",
    'a.suspended_at IS NULL',
    has('accounts', 'moved_to_account_id') && 'a.moved_to_account_id IS NULL',
    `EXISTS (SELECT FROM public.users u WHERE u.account_id = a.id AND u.confirmed_at IS NOT NULL ${has('users', 'approved') ? 'AND u.approved' : ''})`,
  ]
    .filter((condition) => condition !== false)
    .join(' AND ');
}

/** What somebody without an account is shown of another's own posts (mastodon/mastodon app/models/account_statuses_filter.rb). */
function shown(has: Has): string {
  return [
    's.deleted_at IS NULL AND s.visibility IN (0, 1) AND s.reblog_of_id IS NULL',
    has('statuses', 'local_only') && 's.local_only IS NOT TRUE',
  ]
    .filter((condition) => condition !== false)
    .join(' AND ');
}

function accountsSql(has: Has): string {
  const scheme = has('accounts', 'id_scheme') ? 'a.id_scheme::text' : "''";
  return `SELECT a.id, a.username, ${scheme}, (
    SELECT string_agg(newest.id::text, ',' ORDER BY newest.id DESC) FROM (
      SELECT s.id FROM public.statuses s WHERE s.account_id = a.id AND ${shown(has)}
      ORDER BY s.id DESC LIMIT ${String(newestPosts)}) AS newest)
FROM public.accounts a
JOIN LATERAL (SELECT max(s.id) AS newest FROM public.statuses s WHERE s.account_id = a.id AND ${shown(has)}) AS posts ON true
WHERE ${seen(has)} AND posts.newest IS NOT NULL
ORDER BY posts.newest DESC LIMIT ${String(accountsAtMost)};`;
}

/** @param ids decimal numbers. */
function mediaSql(has: Has, ids: readonly string[]): string {
  // What is still being processed may lie there under the name that it was uploaded with.
  const ready = has('media_attachments', 'processing') ? 'AND coalesce(m.processing, 2) = 2' : '';
  return `SELECT m.id, m.status_id, m.file_file_name FROM public.media_attachments m
JOIN public.statuses s ON s.id = m.status_id JOIN public.accounts a ON a.id = s.account_id
WHERE m.id IN (${ids.join(', ')}) AND coalesce(m.remote_url, '') = '' ${ready} AND ${shown(has)} AND ${seen(has)}
ORDER BY md5(m.id::text) LIMIT ${String(mediaAtMost)};`;
}

/** Who asked for deletion may come back within 30 days, and is still there until then. */
function suspendedSql(has: Has): string {
  const lasting = has('account_deletion_requests', 'account_id')
    ? 'AND NOT EXISTS (SELECT FROM public.account_deletion_requests r WHERE r.account_id = a.id)'
    : '';
  return `SELECT a.username FROM public.accounts a
WHERE a.domain IS NULL AND a.id > 0 AND a.suspended_at IS NOT NULL ${lasting} ORDER BY a.id LIMIT 1;`;
}
