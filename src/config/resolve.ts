import { isAbsolute, resolve, dirname, join } from 'node:path';
import type { HostSpec } from '../hosts/open.js';
import { present } from '../present.js';
import type {
  BackupSchedule,
  CommandService,
  Configuration,
  InstanceConfig,
  OffsiteConfig,
  ServicesConfig,
  TemporalConfig,
} from './configuration.js';
import type { ConfigurationInput } from './schema.js';
import type { InstanceInput } from './schema-instance.js';
import type { OffsiteInput } from './schema-offsite.js';

/** Makes the program's form of a checked configuration: defaults that depend on others, absolute paths. Pure. */
export function resolveConfiguration(
  input: ConfigurationInput,
  file: string,
  env: NodeJS.ProcessEnv,
): Configuration {
  const here = (path: string) => absolute(path, file, env);
  const state = here(input.state);
  const names = Object.keys(input.offsites);
  const temporal = resolveTemporal(input.temporal, env, here);
  return {
    file,
    instances: mapValues(input.instances, (instance, domain) =>
      resolveInstance(instance, domain, names, state, here),
    ),
    offsites: mapValues(input.offsites, (offsite, name) => resolveOffsite(offsite, name, here)),
    temporal,
    reports: resolveReports(input.reports, temporal),
    state,
    trustedKeys: input.trustedKeys.map(here),
  };
}

type Absolute = (path: string) => string;

function absolute(path: string, file: string, env: NodeJS.ProcessEnv): string {
  if (path.startsWith('~/') && env['HOME'] !== undefined) return join(env['HOME'], path.slice(2));
  return resolve(dirname(file), path);
}

function resolveInstance(
  input: InstanceInput,
  domain: string,
  offsites: string[],
  state: string,
  here: Absolute,
): InstanceConfig {
  const onHost = (path: string) => (input.host === 'local' ? here(path) : path);
  const { root, envFile, media, redisDump, services, extraFiles, mediaCache, health } = input.mastodon;
  const { lockWaitTimeout, format, jobs, host, port, delta } = input.database;
  return {
    domain,
    host: resolveHost(input.host, state, here),
    mastodon: {
      root: onHost(root),
      ...present({
        envFile: envFile === undefined ? undefined : onHost(envFile),
        media: media === undefined || media === 'none' ? media : onHost(media),
        redisDump: redisDump === undefined ? undefined : onHost(redisDump),
        services: services === undefined ? undefined : resolveServices(services),
        health,
      }),
      mediaCache,
      extraFiles: extraFiles.map(onHost),
    },
    database: {
      ...{ format, jobs, lockWaitTimeoutMs: lockWaitTimeout, fullEveryMs: delta?.fullEvery ?? null },
      ...present({ host, port }),
    },
    quiesce: { mode: input.quiesce.mode, budgetMs: input.quiesce.budget, leaseMs: input.quiesce.lease },
    offsites: input.offsites ?? offsites,
    allow: input.allow,
    verify: input.verify,
    retention: input.retention,
    schedule: {
      ...(input.schedule.backup && { backup: resolveSchedule(input.schedule.backup) }),
      ...(input.schedule.drill && {
        drill: { day: input.schedule.drill.day, ...resolveSchedule(input.schedule.drill) },
      }),
    },
    drill: resolveDrill(input.drill, state, here),
  };
}

function resolveDrill(
  { application, depth, rotateOffsites, host, folder }: InstanceInput['drill'],
  state: string,
  here: Absolute,
): InstanceConfig['drill'] {
  const onHost = (path: string) => (host === 'local' ? here(path) : path);
  const drill = {
    ...{ host: resolveHost(host, state, here), depth, rotateOffsites },
    ...(folder !== undefined && { folder: onHost(folder) }),
  };
  if (application === undefined) return drill;
  const { timeout, user, directory, ...rest } = application;
  return {
    ...drill,
    application: { ...rest, directory: onHost(directory), timeoutMs: timeout, ...present({ user }) },
  };
}

function resolveHost(host: InstanceInput['host'], state: string, here: Absolute): HostSpec {
  if (host === 'local') return { kind: 'local', folder: join(state, 'host') };
  const { ssh, port, identityFile, passphraseFile, knownHosts, sudo, folder } = host;
  return {
    kind: 'ssh',
    ...ssh,
    port,
    sudo,
    ...paths({ identityFile, passphraseFile, knownHosts }, here),
    ...present({ folder }),
  };
}

function resolveServices(services: NonNullable<InstanceInput['mastodon']['services']>): ServicesConfig {
  if (services.kind === 'systemd') return { kind: 'systemd', ...present({ units: services.units }) };
  const only = services.start.length === 1;
  return {
    kind: 'commands',
    services: services.start.map((start, index): CommandService => ({
      name: services.names?.[index] ?? (only ? 'mastodon' : `mastodon-${String(index + 1)}`),
      start,
      stop: services.stop[index] ?? [],
      status: services.status[index] ?? [],
    })),
  };
}

function resolveSchedule(schedule: NonNullable<InstanceInput['schedule']['backup']>): BackupSchedule {
  const { at, timezone, catchUp, jitter } = schedule;
  return { ...at, timezone, catchUpMs: catchUp, jitterMs: jitter };
}

function resolveOffsite(input: OffsiteInput, name: string, here: Absolute): OffsiteConfig {
  switch (input.kind) {
    case 'restic': {
      const { kind, repository, passwordFile, identityFile, knownHosts, environmentFile, bandwidth } = input;
      const local = repository.replace(/^local:/, '');
      const folder = !/^\w+:/.test(local);
      return {
        kind,
        name,
        repository: folder && !isAbsolute(local) ? here(local) : local,
        passwordFile: here(passwordFile),
        ...paths({ identityFile, knownHosts, environmentFile }, here),
        ...present({ bandwidth }),
      };
    }
    case 'rclone': {
      const { configFile, configPasswordFile, bandwidth, ...rest } = input;
      return {
        ...{ ...rest, name, configFile: here(configFile) },
        ...paths({ configPasswordFile }, here),
        ...present({ bandwidth }),
      };
    }
    case 'rsync': {
      const { identityFile, knownHosts, ageIdentityFile, bandwidth, ...rest } = input;
      return {
        ...rest,
        ...present({ bandwidth }),
        name,
        identityFile: here(identityFile),
        knownHosts: here(knownHosts),
        ...paths({ ageIdentityFile }, here),
      };
    }
  }
}

function resolveTemporal(
  input: ConfigurationInput['temporal'],
  env: NodeJS.ProcessEnv,
  here: Absolute,
): TemporalConfig {
  if (input === undefined && (env['TEMPORAL_ADDRESS'] || env['TEMPORAL_PROFILE'])) return { kind: 'profile' };
  if (input === undefined || input === 'embedded') return { kind: 'embedded', port: 7233, uiPort: 8233 };
  if (input.address !== undefined) {
    const { address, namespace, apiKeyFile, tls } = input;
    return {
      kind: 'address',
      address,
      namespace: namespace ?? 'default',
      ...paths({ apiKeyFile }, here),
      ...(tls === undefined || tls === false ? {} : { tls: tls === true ? true : resolveTls(tls, here) }),
      ...(input.authenticatesClients === true ? { authenticatesClients: true } : {}),
    };
  }
  if (input.profile !== undefined) {
    return {
      ...{ kind: 'profile', profile: input.profile, ...paths({ file: input.file }, here) },
      ...(input.authenticatesClients === true ? { authenticatesClients: true } : {}),
    };
  }
  const port = input.embedded?.port ?? 7233;
  // Temporal's own choice: the UI's port is a thousand above.
  return { kind: 'embedded', port, uiPort: input.embedded?.uiPort ?? (port <= 64_535 ? port + 1000 : 8233) };
}

/** Beside the UI that links to them, so that two Permafrosts on a machine need not be told to keep apart. */
function resolveReports(
  input: ConfigurationInput['reports'],
  temporal: TemporalConfig,
): Configuration['reports'] {
  if (input === null) return null;
  const beside = temporal.kind === 'embedded' && temporal.uiPort <= 65_525 ? temporal.uiPort + 10 : 8243;
  return { port: input.port ?? beside, ...present({ url: input.url }) };
}

type TlsInput = { serverName?: string | undefined } & Record<
  'caFile' | 'certFile' | 'keyFile',
  string | undefined
>;

function resolveTls({ serverName, caFile, certFile, keyFile }: Partial<TlsInput>, here: Absolute) {
  return { ...present({ serverName }), ...paths({ caFile, certFile, keyFile }, here) };
}

function paths<Key extends string>(
  given: Record<Key, string | undefined>,
  here: Absolute,
): Partial<Record<Key, string>> {
  const paths = mapValues(given, (path) => (path === undefined ? undefined : here(path)));
  return present(paths) as unknown as Partial<Record<Key, string>>;
}

function mapValues<Key extends string, From, To>(
  given: Record<Key, From>,
  change: (value: From, key: Key) => To,
): Record<Key, To> {
  const entries = Object.entries(given) as [Key, From][];
  return Object.fromEntries(entries.map(([key, value]) => [key, change(value, key)])) as Record<Key, To>;
}
