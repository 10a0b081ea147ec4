import type { InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { otherRedisRoles } from './connections.js';
import { parseEnvFile } from './env-file.js';
import { findFiles } from './find-files.js';
import { inspectDatabase } from './inspect-database.js';
import { inspectRedis } from './inspect-redis.js';
import type { FoundServices, Instance } from './instance.js';
import { mastodonVersion, survey, type Survey } from './survey.js';
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
  const units = await unitsOf(host, config, looked);
  const env = await effectiveEnv(host, looked.appUser, looked.env, units);
  refuseOtherDomain(host, config.domain, envFile, env);
  const [database, redis, files, services] = await Promise.all([
    inspectDatabase(host, config, env, looked),
    inspectRedis(host, config, env, looked.appUser),
    findFiles(host, config, looked, env, units),
    servicesOf(host, config, units),
  ]);
  return {
    domain: config.domain,
    root,
    envFile,
    env,
    appUser: looked.appUser,
    database,
    redis,
    media: files.media === null ? null : { path: files.media, cache: config.mastodon.mediaCache },
    services,
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
  const looked = await survey(host, root, config.mastodon.envFile ?? `${root}/.env.production`);
  const units = await unitsOf(host, config, looked);
  const env = await effectiveEnv(host, looked.appUser, looked.env ?? '', units);
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
  const anyCode = Array.from({ length: 256 }, (_, code) => code);
  return {
    kind: 'commands',
    services: await Promise.all(
      services.services.map(async (service) => {
        const { exitCode } = await host.run(service.status, { okCodes: anyCode });
        return { ...service, active: exitCode === 0 };
      }),
    ),
  };
}

/**
 * The environment as the web process sees it: what systemd sets wins over the env file, and a unit's
 * `EnvironmentFile=` over its `Environment=` (systemd.exec(5); dotenv never overrides what is set).
 */
async function effectiveEnv(
  host: Host,
  appUser: string,
  envText: string,
  units: readonly Unit[],
): Promise<Map<string, string>> {
  const env = parseEnvFile(envText);
  const web =
    units.find((unit) => /web|puma/.test(unit.name)) ?? units.find((unit) => !/streaming/.test(unit.name));
  for (const [name, value] of web?.environment ?? []) env.set(name, value);
  const as = (await host.facts()).root ? ('login' as const) : { user: appUser };
  for (const file of web?.environmentFiles ?? []) {
    const { stdout } = await host.run(['cat', '--', file], { as, okCodes: [0, 1] });
    for (const [name, value] of parseEnvFile(stdout)) env.set(name, value);
  }
  return env;
}

function refuseOtherDomain(
  host: Host,
  domain: string,
  envFile: string,
  env: ReadonlyMap<string, string>,
): void {
  const found = env.get('LOCAL_DOMAIN') ?? '';
  if (found.toLowerCase() === domain) return;
  const says = found === '' ? 'names no LOCAL_DOMAIN' : `is that of ${found} (LOCAL_DOMAIN)`;
  throw new Failure('Refused', `The env file ${envFile} on ${host.name} ${says}, not of ${domain}.`, {
    host: host.name,
    next: 'Name the instance by its LOCAL_DOMAIN under instances in the configuration, or correct mastodon.root or mastodon.envFile.',
  });
}

/** Where Puma listens (mastodon/mastodon config/puma.rb: SOCKET, else BIND and PORT). */
function healthAddress(config: InstanceConfig, env: ReadonlyMap<string, string>): string | null {
  if (config.mastodon.health !== undefined) return config.mastodon.health;
  if ((env.get('SOCKET') ?? '') !== '') return null;
  const bind = env.get('BIND') ?? '';
  const everywhere = ['', '0.0.0.0', '::', '[::]', 'localhost'].includes(bind);
  return `http://${everywhere ? '127.0.0.1' : bind}:${env.get('PORT') ?? '3000'}/health`;
}
