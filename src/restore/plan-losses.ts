import type { Manifest } from '../backups/manifest.js';
import type { PartName } from '../backups/parts.js';
import type { RestorePlan } from '../backups/restore-report.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { psql } from '../mastodon/psql.js';
import type { RestoreTarget } from './target.js';

/** Statuses' ids begin with the milliseconds of their time (mastodon/mastodon lib/mastodon/snowflake.rb). */
const sinceSql = `SET statement_timeout = '30s';
SELECT to_char((SELECT created_at FROM public.statuses ORDER BY id DESC LIMIT 1), 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
  (SELECT count(*) FROM public.statuses WHERE id > (extract(epoch FROM :'since'::timestamptz) * 1000)::bigint << 16 AND local),
  (SELECT count(*) FROM public.users WHERE created_at > (:'since'::timestamptz AT TIME ZONE 'UTC'))`;

/** What the instance has now and the backup has not. */
export async function lostSince(
  target: RestoreTarget,
  manifest: Manifest,
  parts: readonly PartName[],
  now = new Date(),
): Promise<RestorePlan['lost']> {
  const newest = manifest.database?.newestStatusAt ?? null;
  if (!parts.includes('database'))
    return { newestStatusAt: null, ageMs: null, detail: 'nothing of the database' };
  const moment = manifest.moment?.at ?? manifest.startedAt;
  const lost = { newestStatusAt: newest, ageMs: newest === null ? null : now.getTime() - Date.parse(newest) };
  const { host, database, admin } = target;
  if (database?.exists !== true || admin === null) {
    return { ...lost, detail: `there is no database to lose; the backup is of ${moment}` };
  }
  try {
    const access = { ...admin.access, database: { ...admin.access.database, name: database.name } };
    const [[latest = '', posts = '0', people = '0'] = []] = await psql(host, access, sinceSql, {
      variables: { since: moment },
    });
    return {
      ...lost,
      detail: `what happened after ${moment}: ${posts} posts of people here and ${people} new accounts; the newest post that is known here now is of ${latest || 'no time'}. It is kept for the undo.`,
    };
  } catch (error) {
    if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
    return {
      ...lost,
      detail: `what happened after ${moment}: the database there now cannot be asked how much that is`,
    };
  }
}

/** After an older database is back, this removes every newer upload. */
const orphansScript = `grep -lsrE -e 'remove[-_]orphans' /etc/cron* /var/spool/cron /etc/systemd/system 2> /dev/null; exit 0`;

/** What else on the host would do harm after a restore, a sentence each. */
export async function dangers(
  host: Host,
  target: RestoreTarget,
  parts: readonly PartName[],
): Promise<string[]> {
  if (!parts.includes('database') || target.media === null) return [];
  const { stdout } = await host.run(['sh', '-c', orphansScript], { as: target.as });
  return stdout
    .split('\n')
    .filter((path) => path !== '')
    .map(
      (path) =>
        `${path} runs \`tootctl media remove-orphans\`, which deletes every upload that is newer than the backup: stop it until you are sure that you keep this restore.`,
    );
}
