import { posix } from 'node:path';
import { z } from 'zod';
import { type BackupId, backupIdPattern } from '../backups/id.js';
import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';
import type { Instance } from '../mastodon/inspect.js';
import { keysFolder } from '../offsite/keys.js';
import type { RunRef } from './inputs.js';

/**
 * Where a run keeps what it has captured on the instance's host until it is off-site.
 *
 * - The spool, `<folder>/spool/<domain>` (0700): database, secrets, redis, and `facts`: what the manifest will say.
 * - Keys, in memory (`/dev/shm`): passwords and keys of off-sites, one folder for each user that needs them.
 * - The media's place: files of suspended accounts are readable by Mastodon's user and root alone, so where the login
 *   user is not root, what reads the media runs as Mastodon's user and keeps its index in a folder of that user.
 */
export interface Spool {
  readonly folder: string;
  readonly facts: string;
  /** Keys for the login user, and for Mastodon's user. */
  readonly keys: { readonly login: string; readonly app: string };
  readonly media: { readonly as: Identity; readonly folder: string; readonly keys: string };
  /** The tools' caches, a folder for each kind of off-site. */
  readonly cache: { readonly login: string; readonly media: string };
}

export async function spoolOf(host: Host, instance: Pick<Instance, 'appUser'>, run: RunRef): Promise<Spool> {
  const facts = await host.facts();
  const folder = `${facts.folder}/spool/${run.instance}`;
  const whose = { folder: facts.folder, instance: run.instance, run: run.backup };
  const login = keysFolder(facts.user, whose);
  const app = keysFolder(instance.appUser, whose);
  const asApp = !facts.root && facts.user !== instance.appUser;
  const media = asApp
    ? { as: { user: instance.appUser }, folder: `/var/tmp/permafrost-${run.instance}`, keys: app }
    : { as: 'login' as const, folder: `${folder}/media`, keys: login };
  return {
    folder,
    facts: `${folder}/facts`,
    keys: { login, app },
    media,
    cache: {
      login: `${facts.folder}/cache`,
      media: asApp ? `${media.folder}/cache` : `${facts.folder}/cache`,
    },
  };
}

/** Where the password of a Redis on another machine is handed over to Mastodon's user. */
export function redisPasswordFile(spool: Spool): string {
  return `${spool.keys.app}/redis-password`;
}

/** Where the index of the last sealed backup's media stays between nights. */
export async function lastIndexPath(host: Host, spool: Spool, domain: string): Promise<string> {
  const { folder } = await host.facts();
  return spool.media.as === 'login' ? `${folder}/index/${domain}.index` : `${spool.media.folder}/last.index`;
}

/** What the indexes that an off-site was sealed with are called: this, the backup's id, a dot and the off-site's turn. */
async function sealedIndexPrefix(host: Host, spool: Spool, domain: string, offsite: string): Promise<string> {
  return `${await lastIndexPath(host, spool, domain)}.on-${offsite}.`;
}

export interface SealedIndex {
  readonly path: string;
  readonly backup: BackupId;
  /** How many backups with media were sealed on this off-site before that one, as far as the host remembers. */
  readonly turn: number;
}

/** The media index that an off-site was last sealed with, and of which backup; undefined when that is not known. */
export async function sealedIndex(
  host: Host,
  spool: Spool,
  domain: string,
  offsite: string,
): Promise<SealedIndex | undefined> {
  const prefix = await sealedIndexPrefix(host, spool, domain, offsite);
  const script = 'for f in "$1"*; do [ ! -f "$f" ] || printf "%s\\n" "$f"; done';
  const { stdout } = await host.run(['sh', '-c', script, 'sh', prefix], { as: spool.media.as });
  const found = stdout.split('\n').flatMap((path): SealedIndex[] => {
    const [, backup, turn = '0'] = /^([^.]*)(?:\.(\d{1,9}))?$/.exec(path.slice(prefix.length)) ?? [];
    return backup !== undefined && backupIdPattern.test(backup) ? [{ path, backup, turn: Number(turn) }] : [];
  });
  return found.sort((one, other) => (one.path < other.path ? -1 : 1)).at(-1);
}

/**
 * The turn of an off-site in a backup: the next one, whichever backups it did not get. A backup that is sealed again
 * keeps its own.
 *
 * @param last what the off-site was last sealed with.
 */
export function turnOf(backup: BackupId, last: SealedIndex | undefined): number {
  if (last === undefined) return 0;
  return last.backup === backup ? last.turn : last.turn + 1;
}

/** Keeps the index that an off-site was sealed with: one file with that of other off-sites, as long as they keep step. */
export async function keepSealedIndex(
  host: Host,
  spool: Spool,
  run: RunRef,
  offsite: string,
  index: string,
): Promise<void> {
  const prefix = await sealedIndexPrefix(host, spool, run.instance, offsite);
  const turn = turnOf(run.backup, await sealedIndex(host, spool, run.instance, offsite));
  const script = `${keepFile} || exit 1
for f in "$3"*; do [ "$f" = "$2" ] || rm -f -- "$f"; done
rm -f -- "$4"`; // of version 0.2
  const kept = `${prefix}${run.backup}.${String(turn)}`;
  const formerNote = `${await lastIndexPath(host, spool, run.instance)}.sealed-${offsite}`;
  await host.run(['sh', '-c', script, 'sh', index, kept, prefix, formerNote], {
    as: spool.media.as,
    timeoutMs: 600_000,
  });
}

/** Shell: puts the file $1 at $2, whole or not at all, without a copy where it lies on the same disk. */
export const keepFile = `umask 077; mkdir -p -- "$(dirname "$2")" || exit 1
[ "$1" -ef "$2" ] || {
  { ln -f -- "$1" "$2.new" 2> /dev/null || cp -- "$1" "$2.new"; } && mv -f -- "$2.new" "$2"
}`;

/** Remembers what a step found, on the host, for the manifest: Temporal sees none of it. */
export async function writeFacts(host: Host, spool: Spool, name: string, facts: unknown): Promise<void> {
  await host.putFile(posix.join(spool.facts, `${name}.json`), JSON.stringify(facts), 0o600);
}

/** Takes facts back that are no longer true. */
export async function forgetFacts(host: Host, spool: Spool, name: string): Promise<void> {
  await host.run(['rm', '-f', '--', posix.join(spool.facts, `${name}.json`)]);
}

/** @returns undefined when the step did not run. @throws Failure `Unexpected` when the facts are not of this form. */
export async function readFacts<T>(
  host: Host,
  spool: Spool,
  name: string,
  schema: z.ZodType<T>,
): Promise<T | undefined> {
  const path = posix.join(spool.facts, `${name}.json`);
  const { exitCode, stdout } = await host.run(['cat', '--', path], {
    okCodes: [0, 1],
    maxOutputBytes: 64 << 20,
  });
  if (exitCode !== 0) return undefined;
  const parsed = schema.safeParse(JSON.parse(stdout));
  if (!parsed.success) {
    throw new Failure(
      'Unexpected',
      `${path} on ${host.name} is not what it should be: ${z.prettifyError(parsed.error)}`,
      {
        host: host.name,
        next: 'run the backup again',
      },
    );
  }
  return parsed.data;
}

/** As `readFacts`, for facts that an earlier step of this run must have left. */
export async function needFacts<T>(host: Host, spool: Spool, name: string, schema: z.ZodType<T>): Promise<T> {
  const facts = await readFacts(host, spool, name, schema);
  if (facts !== undefined) return facts;
  throw new Failure(
    'Unexpected',
    `the spool on ${host.name} lacks ${name}: another run or a person has emptied it`,
    {
      host: host.name,
      next: 'run the backup again',
    },
  );
}
