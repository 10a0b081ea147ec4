import { z } from 'zod';
import { Failure } from '../errors.js';
import { anyExitCode } from '../hosts/host.js';
import { lastMessage } from './lines.js';
import type { CapturedPart, FollowJob, OffsitePlace } from './offsite.js';
import { runNow, type Tree } from './tree-commands.js';
import { indexEntry, poolFolder } from './tree-layout.js';
import { findNeedArgv, sendFarmArgv } from './tree-scripts.js';

/** How often media are sent while users change them under our hands. */
const mostSends = 5;

const count = z.number().int().nonnegative();
const needed = z.object({ files: count, bytes: count });
/** How the farm of links is after a send. */
const tended = needed.extend({
  dropped: count,
  /** Names that were sent while their source changed. */
  doubtful: count,
  /** Of these: still to be sent, from another path with the same content. */
  again: count,
});

/** Where what is to be sent of a backup waits, on the host. */
export function workOf(place: OffsitePlace, { backup }: Pick<CapturedPart, 'backup'>): string {
  return `${place.work}/${backup}`;
}

/**
 * Sends what the pool lacks of a backup's media: a farm of links, called by their content, that lead to the files.
 *
 * Users delete and change files meanwhile. Before and after each send every link must lead to a file with the size and
 * mtime of the index; a name that may have got another content is taken out of the pool again.
 *
 * @param part the media, with their index on the host.
 * @returns bytes sent.
 */
export async function fillPool(tree: Tree, part: CapturedPart, follow: FollowJob): Promise<number> {
  const { name, transport, place } = tree;
  const { host, as } = place;
  const work = `${workOf(place, part)}/pool`;
  const index = `${part.indexFolder ?? ''}/${indexEntry}`;
  const job = { as, cwd: '/', nice: 10, okCodes: anyExitCode };

  const found = await follow(
    'find what the pool lacks',
    findNeedArgv({ work, index, listPool: await transport.listArgv(poolFolder, 2) }),
    job,
    () => ({}),
  );
  const need = lastMessage(found.stderrTail, needed);
  if (found.exitCode !== 0 || need === undefined) throw transport.failureOf(found.exitCode, found.stderrTail);
  if (need.files === 0) return 0;

  const few = need.files <= fewFiles;
  const send = await transport.sendArgv(`${work}/farm`, poolFolder, { few });
  for (let attempt = 1; attempt <= mostSends; attempt += 1) {
    const sent = await follow(
      `send to the pool, ${String(attempt)}`,
      sendFarmArgv({ work, root: part.folder, send }),
      job,
      (tails) => ({ ...transport.sendProgress(tails), totalBytes: need.bytes }),
    );
    const farm = lastMessage(sent.stderrTail, tended);
    if (farm === undefined) throw transport.failureOf(sent.exitCode, sent.stderrTail);
    if (farm.doubtful > 0) await takeOut(tree, work);
    if (sent.exitCode === 0 && farm.again === 0) return farm.bytes;
    // With no file that went away meanwhile, the failure is one of the place or the way there.
    if (sent.exitCode !== 0 && farm.doubtful === 0)
      throw transport.failureOf(sent.exitCode, `${sent.stdoutTail}\n${sent.stderrTail}`);
  }
  throw new Failure(
    'PartInvalid',
    `off-site ${name}: media changed under every one of ${String(mostSends)} attempts to send them`,
    {
      host: host.name,
      next: 'see what rewrites files in the media folder; it is tried again',
    },
  );
}

/** Up to so many files are asked for one by one; for more, listing the pool's folders is quicker. */
const fewFiles = 1_000;

/**
 * Where nothing can be removed, reading back finds those that are wrong: what the index says lies at no path any more.
 * A list that is not there was done with: the send that has made it is not run again by an attempt after it.
 */
async function takeOut(tree: Tree, work: string): Promise<void> {
  const { host, as } = tree.place;
  const there = await host.run(['test', '-s', `${work}/doubtful`], { as, okCodes: [0, 1] });
  if (there.exitCode !== 0) return;
  await tree.transport.remove(poolFolder, `${work}/doubtful`, runNow(tree));
  await host.run(['rm', '-f', '--', `${work}/doubtful`], { as });
}
