/** SQL for what follows from the statuses and accounts that are there already; the server makes it by itself. */

/** Foreign keys are true as the rows are made, and are not checked one by one: a superuser's privilege. */
export const unchecked =
  "SET session_replication_role = replica; SET maintenance_work_mem = '512MB'; SET client_min_messages = warning;\n";

/** Conversations of a bench's statuses begin here: the sample's own are before it. */
export const firstConversation = 1_000_000;

/** All that hangs on the statuses from `id` on. Which of them have it hangs on the last digits of their ids. */
export function aroundStatuses(id: bigint): string {
  const ours = `s.id >= ${String(id)} AND s.conversation_id >= ${String(firstConversation)}`;
  const since = `FROM statuses s WHERE ${ours}`;
  const local = '(SELECT array_agg(account_id ORDER BY id) AS ids FROM users) locals';
  const pick = (by: string) => `locals.ids[1 + (${by}) % array_length(locals.ids, 1)]`;
  const hash = '(hashint8(s.id) & 268435455)';
  return `
INSERT INTO conversations (id, uri, created_at, updated_at, parent_status_id)
  SELECT DISTINCT ON (conversation_id) conversation_id,
    CASE WHEN local THEN NULL ELSE 'tag:' || substring(uri FROM 'https://([^/]+)') || ',2024:objectId=' || id END,
    created_at, updated_at, id
  ${since} ORDER BY conversation_id, id ON CONFLICT DO NOTHING;
INSERT INTO status_stats (status_id, replies_count, reblogs_count, favourites_count, created_at, updated_at)
  SELECT id, ${hash} % 3, ${hash} % 11, ${hash} % 17, created_at, updated_at ${since} AND ${hash} % 100 < 55;
INSERT INTO favourites (account_id, status_id, created_at, updated_at)
  SELECT ${pick(hash)}, s.id, s.created_at, s.created_at
  FROM statuses s, ${local} WHERE ${ours} AND ${hash} % 100 < 25;
INSERT INTO mentions (account_id, status_id, created_at, updated_at)
  SELECT ${pick(hash)}, s.id, s.created_at, s.created_at
  FROM statuses s, ${local} WHERE ${ours} AND ${hash} % 100 BETWEEN 20 AND 52;
INSERT INTO notifications (activity_id, activity_type, created_at, updated_at, account_id, from_account_id, type)
  SELECT s.id, 'Mention', s.created_at, s.created_at, ${pick(hash)}, s.account_id, 'mention'
  FROM statuses s, ${local} WHERE ${ours} AND ${hash} % 100 BETWEEN 20 AND 40;
INSERT INTO statuses_tags (status_id, tag_id)
  SELECT id, 1 + ${hash} % 14 ${since} AND ${hash} % 100 < 22;
INSERT INTO media_attachments (id, status_id, remote_url, created_at, updated_at, type, file_meta, account_id, blurhash)
  SELECT id + 3, id, replace(uri, '/statuses/', '/media/') || '.jpg', created_at, updated_at, 0,
    '{"original":{"width":1200,"height":800}}', account_id, left(md5(id::text) || md5(uri), 36)
  ${since} AND NOT local AND ${hash} % 100 > 84;
INSERT INTO preview_cards (url, title, description, created_at, updated_at)
  SELECT 'https://news.example/' || id, left(text, 70), left(text, 180), created_at, updated_at
  ${since} AND ${hash} % 100 BETWEEN 60 AND 66;
`;
}

/** All that hangs on the remote accounts from `id` on. */
export function aroundAccounts(id: bigint): string {
  // Only ours have ever been looked up again.
  const ours = `a.id >= ${String(id)} AND a.last_webfingered_at IS NOT NULL`;
  return `
INSERT INTO account_stats (account_id, statuses_count, following_count, followers_count, created_at, updated_at)
  SELECT a.id, a.id % 997, a.id % 313, a.id % 401, a.created_at, a.updated_at
  FROM accounts a WHERE ${ours};
INSERT INTO follows (account_id, target_account_id, created_at, updated_at, uri)
  SELECT a.id, locals.ids[1 + a.id % array_length(locals.ids, 1)], a.created_at, a.updated_at, a.uri || '/follows/' || a.id
  FROM accounts a, (SELECT array_agg(account_id ORDER BY id) AS ids FROM users) locals
  WHERE ${ours};
`;
}

/** Puts the indexes that no constraint needs aside: made at the end they are made in a tenth of the time. */
export const dropIndexes = `
CREATE TABLE bench_indexes AS
  SELECT indexdef FROM pg_indexes JOIN pg_class ON relname = indexname AND relnamespace = 'public'::regnamespace
  WHERE schemaname = 'public' AND tablename IN ('accounts', 'account_stats', 'statuses', 'status_stats', 'conversations',
      'media_attachments', 'favourites', 'mentions', 'notifications', 'follows', 'preview_cards')
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = pg_class.oid);
DO $$ DECLARE definition text; BEGIN
  FOR definition IN SELECT indexdef FROM bench_indexes LOOP
    EXECUTE 'DROP INDEX ' || substring(definition FROM 'INDEX (\\S+) ON');
  END LOOP;
END $$;
`;

/** Makes them again, and what else a database in use has. */
export const makeIndexes = `
DO $$ DECLARE definition text; BEGIN
  FOR definition IN SELECT indexdef FROM bench_indexes LOOP EXECUTE definition; END LOOP;
END $$;
DROP TABLE bench_indexes;
SELECT setval('conversations_id_seq', (SELECT max(id) FROM conversations)) \\g /dev/null
VACUUM ANALYZE;
CHECKPOINT;
`;

/** Which rows a night changes: the newer, the likelier; or all alike. */
export type Where = 'mostly new' | 'everywhere';

/** What a night's users change in rows that are there: a hundredth of the busiest tables' rows. */
export function changes(where: Where): string {
  // Four fifths among the newest twentieth, as what is new is what people answer to.
  const some = (table: string, share: number) => {
    const newest = `${table}_newest`;
    return where === 'everywhere'
      ? `SELECT id FROM ${table} WHERE random() < ${String(share)}`
      : `SELECT id FROM (SELECT id FROM ${table} ORDER BY id DESC LIMIT (SELECT count(*) / 20 FROM ${table})) ${newest}
           WHERE random() < 0.8 * ${String(share * 20)}
         UNION SELECT id FROM ${table} WHERE random() < 0.2 * ${String(share)}`;
  };
  return `
SELECT setseed(0.5) \\g /dev/null
UPDATE status_stats SET favourites_count = favourites_count + 1, updated_at = updated_at + interval '1 day'
  WHERE id IN (${some('status_stats', 0.01)});
UPDATE account_stats SET statuses_count = statuses_count + 1, last_status_at = updated_at, updated_at = updated_at + interval '1 day'
  WHERE id IN (${some('account_stats', 0.01)});
UPDATE accounts SET last_webfingered_at = last_webfingered_at + interval '1 day', updated_at = updated_at + interval '1 day'
  WHERE id IN (${some('accounts', 0.01)});
UPDATE statuses SET text = text || ' (edited)', edited_at = created_at, updated_at = updated_at + interval '1 day'
  WHERE id IN (${some('statuses', 0.001)});
`;
}
