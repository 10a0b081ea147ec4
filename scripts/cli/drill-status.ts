import { drillDepths, type DrillDepth } from '../../src/backups/check.js';
import { timeOfBackup } from '../../src/backups/id.js';
import type { Configuration, InstanceConfig } from '../../src/config/configuration.js';
import { type LastDrill, rememberedDrills } from '../../src/records/drills.js';
import { formatDistance, formatDuration } from '../../src/terminal/format.js';

const DAY_MS = 86_400_000;

/** One is due every month; the longest has 31 days, and a schedule may be paused for a week with a good reason. */
export const DRILL_OVERDUE_MS = 40 * DAY_MS;

/** What the drills of an instance have come to. */
export interface DrillsSeen {
  /** The newest that has looked at a backup. */
  last: LastDrill | null;
  problems: string[];
}

/** What the off-sites hold, as far as they could be read. */
export interface BackupsSeen {
  /** The newest first. */
  readonly backups: readonly { readonly backup: string; readonly offsites: readonly string[] }[];
  /** Those that could not be read have an error. */
  readonly offsites: readonly { readonly name: string; readonly error?: string }[];
}

/** How the drills of an instance stand, by what this machine remembers. Where all backups are young, none is missing yet. */
export async function drillsOf(
  { state }: Pick<Configuration, 'state'>,
  instance: InstanceConfig,
  seen: BackupsSeen,
  now: Date,
): Promise<DrillsSeen> {
  const drills: LastDrill[] = [];
  for await (const drill of rememberedDrills(state, instance.domain)) drills.push(drill);
  const judged = drills.filter(({ status }) => status === 'passed' || status === 'findings');
  const [newest] = drills;
  const findings = findingsOf(instance, judged, seen);
  const problems: string[] = [];
  if (newest?.status === 'failed')
    problems.push(
      `the drill of ${formatDistance(newest.finishedAt, now)} could not be made: ${newest.error ?? 'see its run'} (permafrost drill ${instance.domain})`,
    );
  for (const { backup, from, findings: names, drill, finishedAt } of findings)
    problems.push(
      `the drill of ${formatDistance(finishedAt, now)} found that ${backup} on ${from} would not restore: ${names.join(', ')} (permafrost report ${instance.domain} drill-${drill})`,
    );
  const found = findings.map(({ from }) => from);
  problems.push(...overdueOf(instance, { judged, found, seen }, now));
  return { last: judged[0] ?? null, problems };
}

/**
 * The newest finding of each off-site that no later drill has answered: the next one looks elsewhere, or not so deep, and
 * says nothing about it. An older backup that passes says nothing about a newer one either.
 *
 * @param judged the newest first.
 */
function findingsOf(
  { offsites, drill: { depth } }: InstanceConfig,
  judged: readonly LastDrill[],
  seen: BackupsSeen,
): LastDrill[] {
  const isGone = ({ from, backup }: LastDrill) =>
    seen.offsites.some(({ name, error }) => name === from && error === undefined) &&
    !seen.backups.some((one) => one.backup === backup && one.offsites.includes(from));
  return offsites.flatMap((offsite) => {
    const there = judged.filter(({ from }) => from === offsite);
    const open = there.find((finding, at) => {
      if (finding.passed) return false;
      const passed = there.slice(0, at).filter((one) => one.passed && one.backup >= finding.backup);
      const answers = (one: LastDrill) =>
        reaches(one, finding.depth) || (reaches(one, depth) && isGone(finding));
      return !passed.some(answers);
    });
    return open === undefined ? [] : [open];
  });
}

function overdueOf(
  { domain, schedule, offsites, drill: { depth, rotateOffsites } }: InstanceConfig,
  { judged, found, seen }: { judged: readonly LastDrill[]; found: readonly string[]; seen: BackupsSeen },
  now: Date,
): string[] {
  if (schedule.drill === undefined) return [];
  const deep = judged.filter((one) => reaches(one, depth));
  const oldest = (offsite?: string) =>
    seen.backups.findLast((one) => offsite === undefined || one.offsites.includes(offsite))?.backup;
  const ageMs = (drill: LastDrill | undefined, backup: string | undefined) => {
    if (drill !== undefined) return now.getTime() - Date.parse(drill.finishedAt);
    return backup === undefined ? 0 : now.getTime() - timeOfBackup(backup).getTime();
  };
  const [last] = deep;
  const lastMs = ageMs(last, oldest());
  if (lastMs > DRILL_OVERDUE_MS) {
    const what = judged.length === deep.length ? '' : ` at depth ${depth}`;
    const ever = last === undefined;
    return [
      ever
        ? `no backup was ever drilled${what}, and one is due every month: permafrost drill ${domain}`
        : `the last drill${what} was ${formatDuration(lastMs)} ago, and one is due every month: permafrost drill ${domain}`,
    ];
  }
  // An off-site that the drill host cannot open is passed over each time, and its turn never comes.
  const due = rotateOffsites ? offsites : offsites.slice(0, 1);
  return due.flatMap((offsite) => {
    if (found.includes(offsite)) return [];
    const passed = deep.find((one) => one.passed && one.from === offsite);
    const passedMs = ageMs(passed, oldest(offsite) ?? oldest());
    if (passedMs <= due.length * DRILL_OVERDUE_MS) return [];
    const since = passed === undefined ? 'yet' : `for ${formatDuration(passedMs)}`;
    return [
      `no drill from ${offsite} has passed ${since}, and its turn should have come: permafrost drill ${domain} --from ${offsite}`,
    ];
  });
}

function reaches({ depth }: LastDrill, least: DrillDepth): boolean {
  return drillDepths.indexOf(depth) >= drillDepths.indexOf(least);
}
