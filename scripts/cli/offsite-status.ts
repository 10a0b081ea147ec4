import { DAY_MS, freshnessOf, isLate } from '../../src/backups/freshness.js';
import { takenAway } from '../../src/backups/taken-away.js';
import type { Configuration, InstanceConfig } from '../../src/config/configuration.js';
import { timezoneOf } from '../../src/offsite/prune-plan.js';
import { type Found, type ListedBackup, listed, readOffsites } from '../../src/offsite/read.js';
import { sealedThere } from '../../src/records/read-runs.js';
import { removedFrom } from '../../src/records/removals.js';
import { formatDuration } from '../../src/terminal/format.js';
import type { OffsiteStatus } from '../../src/terminal/status.js';

export interface OffsitesSeen {
  backups: ListedBackup[];
  offsites: OffsiteStatus[];
  problems: string[];
}

/** How the off-sites of an instance stand: what is there, how old the newest is, and what should be there and is not. */
export async function offsitesOf(
  configuration: Configuration,
  instance: InstanceConfig,
  now: Date,
): Promise<OffsitesSeen> {
  const { state } = configuration;
  // In this order: what is sealed, or removed by us, between two looks is no alarm.
  const sealed = await sealedThere(state, instance.domain);
  const found = await readOffsites(configuration, instance.domain);
  const problems = found.problems.map(({ offsite, failure: { message, next } }) => {
    const what = message.includes(`off-site ${offsite}`) ? message : `off-site ${offsite}: ${message}`;
    return next === undefined ? what : `${what} (${next})`;
  });
  const offsites: OffsiteStatus[] = [];
  for (const name of instance.offsites) {
    const status = statusOfOffsite(instance, name, found, now);
    offsites.push(status);
    const list = found.lists.get(name);
    if (list === undefined) continue;
    const removed = await removedFrom(state, { instance: instance.domain, offsite: name });
    const gone = takenAway(
      { sealed: sealed.get(name) ?? [], there: list.sealed, removed },
      instance.retention,
      timezoneOf(instance),
      { now },
    );
    problems.push(
      ...ageProblems(status),
      ...(gone[0] === undefined
        ? []
        : [goneProblem(name, gone[0], gone.length, `${state}/runs/${instance.domain}`)]),
    );
  }
  const read = offsites.filter(({ error }) => error === undefined);
  const empty = read.filter(({ late, newest }) => late && newest === null);
  if (empty.length > 0 && empty.length === read.length) problems.push('there is no backup yet');
  else problems.push(...empty.map(({ name }) => `off-site ${name}: there is no backup yet`));
  return { backups: listed(instance, found, now), offsites, problems };
}

function statusOfOffsite(instance: InstanceConfig, name: string, found: Found, now: Date): OffsiteStatus {
  const list = found.lists.get(name);
  if (list === undefined) {
    const error = found.problems.find(({ offsite }) => offsite === name)?.failure.message ?? 'not read';
    return { name, newest: null, verifiedAt: null, ageMs: null, late: false, error };
  }
  // One whose manifest cannot be read is no backup that was verified.
  const copies = found.copies.filter(({ offsite }) => offsite === name);
  const { newest, ageMs } = freshnessOf(
    copies.map(({ stored }) => stored.backup),
    now,
  );
  const copy = copies.find(({ stored }) => stored.backup === newest);
  const late = isLate(ageMs, instance.schedule.backup === undefined ? null : DAY_MS);
  return { name, newest, verifiedAt: copy?.manifest.copy.verifiedAt ?? null, ageMs, late };
}

function ageProblems({ name, newest, ageMs, late }: OffsiteStatus): string[] {
  if (!late || newest === null || ageMs === null) return [];
  return [`off-site ${name}: the newest backup is ${formatDuration(ageMs)} old, and one is due every day`];
}

function goneProblem(name: string, newest: string, count: number, records: string): string {
  const more = count === 1 ? '' : ` and ${String(count - 1)} more`;
  return (
    `off-site ${name} lacks ${newest}${more}, sealed there and not removed by a prune: somebody took it away, or ` +
    `${name} is another place now. If that was you, remove the records of those runs: ${records}`
  );
}
