import { join } from 'node:path';
import { loadConfiguration } from '../../src/config/load.js';
import { WORKFLOWS } from '../../src/workflows/names.js';
import { backupsPage, whereToLook, withTemporal } from '../cli/temporal.js';
import type { Stage } from '../demo/stage.js';
import { night, type Scene, whole, withWrongPassword } from './scenes.js';
import { slowDown } from './slow-restic.js';
import type { TemporalUi, UiPicture } from './temporal-ui.js';

/** So that the media take half a minute. Kibibytes a second. */
const LINE_KIB_S = 3_000;

/** Plays what is to be seen: three runs, of which one is refused and one is looked at while it goes on. */
export async function play(
  stage: Stage,
  ui: TemporalUi,
  say: (text: string) => void,
): Promise<{ scenes: Scene[]; pages: UiPicture[] }> {
  say('A sample Mastodon …');
  const instance = await stage.openInstance();
  await stage.configure(instance);
  await slowDown(join(stage.folder, 'bin'), LINE_KIB_S);
  await stage.up();
  await stage.permafrost.run(['offsite', 'init']);
  say('A small night, a refused one, and one to look at …');
  await stage.permafrost.run(['backup', '--only', 'database,secrets,redis']);
  const scenes = [await withWrongPassword(stage, 'vault', 'refused', 'backup', '--offsite', 'vault')];
  const pages: UiPicture[] = [];
  scenes.push(...(await night(stage, async () => void pages.push(...(await temporalPages(stage, ui))))));
  scenes.push(await whole(stage, 'status', 'status'));
  scenes.push(await withWrongPassword(stage, 'cloud', 'doctor', 'doctor'));
  return { scenes, pages };
}

/** The list of backups, and what Temporal's UI says of one that runs and of one that failed. */
async function temporalPages(stage: Stage, ui: TemporalUi): Promise<UiPicture[]> {
  const { temporal, ...configuration } = await loadConfiguration({ file: stage.permafrost.configFile });
  const query = `WorkflowType = '${WORKFLOWS.backup}'`;
  const addresses = await withTemporal({ ...configuration, temporal }, async ({ client }) => {
    const found = new Map<string, string>();
    for await (const { workflowId, runId, status } of client.workflow.list({ query }))
      found.set(status.name, whereToLook(temporal, workflowId, runId));
    return found;
  });
  const list = backupsPage(temporal) ?? '';
  return [
    await ui.picture('temporal-runs', list, 'backup/'),
    await ui.picture('temporal-running', addresses.get('RUNNING') ?? list, 'Current Details'),
    await ui.picture('temporal-failed', addresses.get('FAILED') ?? list, 'Current Details'),
  ];
}
