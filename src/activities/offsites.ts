import { createHash } from 'node:crypto';
import { activityInfo } from '@temporalio/activity';
import { z } from 'zod';
import type { BackupId } from '../backups/id.js';
import type { Host } from '../hosts/host.js';
import type { ToolName } from '../hosts/tools.js';
import { type PartName, partNames } from '../backups/parts.js';
import { receiveFile } from '../offsite/keys.js';
import { offsiteOf, withOffsite } from '../offsite/read.js';
import type { FollowJob, Offsite, StoredPartRef } from '../offsite/offsite.js';
import { openOffsite } from '../offsite/open.js';
import { mediaIndexFiles } from '../mastodon/media-index.js';
import { present } from '../present.js';
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
    snapshot: z.string().optional(),
    root: z.string().optional(),
    index: z.object({ snapshot: z.string(), root: z.string() }).optional(),
    files: z
      .array(z.object({ entry: z.string(), path: z.string(), bytes: z.number(), sha256: z.string() }))
      .optional(),
  }),
  bytesAdded: z.number(),
});
export const verifiedFacts = z.object({
  verifiedAt: z.string(),
  checked: z.object({ files: z.number(), bytes: z.number() }),
  /** Media that users deleted or changed before they could be copied. */
  changedMeanwhile: z.array(z.string()).default([]),
});

/** Filling, reading back and tidying up one off-site; each off-site on its own. */
export function offsiteActivities(ground: Ground) {
  return {
    /** Copies parts to one off-site, one after the other, from the host that holds the bytes. What has arrived is not sent twice. */
    uploadParts: activity(
      copyInput.extend({ parts: z.array(partInput).min(1).max(partNames.length) }),
      async ({ run, offsite, parts }) => {
        let bytesAdded = 0;
        for (const part of parts) bytesAdded += await uploadPart(ground, run, offsite, part);
        return { bytesAdded };
      },
    ),

    /** The same for one part: what runs have asked for that began before version 0.3. */
    uploadPart: activity(copyInput.extend({ part: partInput }), async ({ run, offsite, part }) => ({
      bytesAdded: await uploadPart(ground, run, offsite, part),
    })),

    /**
     * Reads the copy back, by the machine that will need the bytes: database, secrets and Redis whole, every new file of
     * the media, and a share of the old ones that moves on every night.
     */
    verifyCopy: activity(copyInput.extend({ parts: z.array(partInput) }), async ({ run, offsite, parts }) => {
      const { configuration, config, host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const { checked, changedMeanwhile } = await withOffsite(
        configuration,
        config,
        offsiteOf(configuration, offsite),
        (copy, reader) =>
          verifyCopy({
            copy,
            reader,
            ...{ domain: run.instance, backup: run.backup },
            ...{ host, spool, parts },
            share: config.verify.media,
          }),
      );
      const verifiedAt = new Date().toISOString();
      await writeFacts(host, spool, `verified-${offsite}`, { verifiedAt, checked, changedMeanwhile });
      return checked;
    }),
  };
}

async function uploadPart(ground: Ground, run: RunRef, offsite: string, part: PartName): Promise<number> {
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
          ...(part === 'database' ? await dependency(host, spool) : {}),
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
  return stored.bytesAdded;
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
  const spool = await spoolOf(host, instance, run);
  const asApp = media && spool.media.as !== 'login';
  const tool = async (toolName: ToolName) => {
    const program = await ground.tool(run, toolName);
    return asApp ? lend(host, spool, program) : program;
  };
  return openOffsite(
    offsite,
    {
      ...{ host, as: asApp ? spool.media.as : ('login' as const) },
      ...{ keys: asApp ? spool.media.keys : spool.keys.login, tool },
      cache: `${asApp ? spool.cache.media : spool.cache.login}/${offsite.kind}`,
      work: `${asApp ? spool.media.folder : spool.folder}/to-${name}`,
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
    const receive = await host.argvAs(['sh', '-c', receiveFile, 'sh', copy, '700'], spool.media.as);
    await host.run(['sh', '-c', 'file=$1; shift; exec "$@" < "$file"', 'sh', program, ...receive]);
  }
  return copy;
}

/** Follows the jobs of a step on one host; a step may have several, each by its name. */
export function follower(host: Host, run: RunRef, step: string): FollowJob {
  return async (name, argv, options, progress) =>
    followJob(
      host,
      jobId(run, `${step}-${createHash('sha256').update(name).digest('hex').slice(0, 6)}`),
      argv,
      options,
      progress,
    );
}

/** The backup that a delta of the database needs. */
async function dependency(host: Host, spool: Spool): Promise<{ dependsOn?: BackupId }> {
  const { delta } = await needFacts(host, spool, 'dump', dumpFacts);
  return delta === undefined ? {} : { dependsOn: delta.full };
}

async function spoolBytes(host: Host, spool: Spool, part: string): Promise<number> {
  const { stdout } = await host.run(['du', '-sb', '--', `${spool.folder}/${part}`]);
  return Number(stdout.split('\t')[0]);
}

/** Everything that this run stored on an off-site, by part. */
export async function storedParts(
  host: Host,
  spool: Spool,
  backup: BackupId,
  offsite: string,
  parts: readonly PartName[],
): Promise<Map<PartName, { ref: StoredPartRef; bytesAdded: number }>> {
  const stored = new Map<PartName, { ref: StoredPartRef; bytesAdded: number }>();
  for (const part of parts) {
    const { ref, bytesAdded } = await needFacts(host, spool, `stored-${offsite}-${part}`, storedFacts);
    stored.set(part, { ref: { backup, name: part, ...present(ref) }, bytesAdded });
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
