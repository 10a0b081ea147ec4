import { isCancellation, log, patched, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { PartName } from '../backups/parts.js';
import type { BackupPlan } from '../backups/report.js';
import { reportOf } from './failures.js';
import * as policies from './policies.js';
import type { RunState } from './run-state.js';
import { together } from './together.js';

/** @param summary what it does to which off-site, as Temporal's UI shows it beside the step's name. */
const transferring = (summary: string) => proxyActivities<Activities>({ ...policies.transfer, summary });
const tidying = proxyActivities<Activities>(policies.tidy);

/** Fills every off-site, side by side, each on its own: a slow or broken one neither delays nor spoils another. */
export async function deliver(state: RunState, plan: BackupPlan, parts: readonly PartName[]): Promise<void> {
  const results = await Promise.allSettled(
    [...state.offsites.values()]
      .filter((offsite) => offsite.state === 'waiting')
      .map(({ name }) => deliverTo(state, plan, name, [...parts])),
  );
  const cancelled = results.find((result) => result.status === 'rejected');
  if (cancelled) throw cancelled.reason;
}

/** Uploads, reads back, and only then seals. */
async function deliverTo(state: RunState, plan: BackupPlan, name: string, parts: PartName[]): Promise<void> {
  const { run } = state;
  const offsite = state.offsites.get(name);
  if (offsite === undefined) return;
  try {
    offsite.state = 'uploading';
    const upload = async (lane: readonly PartName[]) => {
      for (const part of lane) {
        const { bytesAdded } = await transferring(`${part} to ${name}`).uploadPart({
          run,
          offsite: name,
          part,
        });
        offsite.bytesAdded += bytesAdded;
      }
    };
    await state.inPhase('upload', () => together(lanesOf(parts).map((lane) => () => upload(lane))));
    offsite.state = 'verifying';
    offsite.checked = await state.inPhase('verify', () =>
      transferring(`${name} read back`).verifyCopy({ run, offsite: name, parts }),
    );
    offsite.verified = true;
    offsite.state = 'sealing';
    const sealed = await state.inPhase('seal', () =>
      transferring(`manifest to ${name}`).sealCopy(sealing(state, plan, name, parts)),
    );
    offsite.bytesAdded = sealed.bytesAdded;
    offsite.sealed = true;
    offsite.state = 'sealed';
    state.parts = sealed.parts;
  } catch (error) {
    if (isCancellation(error)) throw error;
    offsite.state = 'failed';
    offsite.error = reportOf(error);
    state.warnings.push(`${name} was not filled: ${offsite.error.message}`.slice(0, 1000));
  }
}

/** Media, database and the small parts side by side: walking a large tree and compressing a dump keep different things busy. */
function lanesOf(parts: PartName[]): PartName[][] {
  if (!patched('parts-side-by-side')) return [parts];
  const large = (['media', 'database'] as const).filter((part) => parts.includes(part)).map((part) => [part]);
  const small = parts.filter((part) => part !== 'media' && part !== 'database');
  return [...large, ...(small.length === 0 ? [] : [small])];
}

function sealing(state: RunState, plan: BackupPlan, offsite: string, parts: PartName[]) {
  const { stoppedAtMs, healthyAtMs } = state;
  return {
    ...{ run: state.run, offsite, parts },
    startedAt: new Date(state.startedAtMs).toISOString(),
    quiesce: {
      ...{ mode: plan.quiesce, services: plan.services, downtimeMs: state.downtimeMs },
      ...(stoppedAtMs === undefined ? {} : { stoppedAt: new Date(stoppedAtMs).toISOString() }),
      ...(healthyAtMs === undefined ? {} : { healthyAt: new Date(healthyAtMs).toISOString() }),
    },
    timings: state.timings,
    // As many and as long as the activity's input may be: a talkative night is sealed all the same.
    warnings: state.warnings.slice(0, 200).map((warning) => warning.slice(0, 2000)),
  };
}

/** Keeps the media's index for the next night. Without it that night reads every file again, and is as good. */
export async function keepIndex({ run }: RunState): Promise<void> {
  await tidying.keepIndex({ run }).catch((error: unknown) => {
    if (isCancellation(error)) throw error;
    log.warn('the media index was not kept', { error: String(error) });
  });
}

/** Applies retention where the new backup is sealed. What fails is a warning: the backup is there. */
export async function prune(state: RunState): Promise<void> {
  const { run } = state;
  const sealed = [...state.offsites.values()].filter((offsite) => offsite.sealed);
  await state.inPhase('prune', async () => {
    for (const { name } of sealed) {
      try {
        const { removed, kept } = await transferring(`retention on ${name}`).pruneOffsite({
          run,
          offsite: name,
        });
        state.detail('prune', `${String(kept)} kept, ${String(removed)} removed`);
      } catch (error) {
        if (isCancellation(error)) throw error;
        state.warnings.push(
          `Retention was not applied to ${name}: ${reportOf(error).message}`.slice(0, 1000),
        );
      }
    }
  });
}
