import { join } from 'node:path';
import { z } from 'zod';
import type { DrillReport } from '../../src/backups/drill-report.js';
import { manifestSchema } from '../../src/backups/manifest.js';
import type { RestoreReport, UndoReport } from '../../src/backups/restore-report.js';
import { Failure } from '../../src/errors.js';
import type { Stage } from '../stage.js';
import { settled } from '../watch/folder.js';
import { ServicesWatch } from '../watch/services.js';
import { PermafrostWay } from '../ways/permafrost.js';
import { restoreBare } from './bare.js';
import type { RestoreTrial } from './trial.js';

/**
 * One backup: restored with the bare tools, drilled, restored in place, and that taken back, so that the data set is what
 * it was. The same bytes in all of them, from a restic folder.
 *
 * @param bareFirst everybody is first at some time.
 */
export async function tryRestores(
  stage: Stage,
  bareFirst: boolean,
  say: (text: string) => void,
): Promise<RestoreTrial> {
  const { instance } = stage;
  const folder = await stage.wayFolder('restore');
  const way = new PermafrostWay({ instance, folder }, ['restic']);
  try {
    await way.night();
    const bare = async () => {
      const found = await restoreBare({
        ...{ instance, folder: join(folder, 'bare'), manifest: shown.parse(await way.ask(['show'])) },
        ...way.repository(),
      });
      say(
        `bare restore: ${said(found.fetchMs + found.loadTwoMs)}, with -j1 ${said(found.fetchMs + found.loadOneMs)}`,
      );
      return found;
    };
    const before = bareFirst ? await bare() : undefined;
    const drill = await drilled(way);
    say(`drill: ${said(drill.wallMs)}`);
    const { restore, undo } = await restored(stage, way);
    say(`restore in place: ${said(restore.wallMs)}, services down ${said(restore.outageMs)}`);
    return { bare: before ?? (await bare()), drill, restore, undo };
  } finally {
    await way.clear();
  }
}

/** `show` adds to the manifest. */
const shown = z.looseObject(manifestSchema.shape);

async function drilled(way: PermafrostWay): Promise<RestoreTrial['drill']> {
  await settled();
  const began = performance.now();
  const report = (await way.ask(['drill', '--depth', 'database'])) as DrillReport;
  const wallMs = performance.now() - began;
  if (!report.passed) {
    const wrong = report.checks
      .filter(({ passed }) => !passed)
      .map(({ name, detail }) => `${name}: ${detail}`);
    throw new Failure('NotRestorable', `the drill found: ${wrong.join('; ')}`);
  }
  const { fetchMs, loadMs } = report.times;
  return {
    ...{ wallMs, fetchMs, loadMs, steps: await way.stepsOf(report) },
    checks: report.checks.map(({ name, durationMs }) => ({ name, tookMs: durationMs })),
  };
}

async function restored({ instance }: Stage, way: PermafrostWay) {
  const watched = async <Report>(words: readonly string[]) => {
    await settled();
    const services = new ServicesWatch(instance);
    const began = performance.now();
    try {
      const report = (await way.ask([...words, '--yes'])) as Report;
      const wallMs = performance.now() - began;
      return { report, wallMs, outageMs: await services.end() };
    } catch (error) {
      await services.end();
      throw error;
    }
  };
  const restore = await watched<RestoreReport>(['restore']);
  const load = restore.report.phases.find(({ name }) => name === 'load');
  const loadMs = Date.parse(load?.finishedAt ?? '') - Date.parse(load?.startedAt ?? '');
  const steps = await way.stepsOf(restore.report);
  const undo = await watched<UndoReport>(['undo']);
  return {
    restore: {
      ...{ wallMs: restore.wallMs, outageMs: restore.outageMs, loadMs, steps },
      reportedDowntimeMs: restore.report.downtimeMs,
    },
    undo: { wallMs: undo.wallMs, outageMs: undo.outageMs },
  };
}

function said(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
