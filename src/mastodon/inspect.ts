import type { InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import { anyExitCode, type Host } from '../hosts/host.js';
import { otherRedisRoles } from './connections.js';
import { environmentOf, type EnvSource, envSources, webUnit } from './environment.js';
import { findFiles, type FoundFiles } from './find-files.js';
import { inspectDatabase } from './inspect-database.js';
import { inspectRedis } from './inspect-redis.js';
import type { FoundDatabase, FoundRedis, FoundServices, Instance } from './instance.js';
import { mastodonVersion, readPairs, survey, type Survey } from './survey.js';
import { findUnits, type Unit } from './units.js';

export * from './instance.js';

/**
 * Finds out everything about an instance that its configuration leaves open, by looking at its host. Read-only; four
 * round trips.
 *
 * @throws Failure `Refused` for what is not there or does not fit, naming what was looked for and which key of the
 *   configuration says it; what `Host.run` throws.
 */
export async function inspectInstance(host: Host, config: InstanceConfig): Promise<Instance> {
  return instanceOf(config, await inspectParts(host, config));
}

/** What is found of an instance, each part by itself: one that fails does not hide the others. */
export interface InspectedParts {
  readonly envFile: string;
  readonly looked: Survey;
  readonly env: ReadonlyMap<string, string>;
  readonly envSources: readonly EnvSource[];
  readonly units: PromiseSettledResult<Unit[]>;
  readonly database: PromiseSettledResult<FoundDatabase>;
  readonly redis: PromiseSettledResult<FoundRedis>;
  readonly files: PromiseSettledResult<FoundFiles>;
  readonly services: PromiseSettledResult<FoundServices>;
}

/**
 * Looks at everything that `inspectInstance` looks at.
 *
 * @throws Failure `Refused` without a root or an env file, which all else hangs on; what `Host.run` throws there.
 */
export async function inspectParts(host: Host, config: InstanceConfig): Promise<InspectedParts> {
  const { root } = config.mastodon;
  const envFile = config.mastodon.envFile ?? `${root}/.env.production`;
  const looked = await survey(host, root, envFile);
  if (looked.env === null) {
    throw new Failure(
      'Refused',
      `There is no env file ${envFile} on ${host.name} that ${looked.appUser} may read.`,
      {
        host: host.name,
        next: 'Say where it is with mastodon.envFile in the configuration.',
      },
    );
  }
  const [units] = await Promise.allSettled([unitsOf(host, config, looked)]);
  const found = units.status === 'fulfilled' ? units.value : [];
  const { env, sources } = await effectiveEnv(host, looked, envFile, found);
  const [database, redis, files, services] = await Promise.allSettled([
    inspectDatabase(host, config, env, looked),
    inspectRedis(host, config, env, looked.appUser),
    findFiles(host, config, looked, env, found),
    servicesOf(host, config, found),
  ]);
  return { envFile, looked, env, envSources: sources, units, database, redis, files, services };
}

/** The instance that these parts make. @throws what the first of them that failed has thrown. */
export function instanceOf(config: InstanceConfig, parts: InspectedParts): Instance {
  const { envFile, looked, env, envSources } = parts;
  valueOf(parts.units);
  const database = valueOf(parts.database);
  const redis = valueOf(parts.redis);
  const files = valueOf(parts.files);
  return {
    domain: config.domain,
    root: config.mastodon.root,
    envFile,
    env,
    envSources,
    appUser: looked.appUser,
    database,
    redis,
    media: files.media === null ? null : { path: files.media, cache: config.mastodon.mediaCache },
    services: valueOf(parts.services),
    health: healthAddress(config, env),
    extraFiles: files.extraFiles,
    versions: {
      mastodon: mastodonVersion(looked.versionFile),
      ruby: looked.rubyVersion === '' ? null : looked.rubyVersion,
      node: looked.nodeVersion === '' ? null : looked.nodeVersion,
    },
    warnings: [
      ...files.warnings,
      ...(otherRedisRoles(env).includes('sidekiq')
        ? [
            "Sidekiq's queues live in a Redis of their own (SIDEKIQ_REDIS_*), which is not part of the backup yet.",
          ]
        : []),
      ...(redis.local
        ? []
        : [`Redis runs on another machine (${redis.host}): its dump is fetched from there.`]),
    ],
  };
}

function valueOf<T>(part: PromiseSettledResult<T>): T {
  if (part.status === 'rejected') throw part.reason;
  return part.value;
}

/**
 * The services alone, with what it takes to call them up again: asks neither the database nor Redis, so that it works
 * when these are down.
 *
 * @throws Failure `Refused`; what `Host.run` throws.
 */
export async function inspectServices(
  host: Host,
  config: InstanceConfig,
): Promise<Pick<Instance, 'domain' | 'services' | 'health'>> {
  const { root } = config.mastodon;
  const envFile = config.mastodon.envFile ?? `${root}/.env.production`;
  const looked = await survey(host, root, envFile);
  const units = await unitsOf(host, config, looked);
  const { env } = await effectiveEnv(host, looked, envFile, units);
  return {
    domain: config.domain,
    services: await servicesOf(host, config, units),
    health: healthAddress(config, env),
  };
}

async function unitsOf(host: Host, config: InstanceConfig, looked: Survey): Promise<Unit[]> {
  const { services, root } = config.mastodon;
  if (services?.kind === 'commands') return [];
  if (!(await host.facts()).systemd) {
    throw new Failure(
      'Refused',
      `${host.name} is not run by systemd, so Mastodon's services cannot be found.`,
      {
        host: host.name,
        next: 'Say how they are started and stopped with mastodon.services (kind: commands) in the configuration.',
      },
    );
  }
  const units = await findUnits(host, looked.roots, services?.units);
  if (units.length > 0) return units;
  throw new Failure('Refused', `No systemd unit on ${host.name} has WorkingDirectory=${root}.`, {
    host: host.name,
    next: 'Name the units with mastodon.services.units in the configuration, or correct mastodon.root.',
  });
}

async function servicesOf(
  host: Host,
  config: InstanceConfig,
  units: readonly Unit[],
): Promise<FoundServices> {
  const { services } = config.mastodon;
  if (services?.kind !== 'commands') {
    return { kind: 'systemd', units: units.map(({ name, active, enabled }) => ({ name, active, enabled })) };
  }
  return {
    kind: 'commands',
    services: await Promise.all(
      services.services.map(async (service) => {
        const { exitCode } = await host.run(service.status, { okCodes: anyExitCode });
        return { ...service, active: exitCode === 0 };
      }),
    ),
  };
}

/** Prints path and text of each file that the patterns stand for and that may be read; with IFS empty spaces are kept. */
const readScript = `IFS=
for pattern do
  for path in $pattern; do
    if [ -f "$path" ] && [ -r "$path" ]; then printf '%s\\0' "$path"; cat -- "$path"; printf '\\0'; fi
  done
done
exit 0`;

/** The environment as the web process sees it, and what it is put together from. */
async function effectiveEnv(
  host: Host,
  { appUser, env: envText }: Pick<Survey, 'appUser' | 'env'>,
  envFile: string,
  units: readonly Unit[],
): Promise<{ env: Map<string, string>; sources: EnvSource[] }> {
  const web = webUnit(units);
  const as = (await host.facts()).root ? ('login' as const) : { user: appUser };
  const patterns = web?.environmentFiles ?? [];
  const { stdout } =
    patterns.length === 0
      ? { stdout: '' }
      : await host.run(['sh', '-c', readScript, 'sh', ...patterns], { as, cwd: '/' });
  const read = readPairs(stdout);
  const sources = envSources(
    envFile,
    web,
    read.map(([path]) => path),
  );
  return { env: environmentOf(sources, new Map([[envFile, envText ?? ''], ...read])), sources };
}

/** Where Puma listens (mastodon/mastodon config/puma.rb: SOCKET, else BIND and PORT). */
export function healthAddress(config: InstanceConfig, env: ReadonlyMap<string, string>): string | null {
  if (config.mastodon.health !== undefined) return config.mastodon.health;
  if ((env.get('SOCKET') ?? '') !== '') return null;
  const bind = env.get('BIND') ?? '';
  const everywhere = ['', '0.0.0.0', '::', '[::]', 'localhost'].includes(bind);
  return `http://${everywhere ? '127.0.0.1' : bind}:${env.get('PORT') ?? '3000'}/health`;
}
