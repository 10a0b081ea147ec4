import type { Manifest } from '../backups/manifest.js';
import type { PartName } from '../backups/parts.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { psqlArgv } from '../mastodon/psql.js';
import { redisCliArguments } from '../mastodon/redis-cli.js';
import { databaseSteps } from './database-steps.js';
import { filesSteps } from './files-steps.js';
import { Journal, journalsFolder, type SwapPlan, stateOf, stepsFile } from './journal.js';
import { cacheOf, redisSteps } from './redis-steps.js';
import { passwordStep } from './role-password.js';
import { noSteps } from './steps.js';
import { swapScript } from './swap-script.js';
import type { RestoreTarget } from './target.js';
import { argvFrom } from './who.js';

/** Days for which a restore can be taken back. */
export const undoDays = 7;

export interface ToSwap {
  readonly target: RestoreTarget;
  readonly restore: string;
  readonly manifest: Manifest;
  readonly parts: readonly PartName[];
  /** Name of the new database, loaded and proven. */
  readonly beside?: string;
  /** The backup's secrets on the target, a tar of the login user's. */
  readonly archive?: string;
  readonly rdb?: string;
  /** Media that were added before the swap: they stay, also after an undo. */
  readonly mediaAdded?: number;
}

/**
 * Writes down all that the swap will do and lays it ready, before the services are stopped: touches nothing of the
 * instance. Safe to run again; a swap that was taken back may be prepared anew.
 *
 * @throws Failure `Refused` for what it may not replace, `Busy` when this restore is swapped in already, or half.
 */
export async function prepareSwap(given: ToSwap): Promise<{ lines: string[]; warnings: string[] }> {
  const { target, restore, manifest, parts } = given;
  const { host, domain } = target;
  const journal = await Journal.of({ host, domain, restore });
  const before = await requireOpen(journal, domain, restore);
  await journal.make();
  await journal.remove(
    'steps',
    'journal',
    'new',
    'old',
    'sql',
    'redis',
    'made',
    'warnings',
    'failed',
    'said',
  );
  const files =
    given.archive === undefined ? noSteps : await filesSteps(target, manifest, given.archive, journal);
  const password = await passwordStep(target);
  const redis = given.rdb === undefined ? noSteps : await redisSteps(target, manifest, given.rdb, journal);
  const database = given.beside === undefined ? noSteps : await databaseSteps(target, given.beside, restore);
  const cache = given.beside === undefined ? null : await cacheOf(target);
  const all = [files, password, redis, database, cache?.steps ?? noSteps];
  const replaces = all.some(({ steps }) => steps.length > 0);
  const now = new Date();
  const media = given.mediaAdded ?? 0;
  const plan: SwapPlan = {
    ...{ restore, domain, backup: manifest.backup, parts: [...parts], madeAt: now.toISOString() },
    inPlace: target.inPlace,
    attempt: (before?.attempt ?? 0) + 1,
    undoUntil: replaces ? new Date(now.getTime() + undoDays * 86_400_000).toISOString() : null,
    lines: [
      ...all.flatMap(({ lines }) => lines),
      ...(media === 0 ? [] : [`media: ${String(media)} files were added; they stay after an undo`]),
    ],
    warnings: all.flatMap(({ warnings }) => warnings),
    steps: all.flatMap(({ steps }) => steps),
    admin: target.admin,
    ...(password.otherPassword === undefined ? {} : { otherPassword: password.otherPassword }),
    appUser: target.appUser,
    redis: target.redis,
    cache: cache?.connection ?? null,
  };
  await writePlan(host, journal, plan);
  return { lines: plan.lines, warnings: plan.warnings };
}

/** The plan of an earlier attempt, when there is one and it may be made anew. */
async function requireOpen(journal: Journal, domain: string, restore: string): Promise<SwapPlan | null> {
  const plan = await journal.plan();
  const state = stateOf(plan !== null, await journal.lines());
  if (state !== 'whole' && state !== 'half') return plan;
  throw new Failure(
    'Busy',
    `restore ${restore} of ${domain} is ${state === 'whole' ? 'swapped in already' : 'half swapped in'} on ${journal.host.name}`,
    { host: journal.host.name, next: `permafrost undo takes it back` },
  );
}

/** Lays a plan ready for the script; the script itself as well. The steps come last: without them there is no swap. */
export async function writePlan(host: Host, journal: Journal, plan: SwapPlan): Promise<void> {
  const folder = await journalsFolder(host, plan.domain);
  await host.putFile(`${folder}/swap.sh`, swapScript, 0o700);
  const argvs: Record<string, string[]> = {};
  if (plan.admin !== null) {
    const { access } = plan.admin;
    argvs['admin'] = await argvFrom(host, journal.as, psqlArgv(access), access.appUser);
    await journal.write('password', access.database.password ?? '');
    if (plan.otherPassword !== undefined) await journal.write('password.other', plan.otherPassword);
  }
  for (const [name, connection] of [
    ['redis', plan.redis],
    ['cache', plan.cache],
  ] as const) {
    if (connection === null) continue;
    argvs[`${name}-cli`] = redisCliArguments(connection);
    await journal.write(`${name}-password`, `${connection.password ?? ''}\n`);
  }
  await journal.host.run([
    'mkdir',
    '-p',
    '-m',
    '700',
    '--',
    `${journal.folder}/sql`,
    `${journal.folder}/redis`,
  ]);
  for (const [at, step] of plan.steps.entries()) {
    if (step.kind !== 'sql') continue;
    await journal.write(`sql/${String(at)}.forward`, step.forward);
    await journal.write(`sql/${String(at)}.back`, step.back);
  }
  await journal.write('plan.json', `${JSON.stringify(plan, null, 1)}\n`);
  await journal.write('steps', stepsFile(plan, argvs));
}
