import { Failure } from '../../src/errors.js';
import type { LookedAt } from '../../src/mastodon/look.js';
import { formatBytes, formatCount } from '../../src/terminal/format.js';

/** What was found, in an operator's words: for the summary, and for the comments of the configuration. */

export interface Finding {
  readonly name: string;
  readonly detail: string;
}

export interface Trouble {
  readonly problem: string;
  readonly next?: string;
}

/** In the order of a summary; what could not be found out is told by `troublesOf`. */
export function findingsOf(found: LookedAt): Finding[] {
  const findings: [string, string | null][] = [
    ['mastodon', mastodonText(found)],
    ['services', servicesText(found)],
    ['environment', environmentText(found)],
    ['database', databaseText(found)],
    ['redis', redisText(found)],
    ['media', mediaText(found)],
    ['health', healthText(found)],
  ];
  return findings.flatMap(([name, detail]) => (detail === null ? [] : [{ name, detail }]));
}

/** What stands between this instance and a backup, and what to do about it. */
export function troublesOf({ units, database, redis, media }: LookedAt): Trouble[] {
  return [units, database, redis, media].flatMap((part) => {
    if (!(part instanceof Failure)) return [];
    return [{ problem: part.message, ...(part.next === undefined ? {} : { next: part.next }) }];
  });
}

const how: Record<LookedAt['foundBy'], string> = {
  units: 'found by its systemd units',
  process: 'found by its running Puma',
  'env file': 'found by its env file',
  you: 'in the folder that you named',
};

function mastodonText({ version, root, foundBy, appUser }: LookedAt): string {
  const name = version === null ? 'version unknown' : version;
  return `${name}, in ${root}, of the user ${appUser}; ${how[foundBy]}`;
}

function servicesText({ units }: LookedAt): string | null {
  if (units instanceof Failure) return null;
  const names = (chosen: typeof units) => chosen.map(({ name }) => name.replace(/\.service$/, '')).join(', ');
  const stopped = units.filter(({ active }) => !active);
  const running = units.filter(({ active }) => active);
  const disabled = running.filter(({ enabled }) => !enabled);
  return [
    running.length === 0 ? '' : `${names(running)}: running`,
    stopped.length === 0 ? '' : `${names(stopped)}: not running`,
    disabled.length === 0 ? '' : `${names(disabled)}: not enabled, so down after a reboot`,
  ]
    .filter((part) => part !== '')
    .join('; ');
}

const variablesAtMost = 6;

function environmentText({ envFile, root, overridden }: LookedAt): string | null {
  const file = envFile === `${root}/.env.production` ? null : envFile;
  const more = overridden.length - variablesAtMost;
  const named = overridden.slice(0, variablesAtMost).join(', ');
  const units =
    overridden.length === 0
      ? null
      : `the web unit sets ${named}${more > 0 ? ` and ${formatCount(more, 'more', 'more')}` : ''} itself, which wins over the env file`;
  return [file, units].filter((part) => part !== null).join('; ') || null;
}

function databaseText({ database }: LookedAt): string | null {
  if (database instanceof Failure) return null;
  const { host, port, name, serverVersion, sizeBytes, pooler, byUrl } = database;
  const place = host.startsWith('/') ? `on the socket in ${host}` : `at ${host}:${String(port)}`;
  return [
    `${name}, ${formatBytes(sizeBytes)}, PostgreSQL ${serverVersion.split(' ')[0] ?? ''}, ${place}`,
    ...(database.local ? [] : ['on another machine']),
    ...(byUrl ? ['by DATABASE_URL'] : []),
    ...(pooler === null ? [] : [`behind a pooler at ${pooler}`]),
  ].join(', ');
}

function redisText({ redis }: LookedAt): string | null {
  if (redis instanceof Failure) return null;
  const place = redis.host.startsWith('/')
    ? `on the socket ${redis.host}`
    : `at ${redis.host}:${String(redis.port)}`;
  const others = redis.others.map((role) =>
    role === 'cache'
      ? 'the cache has a Redis of its own, which nobody misses'
      : "Sidekiq's queues have a Redis of their own, which is NOT in the backup yet",
  );
  return [
    [
      `${redis.version}, ${place}`,
      ...(redis.local ? [] : ['on another machine']),
      ...(redis.password === undefined ? [] : ['with a password']),
      ...(redis.aof ? ['with an append-only file'] : []),
    ].join(', '),
    ...(redis.tells ? [] : [`CONFIG is closed to us; its dump is ${redis.dump}`]),
    ...others,
  ].join('; ');
}

function mediaText({ media, root }: LookedAt): string | null {
  if (media instanceof Failure) return null;
  if ('storage' in media) {
    const where = media.bucket === '' ? '' : ` (${media.bucket})`;
    return `in object storage, ${media.storage}${where}: NOT in these backups`;
  }
  const remote = /^(?:nfs|cifs|smb|fuse\.sshfs|ceph|glusterfs)/.test(media.fstype);
  const elsewhere = media.mountPoint !== '/' && !`${root}/`.startsWith(`${media.mountPoint}/`);
  return [
    media.path,
    ...(elsewhere ? [`on a mount of its own, ${media.mountPoint}${remote ? ` (${media.fstype})` : ''}`] : []),
  ].join(', ');
}

function healthText({ health: { address, answers } }: LookedAt): string {
  if (address === null) return 'the web service listens on a socket only, so nothing is asked';
  return answers ? `${address} answers` : `${address} does not answer`;
}
