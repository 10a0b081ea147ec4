import { stringify } from 'yaml';
import type { MediaPlace } from '../backups/report.js';
import type { InstanceConfig } from '../config/configuration.js';
import { parseConfiguration } from '../config/load.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { databaseConnection, otherRedisRoles } from './connections.js';
import type { Candidate } from './discover.js';
import { findDatabaseBehindPooler, findRedisDump } from './find-behind.js';
import { parseEnvFile } from './env-file.js';
import { healthAddress, inspectParts, type InspectedParts } from './inspect.js';
import type { FoundDatabase, FoundRedis } from './instance.js';
import { mediaPlace } from './media-place.js';
import { isHealthy } from './services.js';
import { mastodonVersion } from './survey.js';
import type { Unit } from './units.js';

/** A key that a configuration must have, and why. */
export interface NeededKey {
  /** Under the instance: `['mastodon', 'media']`. */
  readonly path: readonly string[];
  readonly value: unknown;
  /** A sentence; '' for none. */
  readonly why: string;
  /** Written as a comment, since somebody has to say it. */
  readonly toSay?: boolean;
}

/** An instance as `init` describes it: what was found, what the configuration must say, what is wrong. */
export interface LookedAt {
  readonly domain: string;
  readonly root: string;
  readonly foundBy: Candidate['foundBy'];
  readonly envFile: string;
  readonly appUser: string;
  readonly version: string | null;
  /** Keys of the configuration that cannot be found out by a run, or that differ from the default. */
  readonly keys: readonly NeededKey[];
  readonly units: readonly Unit[] | Failure;
  /** Variables that a unit sets, against the env file or beside it. */
  readonly overridden: readonly string[];
  readonly database: (FoundDatabase & { readonly pooler: string | null; readonly byUrl: boolean }) | Failure;
  readonly redis:
    (FoundRedis & { readonly others: readonly ('sidekiq' | 'cache')[]; readonly tells: boolean }) | Failure;
  readonly media: MediaPlace | ObjectStorage | Failure;
  readonly health: { readonly address: string | null; readonly answers: boolean };
}

export interface ObjectStorage {
  readonly storage: 'S3' | 'Swift' | 'Azure';
  /** Its bucket or container; '' when the env file names none. */
  readonly bucket: string;
}

/**
 * Looks closely at a candidate; read-only. What the database, Redis or the media refuse is part of the answer.
 *
 * @throws Failure `Refused` without a root or an env file that can be read, `NotFound` for an env file that is not that
 *   of a Mastodon (no LOCAL_DOMAIN); what `Host.run` throws.
 */
export async function lookAt(host: Host, candidate: Candidate): Promise<LookedAt> {
  const keys = [...namedKeys(candidate)];
  const config = () => draft(candidate.root, keys);
  let parts = await inspectParts(host, config());
  const { env, looked, envFile } = parts;
  const domain = (env.get('LOCAL_DOMAIN') ?? '').toLowerCase();
  if (domain === '') {
    throw new Failure(
      'NotFound',
      `${envFile} on ${host.name} is no env file of Mastodon's (no LOCAL_DOMAIN).`,
      {
        host: host.name,
      },
    );
  }
  const hidden = await Promise.all([databaseKeys(host, parts, config()), redisKeys(host, parts)]);
  const found = hidden.flat();
  if (found.length > 0) {
    keys.push(...found);
    parts = await inspectParts(host, config());
  }
  const storage = objectStorage(env);
  if (storage !== null) {
    keys.push({ path: ['mastodon', 'media'], value: 'none', why: objectStorageWords(storage) });
  }
  if (parts.units.status === 'rejected') keys.push(servicesToSay);
  const address = healthAddress(config(), env);
  const tells = !keys.some(({ path }) => path[1] === 'redisDump');
  return {
    ...{ domain, root: candidate.root, foundBy: candidate.foundBy, envFile, appUser: looked.appUser },
    version: mastodonVersion(looked.versionFile),
    keys,
    units: valueOrFailure(parts.units),
    overridden: overriddenVariables(parseEnvFile(looked.env ?? ''), env),
    database: withMore(valueOrFailure(parts.database), {
      pooler: poolerOf(env, found),
      byUrl: (env.get('DATABASE_URL') ?? '') !== '',
    }),
    redis: withMore(valueOrFailure(parts.redis), { others: otherRedisRoles(env), tells }),
    media: storage ?? (await mediaOf(host, parts)),
    health: { address, answers: await isHealthy(host, { health: address, domain }) },
  };
}

/** A configuration's instance with these keys and defaults for the rest. */
function draft(root: string, keys: readonly NeededKey[]): InstanceConfig {
  const input: Record<string, Record<string, unknown>> = { mastodon: { root } };
  for (const { path, value, toSay } of keys) {
    const [section = '', key = ''] = path;
    if (toSay !== true) input[section] = { ...input[section], [key]: value };
  }
  const name = 'instance.invalid';
  const text = stringify({
    instances: { [name]: { host: 'local', ...input } },
    offsites: { none: { kind: 'restic', repository: '/none', passwordFile: 'none' } },
  });
  const config = parseConfiguration(text, '/permafrost.yaml', {}).instances[name];
  if (config === undefined) throw new Failure('Unexpected', `The draft of ${root} has lost its instance.`);
  return config;
}

function namedKeys({ envFile, units }: Candidate): NeededKey[] {
  return [
    ...(envFile === undefined
      ? []
      : [
          {
            path: ['mastodon', 'envFile'],
            value: envFile,
            why: 'There is no .env.production in the root: the units read this one.',
          },
        ]),
    ...(units === undefined
      ? []
      : [
          {
            path: ['mastodon', 'services'],
            value: { kind: 'systemd', units: units.map((name) => name.replace(/\.service$/, '')) },
            why: 'Their WorkingDirectory is not the root, so they are named.',
          },
        ]),
  ];
}

const servicesToSay: NeededKey = {
  path: ['mastodon', 'services'],
  value: {
    kind: 'commands',
    names: ['web', 'sidekiq', 'streaming'],
    start: [['/path/of/your/supervisor', 'start', 'web'], ['…'], ['…']],
    stop: [['/path/of/your/supervisor', 'stop', 'web'], ['…'], ['…']],
    status: [['/path/of/your/supervisor', 'status', 'web'], ['…'], ['…']],
  },
  why: 'No systemd unit was found that runs Mastodon. Say how its services are stopped and started (exit code 0 of status: it runs), or name units: { kind: systemd, units: [ … ] }.',
  toSay: true,
};

async function databaseKeys(host: Host, parts: InspectedParts, config: InstanceConfig): Promise<NeededKey[]> {
  if (parts.database.status === 'fulfilled') return [];
  const place = await findDatabaseBehindPooler(host, parts.env, parts.looked, config).catch(() => null);
  if (place === null) return [];
  const why =
    'The env file names a pooler (PgBouncer), through which a dump cannot go; PostgreSQL itself answers here.';
  return [
    { path: ['database', 'host'], value: place.host, why },
    { path: ['database', 'port'], value: place.port, why: '' },
  ];
}

async function redisKeys(host: Host, parts: InspectedParts): Promise<NeededKey[]> {
  if (parts.redis.status === 'fulfilled') return [];
  const found = await findRedisDump(host, parts.env, parts.looked.appUser).catch(() => null);
  if (found === null) return [];
  const why = found.seen
    ? 'Redis does not say where its dump is (CONFIG is renamed or forbidden); its process does.'
    : 'Redis does not say where its dump is (CONFIG is renamed or forbidden). A GUESS: check it.';
  return [{ path: ['mastodon', 'redisDump'], value: found.path, why }];
}

async function mediaOf(host: Host, { files, looked }: InspectedParts): Promise<MediaPlace | Failure> {
  const found = valueOrFailure(files);
  if (found instanceof Failure) return found;
  const missing = new Failure('Refused', 'There is no media folder.', { host: host.name });
  if (found.media === null) return missing;
  const media = { path: found.media, cache: 'exclude' as const };
  return (await mediaPlace(host, { media, appUser: looked.appUser })) ?? missing;
}

/** S3 before Swift before Azure (mastodon/mastodon config/initializers/paperclip.rb). */
export function objectStorage(env: ReadonlyMap<string, string>): ObjectStorage | null {
  const kinds = [
    ['S3', 'S3_ENABLED', 'S3_BUCKET'],
    ['Swift', 'SWIFT_ENABLED', 'SWIFT_CONTAINER'],
    ['Azure', 'AZURE_ENABLED', 'AZURE_CONTAINER_NAME'],
  ] as const;
  const kind = kinds.find(([, enabled]) => env.get(enabled) === 'true');
  return kind === undefined ? null : { storage: kind[0], bucket: env.get(kind[2]) ?? '' };
}

function objectStorageWords({ storage, bucket }: ObjectStorage): string {
  const where = bucket === '' ? storage : `${storage}, "${bucket}"`;
  return `Media live in object storage (${where}) and are NOT in these backups: see to versioning or a second copy there.`;
}

const telling =
  /^(?:DB_|DATABASE_URL|REPLICA_|(?:CACHE_|SIDEKIQ_)?REDIS_|S3_|SWIFT_|AZURE_|PAPERCLIP_|LOCAL_DOMAIN|WEB_DOMAIN|SECRET_KEY_BASE|OTP_SECRET|ACTIVE_RECORD_)/;
const ofProcesses = new Set(['DB_POOL']);

/** Variables that the unit sets itself: those that the env file has otherwise, and those that a backup depends on. */
export function overriddenVariables(
  file: ReadonlyMap<string, string>,
  env: ReadonlyMap<string, string>,
): string[] {
  return [...env]
    .filter(([name, value]) => file.get(name) !== value && !ofProcesses.has(name))
    .filter(([name]) => telling.test(name) || file.has(name))
    .map(([name]) => name)
    .sort();
}

function poolerOf(env: ReadonlyMap<string, string>, keys: readonly NeededKey[]): string | null {
  if (!keys.some(({ path }) => path[0] === 'database')) return null;
  const { host, port } = databaseConnection(env);
  return `${host}:${String(port)}`;
}

function withMore<T extends object, More extends object>(
  found: T | Failure,
  more: More,
): (T & More) | Failure {
  return found instanceof Failure ? found : { ...found, ...more };
}

/** @throws what is no Failure: a defect. */
function valueOrFailure<T>(part: PromiseSettledResult<T>): T | Failure {
  if (part.status === 'fulfilled') return part.value;
  if (part.reason instanceof Failure) return part.reason;
  throw part.reason;
}
