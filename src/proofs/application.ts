import { posix } from 'node:path';
import type { Check, Proof } from '../backups/check.js';
import { formatDuration } from '../backups/duration.js';
import type { Manifest } from '../backups/manifest.js';
import type { MediaRecord } from '../backups/media-index.js';
import type { DrillApplication, InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { schemaAt } from '../mastodon/database-schema.js';
import type { DatabaseAccess } from '../mastodon/psql.js';
import { readMediaIndexFile } from '../offsite/receive.js';
import { inNamespace, type Namespaced } from '../scratch/namespace.js';
import { startScratchRedis } from '../scratch/redis.js';
import type { Scratch } from '../scratch/scratch.js';
import { booted, lastWords } from './application-boot.js';
import { applicationLooks } from './application-checks.js';
import { applicationEnvironment, fillIn } from './application-environment.js';
import { type ApplicationSample, sampleOf } from './application-sample.js';
import { listeningSockets, provenCutOff } from './application-ways-out.js';
import { webOf } from './application-web.js';
import { prove, proveAll } from './check.js';

export interface ToProveOfApplication {
  readonly scratch: Scratch;
  /** The restored database in the scratch's cluster, over its socket, with the role that the application is to have. */
  readonly database: DatabaseAccess;
  /** Of the backup's secrets: `archivedEnvironment`. Holds secrets. */
  readonly env: ReadonlyMap<string, string>;
  readonly manifest: Manifest;
  readonly application: DrillApplication;
  /**
   * Restored media (any sample) in a folder that the application's user can read, and the plain index on the host; null
   * without.
   */
  readonly media: { readonly folder: string; readonly index: string } | null;
  readonly tell?: (progress: { subject: string }) => void;
}

/** In a network of its own every port is free: Puma's usual one. */
const port = 3000;
const jobName = 'application';
/** What `{scratch}` stands for, in the scratch: a folder of the application's user, which goes with it. */
const ownFolder = 'application';

/** @throws Failure `ConfigInvalid` when the configuration does not say how the application is started. */
export function needApplication({ domain, drill }: InstanceConfig): DrillApplication {
  if (drill.application !== undefined) return drill.application;
  throw new Failure(
    'ConfigInvalid',
    `the configuration does not say how Mastodon's code is started for a drill`,
    {
      next: `write instances.${domain}.drill.application: { command: [bundle, exec, puma, -C, config/puma.rb], directory: /home/mastodon/live, user: mastodon } (docs/drill-application.md), or choose another depth: --depth database`,
    },
  );
}

/**
 * Boots Mastodon's web process on the restored database and an empty Redis, in a namespace without a way out, and asks it
 * for what the database says it holds. Sidekiq is never started; nothing is mailed or sent (reference/mastodon.md §4.5).
 * Check the actors' keys before: Mastodon makes those anew that are missing.
 *
 * Safe to run again after a worker's death: what that has left is ended first.
 *
 * @returns what was proven; `bootMs`, from the start until it answered, null when it did not.
 * @throws Failure `ToolMissing` when the command is not there; what hosts throw.
 */
export async function proveApplication(
  given: ToProveOfApplication,
): Promise<{ proof: Proof; bootMs: number | null }> {
  const { scratch, application } = given;
  given.tell?.({ subject: 'sample' });
  const sample = await sampled(given);
  const user = application.user ?? scratch.user;
  await scratch.admit(user);
  await scratch.own(ownFolder, user);
  const redis = await startScratchRedis(scratch);
  try {
    const environment = await environmentOf(given, user, redis.socket);
    const gate = posix.join(await scratch.place('gate', 0o711), 'open');
    const binds = await bindsOf(given);
    const command = application.command.map((word) => fillIn(word, placesOf(given)));
    await ended(scratch, gate);
    const sockets = await listeningSockets(scratch.host);
    const namespace = await inNamespace(scratch, jobName, behind(gate, command), {
      ...{ env: environment, cwd: application.directory, user, binds },
    });
    try {
      const outside = sockets.filter((path) => !path.startsWith(`${scratch.folder}/`));
      const closed = await prove('no-way-out', () => provenCutOff(namespace, outside));
      // What could get out is never started.
      if (!closed.passed) return { proof: { checks: [closed], notProven: [] }, bootMs: null };
      await scratch.host.putFile(gate, '', 0o644);
      const running = { namespace, environment, sample, closed, serves: binds.length > 0 };
      const { proof, bootMs } = await proveRunning(given, running);
      return { proof: { ...proof, notProven: [...notContained(user), ...proof.notProven] }, bootMs };
    } finally {
      await namespace.stop();
    }
  } finally {
    await redis.stop();
  }
}

/** Root keeps the rights that a container engine needs: he could take the covers off the host's sockets. */
function notContained(user: string): string[] {
  const root =
    'no-way-out: the application ran as root, who has no network either, but could undo the rest of what shuts it in (drill.application.user)';
  return user === 'root' ? [root] : [];
}

/** What an attempt that is no more has left: the next one begins with a closed gate, and with today's sockets. */
async function ended({ host, jobId }: Scratch, gate: string): Promise<void> {
  const former = host.job(jobId(jobName));
  await former.cancel();
  await former.forget();
  await host.run(['rm', '-f', '--', gate]);
}

interface Running {
  readonly namespace: Namespaced;
  readonly environment: ReadonlyMap<string, string>;
  readonly sample: ApplicationSample;
  readonly closed: Check;
  /** The restored media lie where the application serves files from. */
  readonly serves: boolean;
}

async function proveRunning(given: ToProveOfApplication, running: Running) {
  const { application, manifest, media, tell, env, scratch } = given;
  const { namespace, environment, sample, closed, serves } = running;
  const { host } = scratch;
  const localDomain = env.get('LOCAL_DOMAIN') ?? manifest.instance;
  const webDomain = valueOf(env, 'WEB_DOMAIN') ?? localDomain;
  const web = webOf({
    ...{ namespace, port, domain: webDomain, closed: closedBy(env) },
    lastWords: () => lastWords({ namespace, environment }),
  });
  let bootMs: number | null = null;
  const boots = await prove('boots', async () => {
    const booting = () => tell?.({ subject: 'boot' });
    bootMs = await booted({ namespace, web, application, environment, host: host.name, tell: booting });
    return `answers ${application.health} after ${formatDuration(bootMs)}`;
  });
  const before = [closed, boots];
  if (!boots.passed) return { proof: { checks: before, notProven: [] }, bootMs };
  const looks = applicationLooks({
    ...{ host, web, sample, manifest, localDomain, webDomain },
    vapidPublicKey: valueOf(env, 'VAPID_PUBLIC_KEY') ?? null,
    media:
      media === null ? null : { folder: media.folder, records: await recordsOf(host, media.index, sample) },
    servesMedia: serves || containsMedia(application),
  });
  const proof = await proveAll(
    looks.map(({ name, look }) => ({
      name,
      look: () => {
        tell?.({ subject: name });
        return look();
      },
    })),
  );
  return { proof: { checks: [...before, ...proof.checks], notProven: proof.notProven }, bootMs };
}

async function sampled({ scratch, database, media }: ToProveOfApplication): Promise<ApplicationSample> {
  const { host } = scratch;
  const schema = await schemaAt(host, database);
  return sampleOf(host, database, schema, media?.folder ?? null);
}

/** What the index says of the media that are asked for: the index of a large instance does not go into memory. */
async function recordsOf(host: Host, index: string, { media }: ApplicationSample) {
  const wanted = new Set(media.map(({ path }) => path));
  const records = new Map<string, MediaRecord>();
  if (wanted.size === 0) return records;
  for await (const record of readMediaIndexFile(host, index)) {
    if (wanted.has(record.path)) records.set(record.path, record);
  }
  return records;
}

async function environmentOf(given: ToProveOfApplication, user: string, redisSocket: string) {
  const { application, database, env, scratch } = given;
  const { stdout } = await scratch.host.run(['getent', 'passwd', user]);
  const own = Object.entries(application.environment).map(([name, value]) => [
    name,
    fillIn(value, placesOf(given)),
  ]);
  return applicationEnvironment({
    ...{ backup: env, own: Object.fromEntries(own), database: database.database, redisSocket, port, user },
    media: placesOf(given).media,
    home: stdout.trim().split(':')[5] ?? '/',
  });
}

function placesOf({ scratch, database, media }: ToProveOfApplication) {
  const { host: sockets } = database.database;
  return {
    ...{ port, sockets, media: media?.folder ?? posix.join(scratch.folder, 'no-media') },
    scratch: posix.join(scratch.folder, ownFolder),
  };
}

/** Waits for a file, so that nothing of the application runs before the namespace is proven to be closed. */
function behind(gate: string, command: readonly string[]): string[] {
  const script = 'gate=$1; shift; until [ -e "$gate" ]; do sleep 0.05; done; exec "$@"';
  return ['sh', '-c', script, 'sh', gate, ...command];
}

/**
 * The restored media over the folder that Rails serves `/system` from, where the code has one; a living server's own
 * media are out of its reach then.
 */
async function bindsOf({ scratch, application, media }: ToProveOfApplication) {
  if (media === null) return [];
  const at = posix.join(application.directory, 'public/system');
  const { exitCode } = await scratch.host.run(['test', '-d', at], { as: 'privileged', okCodes: [0, 1] });
  return exitCode === 0 ? [{ from: media.folder, at }] : [];
}

/** A container is given them by its command. */
function containsMedia({ command }: DrillApplication): boolean {
  return command.some((word) => word.includes('{media}'));
}

/** What keeps people who have not logged in from asking (mastodon/documentation content/en/admin/config.md). */
function closedBy(env: ReadonlyMap<string, string>): string | null {
  const switches = ['LIMITED_FEDERATION_MODE', 'WHITELIST_MODE', 'DISALLOW_UNAUTHENTICATED_API_ACCESS'];
  return switches.find((name) => env.get(name) === 'true') ?? null;
}

function valueOf(env: ReadonlyMap<string, string>, name: string): string | undefined {
  const value = env.get(name);
  return value === '' ? undefined : value;
}
