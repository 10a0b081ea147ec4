import { activityInfo } from '@temporalio/activity';
import { z } from 'zod';
import type { Check, DrillDepth, Proof } from '../backups/check.js';
import type { BackupId } from '../backups/id.js';
import type { Configuration, InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import { endedBy } from '../hosts/ended-by.js';
import type { Host } from '../hosts/host.js';
import type { Offsite } from '../offsite/offsite.js';
import { offsiteOf, withOffsite } from '../offsite/read.js';
import { type Received, receivedAt } from '../offsite/receive.js';
import { readingOn } from '../records/readers.js';
import { findScratch, type Scratch } from '../scratch/scratch.js';
import { cancellation } from './activity.js';
import { readerOf } from './drill-reading.js';
import type { Ground } from './ground.js';
import { backupInput, domainInput, offsiteInput } from './inputs.js';

/** One drill, in its scratch. */
export const scratchInput = z.strictObject({ instance: domainInput, drill: backupInput });
/** … of one backup from one off-site. */
export const stepInput = scratchInput.extend({ backup: backupInput, from: offsiteInput });
export type DrillStep = z.infer<typeof stepInput>;

/** What is going to be drilled. */
export interface FoundDrill {
  backup: BackupId;
  /** The off-site. */
  from: string;
  /** Of the drill host. */
  host: string;
  depth: DrillDepth;
  /** What a full restore has to bring back; null when the backup has no media. */
  media: { bytes: number; files: number } | null;
  warnings: string[];
  notProven: string[];
  /** A manifest that nobody can restore by: then there is nothing to be fetched. */
  finding?: Check;
}

export interface ReceivedBackup {
  bytes: number;
  ms: number;
  /** The dump has come, and is what it was. */
  dump: boolean;
}

export interface SampledFiles extends Proof {
  media: { files: number; bytes: number; ms: number };
}

export interface LoadedScratch {
  check: Check;
  notes: string[];
  ms: number;
}

export interface BootedScratch extends Proof {
  /** Until the web process answered; null when it did not. */
  bootMs: number | null;
}

/** Where a step of a drill works. */
export interface DrillGround {
  readonly configuration: Configuration;
  readonly config: InstanceConfig;
  readonly host: Host;
  readonly scratch: Scratch;
  /** The private folder of what was fetched. */
  readonly into: string;
}

/** A lease is an hour (scratch.ts): renewed so often, it outlives a worker's death and the next attempt's start. */
const renewEveryMs = 5 * 60_000;

/**
 * Works in the scratch of a drill, which stays as long as that takes, and so does the backup on its off-site, also until
 * the next step.
 *
 * @throws Failure `LeaseLost` when the scratch is gone.
 */
export async function inDrill<T>(
  ground: Ground,
  { instance, drill, backup, from }: DrillStep,
  use: (here: DrillGround) => Promise<T>,
): Promise<T> {
  const { configuration, config, host: drillHost } = await ground.drillGround(instance);
  offsiteOf(configuration, from); // one that there is not is told first
  const host = endedBy(drillHost, cancellation());
  const scratch = await findScratch(host, { instance, id: drill });
  const timer = setInterval(() => {
    scratch.renew().catch(() => undefined); // whoever works there finds out by himself that it is gone
  }, renewEveryMs);
  try {
    const reader = readerOf({ instance, drill });
    return await readingOn(configuration.state, { offsite: from, backup, reader }, async () =>
      use({ configuration, config, host, scratch, into: await scratch.place('received') }),
    );
  } finally {
    clearInterval(timer);
  }
}

/**
 * Opens the off-site of a drill where the bytes are needed: on the drill host, in the scratch if there is one, with which
 * all of it goes.
 */
export async function onDrillHost<T>(
  {
    configuration,
    config,
    host,
    scratch,
  }: Pick<DrillGround, 'configuration' | 'config' | 'host'> & { readonly scratch?: Scratch },
  from: string,
  use: (copy: Offsite) => Promise<T>,
): Promise<T> {
  return withOffsite(
    configuration,
    config,
    offsiteOf(configuration, from),
    (copy) => use(copy),
    'drill',
    host,
    scratch === undefined ? undefined : await workOf(scratch),
  );
}

/** Where what comes from the off-site waits, in the scratch. */
export function workOf(scratch: Scratch): Promise<string> {
  return scratch.place('offsite');
}

/** What an earlier step has fetched. @throws Failure `LeaseLost` when it is not there any more. */
export async function needReceived({ host, into }: DrillGround): Promise<Received> {
  const received = await receivedAt(host, into);
  if (received !== undefined) return received;
  throw new Failure('LeaseLost', `what the drill had fetched is gone from ${host.name}`, {
    host: host.name,
    next: 'run the drill again',
  });
}

/** How long this step has taken, with its earlier attempts. Milliseconds. */
export function elapsedSince(startedMs: number): number {
  const { attempt, scheduledTimestampMs } = activityInfo();
  return Math.max(0, Date.now() - (attempt > 1 ? scheduledTimestampMs : startedMs));
}
