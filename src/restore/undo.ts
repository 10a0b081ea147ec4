import { backupIdPattern } from '../backups/id.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { psql } from '../mastodon/psql.js';
import type { FollowJob } from '../offsite/offsite.js';
import { Journal, type JournalRef, journalsFolder, type SwapPlan, stateOf } from './journal.js';
import { back, forward, type SwapResult } from './swap.js';
import { writePlan } from './swap-plan.js';
import { undoSteps } from './undo-plan.js';

/** What is kept of a finished restore, so that it can be taken back. */
export interface Undo {
  readonly restore: string;
  readonly domain: string;
  readonly backup: string;
  readonly parts: SwapPlan['parts'];
  readonly swappedAt: string;
  readonly undoUntil: string;
  readonly undone: boolean;
  /** The instance was there before the restore; false: the host had none, and has none any more after an undo. */
  readonly inPlace: boolean;
  /** What an undo would do, a line each. */
  readonly lines: readonly string[];
  /** Of the databases that are kept, on their server's disk; null when it does not answer. */
  readonly databaseBytes: number | null;
}

/** What is kept of a restore; null when there is nothing (any more). */
export async function undoOf(ref: JournalRef): Promise<Undo | null> {
  const kept = await keptOf(ref);
  if (kept === null) return null;
  const { plan, journal, undone } = kept;
  const { restore, domain, backup, parts, madeAt, undoUntil, inPlace } = plan;
  if (undoUntil === null) return null;
  return {
    ...{ restore, domain, backup, parts, swappedAt: madeAt, undoUntil, undone, inPlace },
    lines: undone ? [] : (await undoSteps(journal, plan)).lines,
    databaseBytes: await bytesOf(ref.host, plan),
  };
}

/** Ids of the restores of which something is left on a host, finished or not, the oldest first. */
export async function listUndos(host: Host, domain: string): Promise<string[]> {
  const folder = await journalsFolder(host, domain);
  const { stdout } = await host.run(['sh', '-c', '[ ! -d "$1" ] || ls -1 -- "$1"', 'sh', folder]);
  return stdout
    .split('\n')
    .filter((name) => backupIdPattern.test(name))
    .sort();
}

interface Kept {
  readonly plan: SwapPlan;
  readonly journal: Journal;
  readonly undo: Journal;
  readonly undone: boolean;
}

/** A restore that was swapped in whole, and was not taken back at once. */
async function keptOf(ref: JournalRef): Promise<Kept | null> {
  const journal = await Journal.of(ref);
  const plan = await journal.plan();
  if (plan === null || stateOf(true, await journal.lines()) !== 'whole') return null;
  const undo = await Journal.of(ref, 'undo');
  return { plan, journal, undo, undone: stateOf(true, await undo.lines()) === 'whole' };
}

async function bytesOf(host: Host, plan: SwapPlan): Promise<number | null> {
  const names = keptDatabases(plan).map(({ name }) => name);
  if (plan.admin === null || names.length === 0) return 0;
  try {
    const rows = await psql(
      host,
      plan.admin.access,
      "SELECT datname, CASE WHEN pg_has_role(datdba, 'USAGE') THEN pg_database_size(oid) ELSE 0 END FROM pg_database",
    );
    return rows.reduce((sum, [name = '', bytes]) => sum + (names.includes(name) ? Number(bytes) : 0), 0);
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
}

/** The names under which a restore, or its undo, keeps a database, and what that is. */
function keptDatabases(plan: SwapPlan): { name: string; oid: string }[] {
  return plan.steps.flatMap((step) =>
    step.kind === 'database' ? [{ name: step.aside, oid: step.oldOid }] : [],
  );
}

/**
 * Lays an undo ready: touches nothing of the instance. Safe to run again.
 *
 * @throws Failure `NotFound` when there is nothing to undo (any more), `Refused` when a later restore stands on it,
 *   `Busy` when it is half done.
 */
export async function prepareUndo(ref: JournalRef): Promise<{ lines: string[]; warnings: string[] }> {
  const { host, domain, restore } = ref;
  const kept = await keptOf(ref);
  if (kept === null || kept.undone || kept.plan.undoUntil === null) {
    const why = kept?.undone === true ? 'was undone already' : 'has left nothing that could be taken back';
    throw new Failure('NotFound', `restore ${restore} of ${domain} ${why} on ${host.name}`, {
      host: host.name,
      next: `permafrost status ${domain} says what can be undone`,
    });
  }
  for (const later of (await listUndos(host, domain)).filter((id) => id > restore)) {
    const on = await keptOf({ ...ref, restore: later });
    if (on === null || on.undone || on.plan.steps.length === 0) continue;
    throw new Failure('Refused', `restore ${later} of ${domain} came after ${restore} and stands on it`, {
      host: host.name,
      next: `take that one back first: permafrost undo ${domain} ${later}`,
    });
  }
  const { plan, journal, undo } = kept;
  const before = await undo.plan();
  if (stateOf(before !== null, await undo.lines()) === 'half') {
    throw new Failure('Busy', `the undo of ${restore} of ${domain} is half done on ${host.name}`, {
      host: host.name,
    });
  }
  const { steps, lines, warnings, contents } = await undoSteps(journal, plan);
  await undo.removeAll();
  await undo.make();
  const files = contents.flatMap((content, at) =>
    content === null ? [] : [content, `undo/new/${String(at)}`],
  );
  const script = `cd -- "$1" && mkdir -p -- undo/new undo/redis || exit 1; shift
while [ $# -gt 1 ]; do cp -p -- "$1" "$2" && sync -- "$2" || exit 1; shift 2; done
[ ! -e redis/old.rdb ] || ln -f -- redis/old.rdb undo/redis/new.rdb`;
  await host.run(['sh', '-c', script, 'sh', journal.folder, ...files], { as: journal.as });
  await writePlan(host, undo, {
    ...plan,
    ...{ steps: [...steps], lines: [...lines], warnings: [...warnings] },
    ...{ madeAt: new Date().toISOString(), attempt: (before?.attempt ?? 0) + 1 },
  });
  return { lines: [...lines], warnings: [...warnings] };
}

/** The same short swap back, while the services stand still. As `swapIn`. Media stay. */
export async function swapUndo(ref: JournalRef, follow: FollowJob): Promise<SwapResult> {
  return forward(await Journal.of(ref, 'undo'), ref, 'undo', follow);
}

/** As `swapBack`, of an undo: the restore stands again. */
export async function takeUndoBack(
  ref: JournalRef,
  follow: FollowJob,
): Promise<{ lines: string[]; warnings: string[] }> {
  return back(await Journal.of(ref, 'undo'), ref, 'undo-back', follow);
}

/**
 * Drops what was kept of a restore, once its time is over: databases that nobody is in, and the journal. A restore that
 * never came to its end is left to `dropBeside`.
 *
 * @param options.early also before `undoUntil`.
 * @returns what was removed, and what is left and why, a line each.
 */
export async function expireUndo(
  ref: JournalRef,
  options: { readonly now?: Date; readonly early?: boolean } = {},
): Promise<{ removed: string[]; left: string[] }> {
  const { host, restore } = ref;
  const kept = await keptOf(ref);
  if (kept === null) return { removed: [], left: [] };
  const { plan, journal, undo, undone } = kept;
  const until = plan.undoUntil;
  const isOver = until === null || Date.parse(until) <= (options.now ?? new Date()).getTime();
  if (!isOver && options.early !== true)
    return { removed: [], left: [`restore ${restore}: kept until ${until}`] };
  const undoPlan = await undo.plan();
  if (stateOf(undoPlan !== null, await undo.lines()) === 'half')
    return { removed: [], left: [`restore ${restore}: its undo is half done`] };
  const removed: string[] = [];
  for (const { name, oid } of keptDatabases(undone && undoPlan !== null ? undoPlan : plan)) {
    const why = await dropKept(host, plan, name, oid);
    if (why === 'gone') continue;
    if (why !== undefined) return { removed, left: [`database ${name}: ${why}`] };
    removed.push(`database ${name}`);
  }
  await journal.removeAll();
  return { removed: [...removed, `what restore ${restore} had replaced`], left: [] };
}

/** @returns why it could not be dropped; `gone` when it is not there under this name. */
async function dropKept(
  host: Host,
  { admin }: SwapPlan,
  name: string,
  oid: string,
): Promise<string | undefined> {
  if (admin === null || oid === '0') return 'gone';
  try {
    const rows = await psql(
      host,
      admin.access,
      `SELECT 1 FROM pg_database WHERE datname = :'name' AND oid = :'oid'::oid`,
      {
        variables: { name, oid },
      },
    );
    if (rows.length === 0) return 'gone';
    // Without FORCE: PostgreSQL does not drop one that somebody is in.
    await psql(host, admin.access, 'DROP DATABASE :"name"', { variables: { name }, timeoutMs: 600_000 });
    return undefined;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.message;
  }
}
