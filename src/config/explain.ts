import { stringify } from 'yaml';
import type { HostSpec } from '../hosts/open.js';
import type {
  BackupSchedule,
  Configuration,
  InstanceConfig,
  OffsiteConfig,
  TemporalConfig,
} from './configuration.js';
import { printDuration, printFraction, printSize, printTimeOfDay } from './values.js';

/**
 * What `permafrost config show` prints: the configuration as YAML with every default filled in and every path absolute,
 * in the form that it is written in; reading it again gives the same configuration. It holds names of files, no secrets.
 */
export function explainConfiguration(configuration: Configuration): string {
  return (
    `# ${configuration.file}, with all defaults\n` +
    stringify(configurationInput(configuration), { lineWidth: 0 })
  );
}

/** The same as a value, for `--json`. */
export function configurationInput(configuration: Configuration): Record<string, unknown> {
  const { instances, offsites, temporal, reports, state, trustedKeys } = configuration;
  return {
    instances: mapValues(instances, instanceInput),
    offsites: mapValues(offsites, offsiteInput),
    ...(temporal.kind === 'profile' && temporal.profile === undefined
      ? {}
      : { temporal: temporalInput(temporal) }),
    reports: reports ?? 'off',
    trustedKeys,
    state,
  };
}

function instanceInput(instance: InstanceConfig): Record<string, unknown> {
  const { lockWaitTimeoutMs, fullEveryMs, ...database } = instance.database;
  const { services, ...mastodon } = instance.mastodon;
  const { backup, drill } = instance.schedule;
  return {
    host: hostInput(instance.host),
    mastodon: { ...mastodon, ...(services && { services: servicesInput(services) }) },
    database: {
      ...{ ...database, lockWaitTimeout: printDuration(lockWaitTimeoutMs) },
      delta: fullEveryMs === null ? 'off' : { fullEvery: printDuration(fullEveryMs) },
    },
    quiesce: {
      mode: instance.quiesce.mode,
      budget: printDuration(instance.quiesce.budgetMs),
      lease: printDuration(instance.quiesce.leaseMs),
    },
    offsites: instance.offsites,
    allow: instance.allow,
    verify: { media: mapValues(instance.verify.media, printFraction) },
    retention: instance.retention,
    schedule: {
      backup: backup ? scheduleInput(backup) : 'none',
      drill: drill ? { day: drill.day, ...scheduleInput(drill) } : 'none',
    },
    drill: drillInput(instance.drill),
  };
}

function drillInput({ application, ...drill }: InstanceConfig['drill']): unknown {
  const { timeoutMs, ...rest } = application ?? {};
  return {
    ...{ ...drill, host: hostInput(drill.host) },
    ...(timeoutMs !== undefined && { application: { ...rest, timeout: printDuration(timeoutMs) } }),
  };
}

function hostInput(host: HostSpec): unknown {
  if (host.kind === 'local') return 'local';
  const { user, address, port, sudo, identityFile, passphraseFile, knownHosts, folder } = host;
  const ssh = `${user}@${address.includes(':') ? `[${address}]` : address}`;
  return withoutUndefined({ ssh, port, identityFile, passphraseFile, knownHosts, sudo, folder });
}

function servicesInput(services: NonNullable<InstanceConfig['mastodon']['services']>): unknown {
  if (services.kind === 'systemd') return services;
  const column = (key: 'start' | 'stop' | 'status') => services.services.map((service) => service[key]);
  return {
    kind: 'commands',
    names: services.services.map((service) => service.name),
    start: column('start'),
    stop: column('stop'),
    status: column('status'),
  };
}

function scheduleInput(schedule: BackupSchedule): Record<string, unknown> {
  return {
    at: printTimeOfDay(schedule),
    timezone: schedule.timezone,
    catchUp: printDuration(schedule.catchUpMs),
    jitter: printDuration(schedule.jitterMs),
  };
}

function offsiteInput(offsite: OffsiteConfig): Record<string, unknown> {
  const { bandwidth } = offsite;
  return withoutUndefined({
    ...offsite,
    name: undefined,
    bandwidth: bandwidth === undefined ? undefined : printSize(bandwidth),
  });
}

function temporalInput(temporal: TemporalConfig): unknown {
  const { kind, ...rest } = temporal;
  if (kind === 'embedded') return { embedded: rest };
  return rest;
}

function withoutUndefined(given: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function mapValues<From, To>(given: Record<string, From>, change: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(given).map(([key, value]) => [key, change(value)]));
}
