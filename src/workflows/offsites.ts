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
const admitting = proxyActivities<Activities>(policies.look);
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

/**
 * Off-sites that did not answer at the beginning are asked once more when the others are filled: a reboot of theirs costs
 * no copy, as long as the parts are still at hand.
 */
export async function deliverLate(
  state: RunState,
  plan: BackupPlan,
  parts: readonly PartName[],
): Promise<void> {
  const missed = plan.offsites.filter(({ problem }) => problem !== undefined);
  if (missed.length === 0 || !patched('missed-off-sites-are-asked-again')) return;
  const back = await Promise.all(missed.map(({ name }) => isBack(state, name)));
  for (const { name } of missed.filter((_, at) => back[at])) {
    const offsite = state.offsites.get(name);
    if (offsite === undefined) continue;
    delete offsite.error;
    offsite.state = 'waiting';
  }
  await deliver(state, plan, parts);
}

async function isBack({ run }: RunState, offsite: string): Promise<boolean> {
  try {
    await admitting.admitOffsite({ run, offsite });
    return true;
  } catch (error) {
    if (isCancellation(error)) throw error;
    return false;
  }
}

/** Uploads, reads back, and only then seals. */
async function deliverTo(state: RunState, plan: BackupPlan, name: string, parts: PartName[]): Promise<void> {
  const { run } = state;
  const offsite = state.offsites.get(name);
  if (offsite === undefined) return;
  try {
    offsite.state = 'uploading';
    await state.inPhase('upload', () => upload(state, name, parts));
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

/** Media beside everything else: walking a large tree and compressing a dump keep different things busy. */
async function upload({ run, offsites }: RunState, name: string, parts: readonly PartName[]): Promise<void> {
  const add = ({ bytesAdded }: { bytesAdded: number }) => {
    const offsite = offsites.get(name);
    if (offsite !== undefined) offsite.bytesAdded += bytesAdded;
  };
  if (!patched('small-parts-in-one-step')) return uploadOneByOne(run, name, parts, add);
  const lanes = [parts.filter((part) => part !== 'media'), parts.filter((part) => part === 'media')];
  await together(
    lanes
      .filter((lane) => lane.length > 0)
      .map((lane) => async () => {
        add(
          await transferring(`${lane.join(', ')} to ${name}`).uploadParts({
            run,
            offsite: name,
            parts: lane,
          }),
        );
      }),
  );
}

/** As runs did that began before version 0.3. */
async function uploadOneByOne(
  run: RunState['run'],
  name: string,
  parts: readonly PartName[],
  add: (added: { bytesAdded: number }) => void,
): Promise<void> {
  const small = parts.filter((part) => part !== 'media' && part !== 'database');
  const large = (['media', 'database'] as const).filter((part) => parts.includes(part)).map((part) => [part]);
  const lanes = patched('parts-side-by-side') ? [...large, ...(small.length === 0 ? [] : [small])] : [parts];
  await together(
    lanes.map((lane) => async () => {
      for (const part of lane)
        add(await transferring(`${part} to ${name}`).uploadPart({ run, offsite: name, part }));
    }),
  );
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
  const done = new Map<string, string>();
  const pruneOn = async (name: string) => {
    try {
      const { removed, kept, appendOnly } = await transferring(`retention on ${name}`).pruneOffsite({
        run,
        offsite: name,
      });
      done.set(
        name,
        appendOnly === true ? 'left alone: append-only' : `${String(kept)} kept, ${String(removed)} removed`,
      );
      const several = sealed.length > 1;
      state.detail(
        'prune',
        [...done].map(([place, what]) => (several ? `${place} ${what}` : what)).join('; '),
      );
    } catch (error) {
      if (isCancellation(error)) throw error;
      state.warnings.push(`Retention was not applied to ${name}: ${reportOf(error).message}`.slice(0, 1000));
    }
  };
  await state.inPhase('prune', async () => {
    if (patched('retention-side-by-side'))
      return together(
        sealed.map(
          ({ name }) =>
            () =>
              pruneOn(name),
        ),
      );
    for (const { name } of sealed) await pruneOn(name);
  });
}
