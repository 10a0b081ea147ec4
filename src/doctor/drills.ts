import { type Check, good, type Subject, warning } from '../backups/checks.js';
import { drillMargin } from '../backups/drill-space.js';
import type { LastSealed } from '../backups/report.js';
import { sizeText } from '../backups/space.js';
import type { InstanceConfig } from '../config/configuration.js';
import type { Host } from '../hosts/host.js';
import { openHost } from '../hosts/open.js';
import { freeBytes } from '../hosts/space.js';
import { findPostgres } from '../scratch/cluster.js';
import { findRedis } from '../scratch/redis.js';
import { defaultScratchFolder } from '../scratch/scratch.js';
import { reach } from './host.js';
import { looking } from './looking.js';

/**
 * The machine where the monthly drill is made, so that what it lacks is known before the first of the month. Nothing where
 * no drill is scheduled. A backup needs none of it: no finding here is worse than a warning.
 *
 * @param major of the instance's PostgreSQL; undefined when it is not known.
 */
export async function lookAtDrills(
  config: InstanceConfig,
  last: LastSealed | null,
  major: number | undefined,
): Promise<Check[]> {
  const { drill, schedule, domain: instance } = config;
  if (schedule.drill === undefined) return [];
  const host = openHost(drill.host, { look: true });
  const about: Subject = { name: 'drill', subject: 'drill', host: host.name, instance };
  try {
    const { checks, facts } = await reach(host);
    const found = facts === null ? checks : await whatItNeeds(about, host, config, last, major);
    const findings = found.filter(({ ok }) => !ok);
    if (findings.length === 0) return [good(about, found.map(({ detail }) => detail).join(', '))];
    return findings.map((finding) => ({ ...finding, ...about, severity: 'warning' }));
  } finally {
    await host.close();
  }
}

async function whatItNeeds(
  about: Subject,
  host: Host,
  config: InstanceConfig,
  last: LastSealed | null,
  major: number | undefined,
): Promise<Check[]> {
  const { depth, folder = defaultScratchFolder } = config.drill;
  const postgres = async () => good(about, `PostgreSQL ${String((await findPostgres(host, major)).major)}`);
  const redis = async () => good(about, `Redis ${(await findRedis(host)).version}`);
  const found = await Promise.all([
    ...(depth === 'files' ? [] : [looking(about, postgres)]),
    looking(about, redis),
    looking(about, async () => room(about, host, folder, need(last, depth === 'files'))),
  ]);
  return found.flat();
}

/** By what the last backup was; null before the first. A drill asks again, by the manifest. */
function need(last: LastSealed | null, filesAlone: boolean): number | null {
  if (last?.parts.database === undefined) return null;
  return last.parts.database.bytes + (filesAlone ? 0 : (last.databaseBytes ?? 0)) + drillMargin;
}

async function room(about: Subject, host: Host, folder: string, wanted: number | null): Promise<Check> {
  const free = await freeBytes(host, folder);
  if (wanted === null || free >= wanted) return good(about, `${sizeText(free)} free in ${folder}`);
  return warning(
    about,
    `A drill needs about ${sizeText(wanted)} in ${folder}, and there are ${sizeText(free)} free.`,
    'Make room, or name another folder (drill.folder) or another host (drill.host) in the configuration',
  );
}
