import type { Client } from '@temporalio/client';
import type { Configuration, InstanceConfig } from '../../src/config/configuration.js';
import { leaseState } from '../../src/hosts/lease.js';
import { openHost } from '../../src/hosts/open.js';
import { inspectServices } from '../../src/mastodon/inspect.js';
import { serviceStates, type ServiceState } from '../../src/mastodon/services.js';
import { showSchedule } from '../../src/temporal/schedules.js';
import type { InstanceStatus } from '../../src/terminal/status.js';
import { backupScheduleId, drillScheduleId } from '../../src/workflows/names.js';
import { drillsOf } from './drill-status.js';
import { failureOf } from './failures.js';
import { offsitesOf, type OffsitesSeen } from './offsite-status.js';
import { restoresOf } from './restore-status.js';
import { holdsInstance, type OpenRun, openRuns } from './runs.js';
import { withTemporal } from './temporal.js';
import { sheetProblem } from '../sheet/gather.js';

const TEMPORAL_ANSWER_MS = 15_000;
const DAY_MS = 86_400_000;

/**
 * How an instance stands, asked of everybody who knows: its host, its off-sites and Temporal, side by side. Whoever does
 * not answer becomes a problem in the answer, never a failure.
 */
export async function statusOf(
  configuration: Configuration,
  instance: InstanceConfig,
  now: Date,
): Promise<InstanceStatus> {
  const problems: string[] = [];
  const ask = async <T>(question: () => Promise<T>, unknown: T): Promise<T> => {
    try {
      return await question();
    } catch (error) {
      const { message, next } = failureOf(error);
      problems.push(next === undefined ? message : `${message} (${next})`);
      return unknown;
    }
  };
  const unseen: OffsitesSeen = { backups: [], offsites: [], problems: [] };
  const [host, seen, temporal] = await Promise.all([
    ask(() => askHost(instance, problems, now), { services: [], leaseHeld: false }),
    ask(() => offsitesOf(configuration, instance, now), unseen),
    ask(() => askTemporal(configuration, instance, problems), undefined),
  ]);
  if (host.leaseHeld && temporal?.running.some(holdsInstance) === false) {
    problems.push('a lease is armed on the host, but no run is open: the services are started when it fires');
  }
  problems.push(...seen.problems);
  const drills = await ask(() => drillsOf(configuration, instance, seen, now), {
    last: null,
    problems: [],
  });
  problems.push(...drills.problems);
  const sheet = await ask(() => sheetProblem(configuration, instance), undefined);
  if (sheet !== undefined) problems.push(sheet);
  const { restores, refusals } = await restoresOf(configuration, instance, now);
  problems.push(...refusals);
  return {
    instance: instance.domain,
    services: host.services,
    lastBackup: seen.backups[0] ?? null,
    offsites: seen.offsites,
    lastDrill: drills.last,
    undos: restores,
    running: temporal?.running ?? [],
    next: temporal?.next ?? { backup: null, drill: null },
    problems,
  };
}

async function askHost(
  instance: InstanceConfig,
  problems: string[],
  now: Date,
): Promise<{ services: ServiceState[]; leaseHeld: boolean }> {
  const host = openHost(instance.host);
  try {
    const facts = await inspectServices(host, instance);
    const services = await serviceStates(host, facts.services);
    const lease = await leaseState(host, instance.domain);
    const fired = lease.lastFired?.at;
    if (fired !== undefined && now.getTime() - new Date(fired).getTime() < DAY_MS) {
      problems.push(`the lease on ${host.name} had to start the services itself at ${fired}`);
    }
    for (const { name } of services.filter((service) => !service.running)) {
      if (!lease.held) problems.push(`${name} is not running on ${host.name}`);
    }
    return { services, leaseHeld: lease.held };
  } finally {
    await host.close();
  }
}

async function askTemporal(
  configuration: Configuration,
  instance: InstanceConfig,
  problems: string[],
): Promise<{ running: OpenRun[]; next: InstanceStatus['next'] }> {
  const { domain, schedule } = instance;
  const next = async (client: Client, what: 'backups' | 'drills'): Promise<string | null> => {
    const planned = what === 'backups' ? schedule.backup : schedule.drill;
    if (planned === undefined) return null;
    const drills = what === 'drills';
    try {
      const found = await showSchedule(client, drills ? drillScheduleId(domain) : backupScheduleId(domain));
      const note = found.note === undefined ? '' : ` (${found.note})`;
      const resume = `permafrost schedule resume${drills ? ' --drill' : ''}`;
      if (found.paused) problems.push(`the schedule of ${what} is paused${note}: ${resume}`);
      return found.nextRuns[0]?.toISOString() ?? null;
    } catch (error) {
      const failure = failureOf(error);
      const missing = `no schedule of ${what}: permafrost schedule apply`;
      problems.push(failure.type === 'NotFound' ? missing : failure.message);
      return null;
    }
  };
  const ask = async (client: Client) => ({
    running: await openRuns(client, domain),
    next: { backup: await next(client, 'backups'), drill: await next(client, 'drills') },
  });
  // A server whose disk is full refuses for ever, and is asked again for ever.
  return withTemporal(configuration, ({ client }) =>
    client.withDeadline(Date.now() + TEMPORAL_ANSWER_MS, () => ask(client)),
  );
}
