import { type BackupId, timeOfBackup } from '../backups/id.js';
import { type Decision, removalOrder, retainParts } from '../backups/retention.js';
import type { InstanceConfig } from '../config/configuration.js';
import type { StoredBackup, StoredBackups } from './offsite.js';

/**
 * What nobody seals any more is swept after this, whoever sent it: a first upload may take weeks (workflows/policies.ts,
 * `transfer`: several attempts of a week each).
 */
const abandonedAfterMs = 30 * 86_400_000;

/** What a machine knows besides what lies on the off-site. */
export interface PruneFacts {
  readonly now: Date;
  /** Backups that are read, or copied there, at this moment. */
  readonly reading: ReadonlySet<BackupId>;
  /** Runs of this machine that have ended. */
  readonly ended: ReadonlySet<BackupId>;
  /** The run that prunes: what began after it is not its business. */
  readonly run?: BackupId;
}

export interface PrunePlan {
  /** Of every sealed backup, newest first. */
  readonly decisions: readonly Decision[];
  /** Of what dead runs have left, newest first; its reasons say also why it goes. */
  readonly leftovers: readonly Decision[];
  /** Everything that goes, in the order in which nothing that is left lacks what it needs. */
  readonly removals: readonly BackupId[];
}

/** What retention does to one off-site, and why. Pure. */
export function planPrune(
  { sealed, unsealed }: StoredBackups,
  config: Pick<InstanceConfig, 'retention' | 'schedule'>,
  facts: PruneFacts,
): PrunePlan {
  const decisions = retainParts(
    sealed.map((one) => ({ ...one, reading: facts.reading.has(one.backup) })),
    config.retention,
    timezoneOf(config),
    facts,
  );
  const leftovers = [...unsealed]
    .sort()
    .reverse()
    .map((backup): Decision => {
      const spared = spareLeftover(backup, sealed, facts);
      return { backup, keep: spared !== null, reasons: [spared ?? 'never sealed, its run has ended'] };
    });
  const going = [...decisions, ...leftovers].filter(({ keep }) => !keep).map(({ backup }) => backup);
  return { decisions, leftovers, removals: removalOrder(going, sealed) };
}

/**
 * What was to go, is there still, and by now has a reason to stay: between a plan and its removal somebody may have
 * marked or begun to read something.
 */
export function spareAfterAll(
  { removals }: PrunePlan,
  now: StoredBackups,
  config: Pick<InstanceConfig, 'retention' | 'schedule'>,
  facts: PruneFacts,
): Decision[] {
  const { decisions, leftovers } = planPrune(now, config, facts);
  return [...decisions, ...leftovers].filter(({ backup, keep }) => keep && removals.includes(backup));
}

/** The timezone in which an instance's days are counted. */
export function timezoneOf({ schedule }: Pick<InstanceConfig, 'schedule'>): string | undefined {
  return schedule.backup?.timezone;
}

/** Why something that was never sealed stays; null when it is certainly ours or abandoned, and certainly dead. */
function spareLeftover(
  backup: BackupId,
  sealed: readonly StoredBackup[],
  { now, reading, ended, run }: PruneFacts,
): string | null {
  if (reading.has(backup)) return 'being filled';
  if (run !== undefined && backup >= run) return 'newer than this run';
  const succeeded = sealed.some((one) => one.backup > backup && one.parts.includes('media'));
  if (ended.has(backup) && succeeded) return null;
  let ageMs;
  try {
    ageMs = now.getTime() - timeOfBackup(backup).getTime();
  } catch {
    return 'not an id of ours';
  }
  if (ageMs >= abandonedAfterMs) return null;
  // A first upload that was cut may have brought most of the media: the next need not send them again.
  if (ended.has(backup)) return 'never sealed; its media are for the next backup that has some';
  // Another Permafrost may fill the same place for the same instance.
  return 'never sealed; maybe being filled by another machine';
}
