import type { Manifest } from '../backups/manifest.js';
import type { PartName } from '../backups/parts.js';
import type { RestoreAllowance } from '../backups/restore-report.js';
import type { InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';
import { type DatabaseConnection, databaseConnection, isOnThisMachine } from '../mastodon/connections.js';
import { mediaFolder } from '../mastodon/find-files.js';
import { directConnection } from '../mastodon/inspect-database.js';
import { inspectRedis } from '../mastodon/inspect-redis.js';
import { healthAddress, inspectParts, inspectServices, instanceOf } from '../mastodon/inspect.js';
import type { FoundRedis, Instance } from '../mastodon/instance.js';
import type { ServiceFacts } from '../mastodon/services.js';
import { mastodonVersion, survey, type Survey } from '../mastodon/survey.js';
import { type AdminAccess, findAdmin } from './admin.js';
import { dumpMajor, loadingClient, schemaOfCode } from './code.js';
import { isRoot, whoReplaces } from './who.js';
import { type Verdict, verdictOf } from './verdict.js';
import { judgeOccupant, type Occupant, occupantOf, requireDomain } from './whose.js';

export type { AdminAccess } from './admin.js';

/** The server that the database is restored on. Holds a secret: never log it whole. */
export interface TargetDatabase extends DatabaseConnection {
  /** Of the server. */
  readonly major: number;
  /** `15.18 (Debian 15.18-0+deb12u1)` */
  readonly serverVersion: string;
  /** Of the programs that fit both the server and the dump. */
  readonly binDir: string;
  /** The server runs on the target. */
  readonly local: boolean;
  /** A database of that name is there now. */
  readonly exists: boolean;
}

/** Where an instance is restored to, as it was found. Holds secrets: never log or return it whole. */
export interface RestoreTarget {
  readonly host: Host;
  readonly domain: string;
  readonly root: string;
  readonly envFile: string;
  readonly appUser: string;
  /** This domain lives there, or what is left of it. */
  readonly inPlace: boolean;
  /** The whole living instance; null when there is none, or it is damaged. */
  readonly live: Instance | null;
  /** The environment that it has now; null without an env file. */
  readonly livingEnv: ReadonlyMap<string, string> | null;
  /** The environment that the instance will have: the backup's with the part `secrets`, else the living one. */
  readonly env: ReadonlyMap<string, string>;
  /** null when neither database nor secrets are restored, or with secrets alone it is not reached. */
  readonly database: TargetDatabase | null;
  readonly admin: AdminAccess | null;
  /** Absolute, without symbolic links as far as it is there; null when media live elsewhere. */
  readonly media: string | null;
  /** null when it is not reached. */
  readonly redis: FoundRedis | null;
  /** None are known on an empty host: look again after the swap. */
  readonly services: ServiceFacts;
  /** Who replaces files: root where that can be had. */
  readonly as: Identity;
  /** Mastodon's code in the root; null when it does not say it. */
  readonly code: { readonly version: string | null; readonly schema: string | null };
  /** What was allowed on the way, and what else an operator should know, a sentence each. */
  readonly warnings: readonly string[];
}

export interface TargetWanted {
  readonly config: InstanceConfig;
  readonly host: Host;
  readonly manifest: Manifest;
  readonly parts: readonly PartName[];
  /** Of the backup's secrets (`archivedEnvironment`), where they are restored. */
  readonly env?: ReadonlyMap<string, string>;
  readonly allow?: readonly RestoreAllowance[];
}

/**
 * Looks at the host that an instance is restored to, whatever is left there. Read-only.
 *
 * @throws Failure `Refused` without Mastodon's code, without an env file where no secrets are restored, when the host is
 *   another instance's, and when the database server does not let us do what a restore has to; what `Host.run` throws.
 */
export async function findTarget(given: TargetWanted): Promise<RestoreTarget> {
  const { config, host, parts, allow = [] } = given;
  const { domain } = config;
  const { root } = config.mastodon;
  const envFile = config.mastodon.envFile ?? `${root}/.env.production`;
  const looked = await surveyed(host, root, envFile);
  const { appUser } = looked;
  const found = await living(host, config, looked);
  const env = given.env ?? found.env;
  if (env === null) {
    throw new Failure('Refused', `there is no env file ${envFile} on ${host.name} that ${appUser} may read`, {
      host: host.name,
      next: 'restore the secrets too (--parts database,secrets,media), or say where it is with mastodon.envFile in the configuration',
    });
  }
  const verdict = verdictOf(host, allow);
  requireDomain(verdict, domain, 'the env file of the backup', given.env ?? null);
  requireDomain(verdict, domain, `the env file ${envFile} on ${host.name}`, found.env);

  const server = await serverOf(given, looked, env, found.env, verdict);
  const ours =
    server !== null && judgeOccupant(verdict, { config, host, ...server, hasEnv: found.env !== null, env });
  const [as, schema, redis, services, media] = await Promise.all([
    whoReplaces(host),
    schemaOfCode(host, root, appUser),
    inspectRedis(host, config, env, appUser).catch((error: unknown) => notReached(error)),
    servicesOf(host, config, env),
    resolved(host, mediaFolder(config, env)),
  ]);
  if (parts.includes('secrets') && !(await isRoot(host, as))) {
    const { user } = await host.facts();
    throw new Failure(
      'Refused',
      `${user} on ${host.name} cannot become root, which it takes to put secrets in place`,
      {
        host: host.name,
        next: `log in there as root, or allow ${user} in /etc/sudoers.d: ${user} ALL=(ALL) NOPASSWD: ALL; or leave secrets out: --parts`,
      },
    );
  }
  if (parts.includes('redis') && redis === null) {
    throw new Failure(
      'Refused',
      `Redis of ${domain} does not answer on ${host.name}, and the part redis is to be restored`,
      {
        host: host.name,
        next: 'start it, and compare REDIS_* in the env file with what it accepts; or leave redis out: --parts',
      },
    );
  }
  return {
    ...{ host, domain, root, envFile, appUser, live: found.instance, livingEnv: found.env, env },
    inPlace: found.env !== null || ours,
    database: server?.database ?? null,
    admin: server?.admin ?? null,
    ...{ media, redis, services, as, warnings: verdict.warnings },
    code: { version: mastodonVersion(looked.versionFile), schema },
  };
}

/** The look at the root, saying what an empty host lacks. */
async function surveyed(host: Host, root: string, envFile: string): Promise<Survey> {
  try {
    return await survey(host, root, envFile);
  } catch (error) {
    if (!(error instanceof Failure) || error.type !== 'Refused') throw error;
    throw new Failure('Refused', error.message, {
      host: host.name,
      next: `install Mastodon's code there first, as its own user (docs.joinmastodon.org/admin/migrating, without mastodon:setup), or correct mastodon.root in the configuration`,
      cause: error,
    });
  }
}

/** What is there now, whole or not. */
async function living(
  host: Host,
  config: InstanceConfig,
  looked: Survey,
): Promise<{ instance: Instance | null; env: ReadonlyMap<string, string> | null }> {
  if (looked.env === null) return { instance: null, env: null };
  const found = await inspectParts(host, config);
  const { units, database, redis, files, services } = found;
  const whole = [units, database, redis, files, services].every(({ status }) => status === 'fulfilled');
  return { instance: whole ? instanceOf(config, found) : null, env: found.env };
}

interface Server {
  readonly database: TargetDatabase;
  readonly admin: AdminAccess;
  readonly occupant: Occupant;
}

/** Secrets alone need the server only where the password of its role changes with them. */
async function serverOf(
  given: TargetWanted,
  looked: Survey,
  env: ReadonlyMap<string, string>,
  livingEnv: ReadonlyMap<string, string> | null,
  verdict: Verdict,
): Promise<Server | null> {
  if (given.parts.includes('database')) return databaseOf(given, looked, env, livingEnv);
  if (!given.parts.includes('secrets')) return null;
  try {
    return await databaseOf(given, looked, env, livingEnv);
  } catch (error) {
    notReached(error);
    verdict.warnings.push(
      `Whether the database lets Mastodon in with the restored env file is not known: ${error instanceof Failure ? error.message.slice(0, 500) : ''}`,
    );
    return null;
  }
}

async function databaseOf(
  { config, host, manifest, parts }: TargetWanted,
  looked: Survey,
  env: ReadonlyMap<string, string>,
  livingEnv: ReadonlyMap<string, string> | null,
): Promise<Server> {
  const connection = directConnection(databaseConnection(env), config);
  const before = livingEnv === null ? null : directConnection(databaseConnection(livingEnv), config);
  // The server may still have the password of the living env file.
  const sameServer = before !== null && before.host === connection.host && before.port === connection.port;
  const any = loadingClient(host, looked.clients, 0, null);
  const { admin, major, serverVersion } = await findAdmin(
    host,
    [connection, ...(sameServer ? [before] : [])].map((one) => ({ ...one, name: connection.name })),
    { appUser: looked.appUser, binDir: any.binDir },
  );
  const { binDir } = loadingClient(host, looked.clients, major, dumpMajor(manifest.versions.pgDump));
  const withPrograms = { ...admin, access: { ...admin.access, binDir } };
  const occupant = await occupantOf(host, withPrograms.access, connection.name);
  if (!occupant.owned && parts.includes('database')) {
    throw new Failure(
      'Refused',
      `the database ${connection.name} belongs to ${occupant.owner}, so ${admin.access.database.user} may not rename it`,
      {
        host: host.name,
        next: `as an administrator of that server: ALTER DATABASE "${connection.name}" OWNER TO "${connection.user}"; or restore as root on the machine where PostgreSQL runs`,
      },
    );
  }
  return {
    database: {
      ...{ ...connection, pooled: false, major, serverVersion, binDir },
      ...{ local: isOnThisMachine(connection.host), exists: occupant.exists },
    },
    admin: withPrograms,
    occupant,
  };
}

function notReached(error: unknown): null {
  if (error instanceof Failure && error.type !== 'HostUnreachable') return null;
  throw error;
}

/** On an empty host the units come with the secrets. */
async function servicesOf(
  host: Host,
  config: InstanceConfig,
  env: ReadonlyMap<string, string>,
): Promise<ServiceFacts> {
  try {
    return await inspectServices(host, config);
  } catch (error) {
    notReached(error);
    return {
      domain: config.domain,
      services: { kind: 'systemd', units: [] },
      health: healthAddress(config, env),
    };
  }
}

async function resolved(host: Host, path: string | null): Promise<string | null> {
  if (path === null) return null;
  const { stdout } = await host.run(['realpath', '-m', '-z', '--', path]);
  return stdout.replace(/\0$/, '');
}
