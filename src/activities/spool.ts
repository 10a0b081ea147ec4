import { posix } from 'node:path';
import { z } from 'zod';
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
      login: `${facts.folder}/cache/restic`,
      media: asApp ? `${media.folder}/cache` : `${facts.folder}/cache/restic`,
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

/** Where is noted which index, by its ordinal, an off-site was last sealed with. */
async function sealedNote(host: Host, spool: Spool, domain: string, offsite: string): Promise<string> {
  return `${await lastIndexPath(host, spool, domain)}.sealed-${offsite}`;
}

/** The ordinal of the media index that an off-site was last sealed with; undefined when that is not known. */
export async function sealedOrdinal(
  host: Host,
  spool: Spool,
  domain: string,
  offsite: string,
): Promise<number | undefined> {
  const path = await sealedNote(host, spool, domain, offsite);
  const { stdout } = await host.run(['cat', '--', path], { as: spool.media.as, okCodes: [0, 1] });
  return /^\d+$/.test(stdout.trim()) ? Number(stdout) : undefined;
}

export async function noteSealedOrdinal(
  host: Host,
  spool: Spool,
  domain: string,
  offsite: string,
  ordinal: number,
): Promise<void> {
  const path = await sealedNote(host, spool, domain, offsite);
  const script = 'umask 077; mkdir -p -- "$(dirname "$1")" && cat > "$1.new" && mv -- "$1.new" "$1"';
  await host.run(['sh', '-c', script, 'sh', path], { as: spool.media.as, stdin: `${String(ordinal)}\n` });
}

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
