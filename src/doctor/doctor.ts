import { join } from 'node:path';
import { type Check, good, type Subject, warning } from '../backups/checks.js';
import { DAY_MS, isLate } from '../backups/freshness.js';
import type { LastSealed } from '../backups/report.js';
import type { Configuration, InstanceConfig } from '../config/configuration.js';
import { printDuration } from '../config/values.js';
import type { Host, HostFacts } from '../hosts/host.js';
import { localHost } from '../hosts/local.js';
import { openHost } from '../hosts/open.js';
import type { Instance } from '../mastodon/inspect.js';
import { offsiteOf } from '../offsite/read.js';
import { lastSealed } from '../records/last-sealed.js';
import { lookAtDrills } from './drills.js';
import { lookHere } from './here.js';
import { lookAtHost, reach } from './host.js';
import { lookAtInstance } from './instance.js';
import { looking } from './looking.js';
import { lookAtOffsiteOf, lookFromHere, type SeenOffsite } from './offsites.js';

const minuteMs = 60_000;

/** Looking at an instance, with all that is asked of its database. Milliseconds. */
const instanceMs = 90_000;

export interface Examination {
  /** Look through large tables for duplicates as well: hours, on a large instance. */
  readonly thorough: boolean;
  readonly now: Date;
}

/**
 * Looks at everything that a run of these instances needs, on this machine and on their hosts, side by side, and changes
 * nothing. What does not answer is a finding; nothing that fails hides another finding, or delays another host.
 */
export async function examine(
  configuration: Configuration,
  instances: readonly InstanceConfig[],
  examination: Examination,
): Promise<Check[]> {
  const here = localHost({ folder: join(configuration.state, 'host'), look: true });
  const hosts = new Map<string, InstanceConfig[]>();
  for (const instance of instances) {
    const key = JSON.stringify(instance.host);
    hosts.set(key, [...(hosts.get(key) ?? []), instance]);
  }
  try {
    const found = await Promise.all([
      lookHere(configuration, instances, here),
      ...[...hosts.values()].map((those) => lookThere(configuration, those, here, examination)),
    ]);
    return found.flat();
  } finally {
    await here.close();
  }
}

/** One host with its instances. */
async function lookThere(
  configuration: Configuration,
  instances: readonly InstanceConfig[],
  here: Host,
  examination: Examination,
): Promise<Check[]> {
  const [first] = instances;
  if (first === undefined) return [];
  const host = openHost(first.host, { look: true });
  try {
    const { checks, facts } = await reach(host);
    if (facts === null) {
      const fromHere = instances.flatMap((config) =>
        config.offsites.map((name) => lookFromHere(here, config, offsiteOf(configuration, name))),
      );
      return [...checks, ...(await Promise.all(fromHere)).flat()];
    }
    const names = new Set(instances.flatMap((config) => config.offsites));
    const offsites = [...names].map((name) => offsiteOf(configuration, name));
    const found = await Promise.all([
      lookAtHost(host, offsites, { deltas: instances.some(({ database }) => database.fullEveryMs !== null) }),
      ...instances.map((config) => lookAt({ configuration, config, host, facts, here, examination })),
    ]);
    return [...checks, ...found.flat()];
  } finally {
    await host.close();
  }
}

/** An instance: itself first, since what is found of it tells where its off-sites must not lie. */
async function lookAt({
  configuration,
  config,
  host,
  facts,
  here,
  examination: { thorough, now },
}: {
  readonly configuration: Configuration;
  readonly config: InstanceConfig;
  readonly host: Host;
  readonly facts: HostFacts;
  readonly here: Host;
  readonly examination: Examination;
}): Promise<Check[]> {
  const about = { name: 'instance', subject: 'mastodon', host: host.name, instance: config.domain };
  const unread: string[] = [];
  const last = await lastSealed(configuration.state, config.domain, (text) => unread.push(text));
  const offsitesOf = config.offsites.map((name) => offsiteOf(configuration, name));
  const look = { host, facts, config, offsites: offsitesOf, last, thorough };
  let instance: Instance | null = null;
  const seen = await looking(
    about,
    async () => {
      const looked = await lookAtInstance(look);
      instance = looked.instance;
      return looked.checks;
    },
    thorough ? Infinity : instanceMs,
  );
  const [offsites, drills] = await Promise.all([
    Promise.all(offsitesOf.map((offsite) => lookAtOffsiteOf(look, here, offsite, instance))),
    lookAtDrills(config, last, majorOf(instance)),
  ]);
  const records = { ...about, name: 'records', subject: 'last backup', host: here.name };
  return [
    ...seen,
    ...offsites.flatMap(({ checks }) => checks),
    ...drills,
    ...age({ ...about, name: 'last-backup', subject: 'last backup' }, config, last, offsites, now),
    ...unread.map((text) =>
      warning(records, text, 'It is passed over; remove the file when it is of no use'),
    ),
  ];
}

/** Of PostgreSQL. */
function majorOf(instance: Instance | null): number | undefined {
  return instance?.database.major;
}

/** How old the newest backup is, by this machine's records, else by the off-sites; nothing where neither could say. */
function age(
  about: Subject,
  { domain, schedule }: InstanceConfig,
  last: LastSealed | null,
  offsites: readonly SeenOffsite[],
  now: Date,
): Check[] {
  const seen = offsites.flatMap(({ newest }) => (newest === undefined ? [] : [newest]));
  if (last === null && seen.length === 0) return [];
  const times = seen.flatMap((time) => (time === null ? [] : [time.getTime()]));
  const newest = last?.finishedAt ?? (times.length === 0 ? null : new Date(Math.max(...times)));
  if (newest === null) return [warning(about, 'There is no backup yet.', `permafrost backup ${domain}`)];
  const ageMs = now.getTime() - new Date(newest).getTime();
  const ago = `${printDuration(Math.max(minuteMs, Math.round(ageMs / minuteMs) * minuteMs))} ago`;
  if (!isLate(ageMs, schedule.backup === undefined ? null : DAY_MS)) return [good(about, ago)];
  return [
    warning(
      about,
      `The last backup was made ${ago}, and one is due every day.`,
      `See what keeps it: permafrost status ${domain}; then: permafrost backup ${domain}`,
    ),
  ];
}
