import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import type { FollowJob } from '../offsite/offsite.js';
import { Journal, type JournalRef, journalsFolder, stateOf } from './journal.js';
import { swapExit } from './swap-script.js';
import { whoReplaces } from './who.js';

export { prepareSwap } from './swap-plan.js';

export interface SwapResult {
  /** What was replaced, a line each, for people. */
  readonly lines: string[];
  readonly warnings: string[];
  /** ISO time; null when nothing was replaced that could be taken back. */
  readonly undoUntil: string | null;
}

/**
 * The swap itself, while the services stand still: one job on the host (`swap-script.ts`). What fails in it is taken back
 * by the job itself. Safe to run again: a swap that is done is done.
 *
 * @throws Failure `SwapFailed` when it failed and all is as before, `CommandFailed` when it is not yet; `LeaseLost` when it has been taken back meanwhile
 *   (`settleArgv`): never again under this preparation; `NotFound` when it was not prepared.
 */
export async function swapIn(ref: JournalRef, follow: FollowJob): Promise<SwapResult> {
  return forward(await Journal.of(ref), ref, 'swap', follow);
}

/** Takes a swap back, from wherever it was interrupted. Safe to run again, and when there never was one. */
export async function swapBack(
  ref: JournalRef,
  follow: FollowJob,
): Promise<{ lines: string[]; warnings: string[] }> {
  return back(await Journal.of(ref), ref, 'swap-back', follow);
}

/** As `swapIn`, of any journal. */
export async function forward(
  journal: Journal,
  { host, domain, restore }: JournalRef,
  step: string,
  follow: FollowJob,
): Promise<SwapResult> {
  const plan = await journal.plan();
  if (plan === null) {
    throw new Failure('NotFound', `nothing of restore ${restore} of ${domain} was prepared on ${host.name}`, {
      host: host.name,
    });
  }
  if (!(await journal.lines()).has('whole') || (await journal.lines()).has('back')) {
    const { exitCode } = await runScript(
      journal,
      host,
      domain,
      `${step}-${String(plan.attempt)}`,
      'forward',
      follow,
    );
    if (exitCode !== 0) throw await whyNot(journal, host, exitCode);
  }
  return {
    lines: plan.lines,
    warnings: [...plan.warnings, ...(await warningsOf(journal))],
    undoUntil: plan.undoUntil,
  };
}

/** As `swapBack`, of any journal. */
export async function back(
  journal: Journal,
  { host, domain }: JournalRef,
  step: string,
  follow: FollowJob,
): Promise<{ lines: string[]; warnings: string[] }> {
  const plan = await journal.plan();
  const before = await journal.lines();
  if (plan === null || before.has('as before')) return { lines: [], warnings: [] };
  const { exitCode, stderrTail } = await runScript(
    journal,
    host,
    domain,
    `${step}-${String(plan.attempt)}`,
    'back',
    follow,
  );
  if (exitCode !== 0) {
    throw new Failure(
      'CommandFailed',
      `the swap of ${domain} on ${host.name} could not be taken back yet: ${stderrTail.trim().slice(-1500)}`,
      { host: host.name, next: 'put right what it says; it is tried again' },
    );
  }
  const begun = (at: number) => before.has(`${String(at)} begun`);
  const lines = plan.steps.some((_, at) => begun(at)) ? ['all that was replaced is back in place'] : [];
  return { lines, warnings: await warningsOf(journal) };
}

async function runScript(
  journal: Journal,
  host: Host,
  domain: string,
  step: string,
  verb: 'forward' | 'back',
  follow: FollowJob,
): Promise<{ exitCode: number; stderrTail: string }> {
  const script = `${await journalsFolder(host, domain)}/swap.sh`;
  return follow(
    step,
    ['bash', script, verb, journal.folder],
    // What a signal has ended is no end: the journal says how far it came.
    { as: journal.as, cwd: '/', okCodes: [0, 1, swapExit.notTakenBack, swapExit.takenBackBefore] },
    () => ({ subject: 'swap' }),
  );
}

async function whyNot(journal: Journal, host: Host, exitCode: number): Promise<Failure> {
  const why = (await journal.text('failed')).trim().slice(-1500);
  if (exitCode === swapExit.takenBackBefore && why === '') {
    return new Failure(
      'LeaseLost',
      `the swap on ${host.name} was interrupted and has been taken back: all is as it was before`,
      { host: host.name, next: 'start the restore again' },
    );
  }
  if (exitCode === swapExit.notTakenBack) {
    return new Failure('CommandFailed', `the swap on ${host.name} failed and is not taken back yet: ${why}`, {
      host: host.name,
      next: 'it is tried again',
    });
  }
  // Nothing was noted of one whose disk is full.
  const said = why === '' ? 'its journal could not be written (is the disk full?)' : why;
  return new Failure('SwapFailed', `the swap on ${host.name} failed, and all is as it was before: ${said}`, {
    host: host.name,
    next: 'put right what it says, then start the restore again',
  });
}

async function warningsOf(journal: Journal): Promise<string[]> {
  return (await journal.text('warnings')).split('\n').filter((line) => line !== '');
}

/**
 * The argv, as the login user runs it, that makes one whole state of whatever swap of this domain is open: waits for one
 * that goes on, takes a half one back. Exit code 0 when all is whole, at once when there is nothing to do. Null where no
 * swap was ever prepared.
 */
export async function settleArgv(host: Host, domain: string): Promise<string[] | null> {
  const folder = await journalsFolder(host, domain);
  const { exitCode } = await host.run(['test', '-f', `${folder}/swap.sh`], { okCodes: [0, 1] });
  if (exitCode !== 0) return null;
  return host.argvAs(['bash', `${folder}/swap.sh`, 'settle-all', folder], await whoReplaces(host));
}

/** Whether a swap of this restore is done, and not taken back. */
export async function isSwappedIn(ref: JournalRef): Promise<boolean> {
  const journal = await Journal.of(ref);
  return stateOf((await journal.plan()) !== null, await journal.lines()) === 'whole';
}

/**
 * Whether something of the instance was there when the swap was prepared: a target that is found after it looks so in any
 * case. Null when none was prepared.
 */
export async function wasInPlace(ref: JournalRef): Promise<boolean | null> {
  return (await (await Journal.of(ref)).plan())?.inPlace ?? null;
}
