import { log } from '@temporalio/activity';
import type { Host } from '../hosts/host.js';
import { takeMediaBack } from '../restore/added-media.js';
import { dropBeside } from '../restore/beside.js';
import { isSwappedIn } from '../restore/swap.js';
import { listUndos } from '../restore/undo.js';
import { backupInput, type RunRef } from './inputs.js';
import { forgetJobs, jobsOf } from './jobs.js';
import { type Staging, type StagedGround, stagingOf } from './restore-ground.js';

type Restore = Pick<RunRef, 'instance' | 'backup'>;

/**
 * Removes what a restore keeps on a host for as long as it is at work: jobs, what was fetched, a new database that did not
 * come into place, media that came for nothing; those of a restore that is in place stay. Safe to run again.
 *
 * @throws the first of what could not be removed; all the rest is.
 */
export async function sweepRestoreOn(host: Host, run: Restore): Promise<void> {
  const staging = await stagingOf(host, run.instance, run.backup);
  const ref = { host, domain: run.instance, restore: run.backup };
  const failed: unknown[] = [];
  const attempt = (work: () => Promise<void>) => work().catch((error: unknown) => failed.push(error));
  await attempt(() => forgetJobs(host, (id) => id.startsWith(jobsOf(run))));
  // Secrets first, of which nothing is needed any more.
  await attempt(() => removeFetched(host, staging));
  await attempt(async () => {
    if (!(await isSwappedIn(ref))) await takeMediaBack(host, staging.added);
    await host.run(['rm', '-f', '--', staging.added]);
  });
  await attempt(() => dropBeside(ref));
  if (failed.length > 0) throw failed[0];
  await removeStaging(host, staging);
}

/** What restores have left that are no more, before this one begins. What cannot be removed is left to the next. */
export async function sweepDeadRestores({ host, staging }: StagedGround, run: Restore): Promise<void> {
  const { stdout } = await host.run(['sh', '-c', '[ ! -d "$1" ] || ls -1 -- "$1"', 'sh', staging.all]);
  const dead = [...(await listUndos(host, run.instance)), ...stdout.split('\n')].filter(
    (restore) => restore !== run.backup && backupInput.safeParse(restore).success,
  );
  for (const backup of new Set(dead)) {
    await sweepRestoreOn(host, { instance: run.instance, backup }).catch((error: unknown) => {
      log.warn(`what the restore ${backup} has left on ${host.name} was not removed`, {
        error: String(error),
      });
    });
  }
}

/** All of a restore's folder but the list of its media. */
async function removeFetched(host: Host, { folder, added }: Staging): Promise<void> {
  const words = [folder, '-mindepth', '1', '-maxdepth', '1', '!', '-path', added];
  const script = '[ ! -d "$1" ] || exec find "$@" -exec rm -rf -- {} +';
  await host.run(['sh', '-c', script, 'sh', ...words], { timeoutMs: 600_000 });
}

export async function removeStaging(host: Host, { folder, all }: Staging): Promise<void> {
  const script = 'rm -rf -- "$1" && { rmdir -- "$2" 2> /dev/null || :; }';
  await host.run(['sh', '-c', script, 'sh', folder, all], { timeoutMs: 600_000 });
}
