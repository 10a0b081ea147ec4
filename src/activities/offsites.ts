import { createHash } from 'node:crypto';
import { activityInfo } from '@temporalio/activity';
import { z } from 'zod';
import { retainParts } from '../backups/retention.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import type { PartName } from '../backups/parts.js';
import { notYet, offsiteOf, withOffsite } from '../offsite/read.js';
import type { FollowJob, Offsite, StoredPartRef } from '../offsite/offsite.js';
import { resticOffsite } from '../offsite/restic.js';
import { mediaIndexFiles } from '../mastodon/media-index.js';
import { activity, report } from './activity.js';
import { dumpFacts, rolesFacts } from './database.js';
import type { Ground } from './ground.js';
import { offsiteInput, partInput, runInput, type RunRef } from './inputs.js';
import { followJob, jobId } from './jobs.js';
import { mediaFacts } from './media.js';
import { needFacts, readFacts, type Spool, spoolOf, writeFacts } from './spool.js';
import { verifyCopy } from './verify.js';

const copyInput = z.strictObject({ run: runInput, offsite: offsiteInput });

/** What was put on an off-site, remembered on the host until the manifest says it. */
export const storedFacts = z.object({
  ref: z.object({
    snapshot: z.string(),
    root: z.string(),
    index: z.object({ snapshot: z.string(), root: z.string() }).optional(),
  }),
  bytesAdded: z.number(),
});
export const verifiedFacts = z.object({
  verifiedAt: z.string(),
  checked: z.object({ files: z.number(), bytes: z.number() }),
});

/** Filling, reading back and tidying up one off-site; each off-site on its own. */
export function offsiteActivities(ground: Ground) {
  return {
    /** Copies one part to one off-site, from the host that holds the bytes. What has arrived is not sent twice. */
    uploadPart: activity(copyInput.extend({ part: partInput }), async ({ run, offsite, part }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      report({ subject: `${part} to ${offsite}` });
      const media = part === 'media';
      const place = await openForRun(ground, run, offsite, media);
      const facts = media ? await needFacts(host, spool, 'media', mediaFacts) : undefined;
      const sending = { name: part, backup: run.backup, again: activityInfo().attempt > 1 };
      const stored = await place.put(
        facts === undefined
          ? {
              ...{ ...sending, folder: `${spool.folder}/${part}`, exclude: [] },
              bytes: await spoolBytes(host, spool, part),
            }
          : {
              ...{ ...sending, folder: facts.root, bytes: facts.bytes },
              exclude: [
                `${facts.root}/lost+found`,
                ...(facts.cache === 'exclude' ? [`${facts.root}/cache`] : []),
              ],
              excludeFile: `${spool.media.folder}/scan/${mediaIndexFiles.excludes}`,
              indexFolder: `${spool.media.folder}/index`,
            },
        follower(host, run, `${offsite}-${part}`),
      );
      await writeFacts(host, spool, `stored-${offsite}-${part}`, stored);
      return { bytesAdded: stored.bytesAdded };
    }),

    /**
     * Reads the copy back, by the machine that will need the bytes: database, secrets and Redis whole, every new file of
     * the media, and a share of the old ones that moves on every night.
     */
    verifyCopy: activity(copyInput.extend({ parts: z.array(partInput) }), async ({ run, offsite, parts }) => {
      const { configuration, config, host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const checked = await withOffsite(
        configuration,
        config,
        offsiteOf(configuration, offsite),
        (copy, reader) =>
          verifyCopy({
            copy,
            scratch: reader.scratch,
            host,
            spool,
            instance,
            parts,
            share: config.verify.media,
          }),
      );
      await writeFacts(host, spool, `verified-${offsite}`, { verifiedAt: new Date().toISOString(), checked });
      return checked;
    }),

    /** Applies retention to one off-site, after the new backup is sealed there. The newest backup always stays. */
    pruneOffsite: activity(copyInput, async ({ run, offsite }) => {
      const { config, host } = await ground.inspect(run.instance, run.backup);
      const place = await openForRun(ground, run, offsite, false);
      const { sealed, unsealed } = await place.list();
      if (!sealed.some(({ backup }) => backup === run.backup)) {
        throw new Failure('Refused', `${run.backup} is not sealed on ${offsite}: nothing is removed there`, {
          next: 'retention is applied after the next sealed backup',
        });
      }
      const decisions = retainParts(sealed, config.retention, config.schedule.backup?.timezone);
      const gone = decisions.filter((decision) => !decision.keep).map((decision) => decision.backup);
      // This run holds the instance, so whatever began before it and was not sealed never will be.
      const dead = unsealed.filter((backup) => backup < run.backup);
      await place.remove([...gone, ...dead], follower(host, run, `${offsite}-prune`));
      return { removed: gone.length, kept: sealed.length - gone.length };
    }),
  };
}

/** An off-site as the run writes it: from the instance's host, with the keys that were handed over for this run. */
export async function openForRun(
  ground: Ground,
  run: RunRef,
  name: string,
  media: boolean,
): Promise<Offsite> {
  const { configuration, host, instance } = await ground.inspect(run.instance, run.backup);
  const offsite = offsiteOf(configuration, name);
  if (offsite.kind !== 'restic') throw notYet(offsite);
  const spool = await spoolOf(host, instance, run);
  const asApp = media && spool.media.as !== 'login';
  const program = await ground.tool(run, 'restic');
  return resticOffsite(
    offsite,
    {
      host,
      as: asApp ? spool.media.as : 'login',
      keys: asApp ? spool.media.keys : spool.keys.login,
      program: asApp ? await lend(host, spool, program) : program,
      cache: asApp ? spool.cache.media : spool.cache.login,
    },
    run.instance,
  );
}

/** A program of the login user's private folder, where Mastodon's user can run it too. */
async function lend(host: Host, spool: Spool, program: string): Promise<string> {
  const { folder } = await host.facts();
  if (!program.startsWith(`${folder}/`)) return program;
  const copy = `${spool.media.folder}/${program.slice(program.lastIndexOf('/') + 1)}`;
  const { exitCode } = await host.run(['test', '-x', copy], { as: spool.media.as, okCodes: [0, 1] });
  if (exitCode !== 0) {
    const receive = await host.argvAs(
      ['sh', '-c', 'umask 077; cat > "$1.new" && chmod 700 "$1.new" && mv "$1.new" "$1"', 'sh', copy],
      spool.media.as,
    );
    await host.run(['sh', '-c', 'file=$1; shift; exec "$@" < "$file"', 'sh', program, ...receive]);
  }
  return copy;
}

function follower(host: Host, run: RunRef, step: string): FollowJob {
  return async (name, argv, options, progress) =>
    followJob(
      host,
      jobId(run, `${step}-${createHash('sha256').update(name).digest('hex').slice(0, 6)}`),
      argv,
      options,
      (status) => progress(status.stdoutTail),
    );
}

async function spoolBytes(host: Host, spool: Spool, part: string): Promise<number> {
  const { stdout } = await host.run(['du', '-sb', '--', `${spool.folder}/${part}`]);
  return Number(stdout.split('\t')[0]);
}

/** Everything that this run stored on an off-site, by part. */
export async function storedParts(
  host: Host,
  spool: Spool,
  offsite: string,
  parts: readonly PartName[],
): Promise<Map<PartName, { ref: StoredPartRef; bytesAdded: number }>> {
  const stored = new Map<PartName, { ref: StoredPartRef; bytesAdded: number }>();
  for (const part of parts) {
    const { ref, bytesAdded } = await needFacts(host, spool, `stored-${offsite}-${part}`, storedFacts);
    const { snapshot, root, index } = ref;
    stored.set(part, { ref: { snapshot, root, ...(index === undefined ? {} : { index }) }, bytesAdded });
  }
  return stored;
}

/** The files of the small parts as they were captured. */
export async function capturedEntries(host: Host, spool: Spool, part: string) {
  if (part === 'database') {
    const dump = await needFacts(host, spool, 'dump', dumpFacts);
    const roles = await readFacts(host, spool, 'roles', rolesFacts);
    return [dump.entry, ...(roles?.entry ? [roles.entry] : [])];
  }
  const entry = z.object({ entry: dumpFacts.shape.entry });
  return [(await needFacts(host, spool, part, entry)).entry];
}
