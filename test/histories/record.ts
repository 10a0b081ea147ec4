import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { version } from '../../src/version.js';
import { guardWorkflowId, restoreWorkflowId } from '../../src/workflows/names.js';
import { type Installation, until } from '../integration/installation.js';
import { forbidSaves, holdTheRename, holdTheWindow } from '../integration/obstacles.js';
import { processes, stopAsSoonAsThere } from '../integration/stopped-process.js';

/** Makes real runs and keeps what Temporal recorded of them: see README.md beside this file. */

export const histories = fileURLToPath(new URL('.', import.meta.url));

export type Story = (here: Installation, keep: Keep) => Promise<void>;
type Keep = (name: string, handle: WorkflowHandle) => Promise<void>;

/** @throws Error when a story of this name was recorded of this version today already: what is there stays as it is. */
export async function record(story: Story, here: Installation): Promise<void> {
  const folder = join(histories, `${new Date().toISOString().slice(0, 10)}-${version()}`);
  await story(here, async (name, handle) => {
    const file = join(folder, `${name}.json`);
    if (existsSync(file)) throw new Error(`${file} is there already: histories grow, they are not replaced`);
    await handle.result().catch(() => undefined);
    const recorded: unknown = JSON.parse(historyToJSON(await handle.fetchHistory()), withoutStacks);
    const text = JSON.stringify(recorded);
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, `${text}\n`);
  });
}

/** Where the code lay on the machine that recorded is nobody's business, and no replay looks at it. */
function withoutStacks(key: string, value: unknown): unknown {
  return key === 'stackTrace' ? '' : value;
}

/** The run of a report. */
function runOf(here: Installation, { report }: { report: { workflowId: string } }): WorkflowHandle {
  return here.client.workflow.getHandle(report.workflowId);
}

/** The guard of the run that was made last. */
function guardOf(here: Installation): WorkflowHandle {
  return here.client.workflow.getHandle(guardWorkflowId(here.domain));
}

/** A restore that stands still in a program of the host's, as a large one would be at work there. */
async function heldRestore(
  here: Installation,
  what: string,
  find: () => number[],
): Promise<{ run: WorkflowHandle; letGo: () => void }> {
  const [, letGo] = await Promise.all([
    here.permafrost('restore', '--yes', '--detach', '--json', '--parts', 'database,secrets'),
    stopAsSoonAsThere(what, find),
  ]);
  return { run: here.client.workflow.getHandle(restoreWorkflowId(here.domain)), letGo };
}

/** A run that stands in its window, with the services down. */
async function heldRun(here: Installation): Promise<{ run: WorkflowHandle; letGo: () => Promise<void> }> {
  const letGo = await holdTheWindow(here.sample);
  const detached = await here.permafrost('backup', '--detach', '--json');
  const run = here.client.workflow.getHandle(String(detached.json.workflowId));
  await until('the services are down', () => here.services.allDown());
  return { run, letGo };
}

export const stories: Record<string, Story> = {
  async 'sealed, brief: first night and second'(here, keep) {
    await keep('backup-sealed-brief', runOf(here, await here.backup()));
    await keep('guard-released', guardOf(here));
    await keep('backup-sealed-brief-second-night', runOf(here, await here.backup()));
  },

  async 'by hand: a backup is verified, drilled, copied, and pruned around'(here, keep) {
    const { report } = await here.backup('--offsite', 'vault');
    const ended = async (...words: string[]) => {
      const { json } = await here.permafrost(...words, '--json');
      return here.client.workflow.getHandle(String(json['workflowId'] ?? `${words[0] ?? ''}/${here.domain}`));
    };
    await keep('verify-passed', await ended('verify', report.backup, '--from', 'vault'));
    await keep('drill-passed', await ended('drill', report.backup, '--from', 'vault'));
    await keep('copy-copied', await ended('copy', report.backup, '--from', 'vault', '--to', 'cellar'));
    await keep('prune-done', await ended('prune', '--yes'));
  },

  async 'restored, and taken back'(here, keep) {
    const { json: planned } = await here.permafrost('restore', '--plan', '--json');
    await keep('restore-planned', runOf(here, { report: planned as { workflowId: string } }));
    const { json: restored } = await here.permafrost('restore', '--yes', '--json');
    await keep('restore-restored', runOf(here, { report: restored as { workflowId: string } }));
    const { json: undone } = await here.permafrost('undo', '--yes', '--json');
    await keep('undo-undone', runOf(here, { report: undone as { workflowId: string } }));
  },

  async 'a restore that is cancelled in the load, and one that is terminated in the swap: the guard takes it back'(
    here,
    keep,
  ) {
    const load = await heldRestore(here, 'the load', () => processes('pg_restore', '_restore_'));
    await load.run.cancel();
    load.letGo();
    await keep('restore-cancelled-in-load', load.run);
    const letRename = await holdTheRename(here.sample);
    const swap = await heldRestore(here, 'the swap', () => processes('swap.sh', 'forward', here.state));
    await letRename();
    await swap.run.terminate('recorded: what the guard does');
    await keep('restore-terminated-in-swap', swap.run);
    await keep('guard-took-restore-back', guardOf(here));
  },

  async 'sealed, full'(here, keep) {
    await keep('backup-sealed-full', runOf(here, await here.backup('--quiesce', 'full')));
  },

  async 'sealed, none'(here, keep) {
    await keep('backup-sealed-none', runOf(here, await here.backup('--quiesce', 'none')));
  },

  async planned(here, keep) {
    await keep('backup-planned', runOf(here, await here.backup('--dry-run')));
  },

  async 'partial: one of two off-sites cannot be opened'(here, keep) {
    writeFileSync(join(here.folder, 'wrong.password'), 'not the password\n');
    await here.with(
      ({ offsites: { cellar } }) => {
        if (cellar?.kind === 'restic') cellar.passwordFile = join(here.folder, 'wrong.password');
      },
      async () => {
        await keep('backup-partial', runOf(here, await here.backup()));
      },
    );
  },

  async 'refused: no off-site can be opened'(here, keep) {
    await here.with(
      ({ offsites }) => {
        for (const offsite of Object.values(offsites)) {
          if (offsite.kind === 'restic') offsite.passwordFile = join(here.folder, 'wrong.password');
        }
      },
      async () => {
        await keep('backup-refused', runOf(here, await here.backup()));
      },
    );
  },

  async 'failed in the window'(here, keep) {
    const allowSaves = await forbidSaves(here.sample);
    try {
      await keep('backup-failed-in-window', runOf(here, await here.backup()));
    } finally {
      await allowSaves();
    }
  },

  async 'cancelled in the window; another run finds the instance busy meanwhile'(here, keep) {
    const { run, letGo } = await heldRun(here);
    try {
      await keep('backup-busy', runOf(here, await here.backup()));
      await run.cancel();
      await keep('backup-cancelled-in-window', run);
    } finally {
      await letGo();
    }
  },

  async 'terminated in the window: the guard brings the services back'(here, keep) {
    const { run, letGo } = await heldRun(here);
    try {
      await run.terminate('recorded: what the guard does');
      await keep('backup-terminated-in-window', run);
      await keep('guard-brought-services-back', guardOf(here));
    } finally {
      await letGo();
    }
  },
};
