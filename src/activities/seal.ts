import { activityInfo, log } from '@temporalio/activity';
import { z } from 'zod';
import type { Manifest, ManifestPart } from '../backups/manifest.js';
import { partNames, quiesceModes } from '../backups/parts.js';
import { signManifest } from '../backups/signature.js';
import type { Host } from '../hosts/host.js';
import { mediaIndexFiles } from '../mastodon/media-index.js';
import { present } from '../present.js';
import { signingKey } from '../records/signing-key.js';
import { version } from '../version.js';
import { activity } from './activity.js';
import { databaseFacts, dumpFacts, rolesFacts, rowsFacts } from './database.js';
import type { Ground } from './ground.js';
import { offsiteInput, partInput, runInput, type RunRef } from './inputs.js';
import { mediaFacts } from './media.js';
import { momentFacts } from './moment.js';
import { capturedEntries, openForRun, storedParts, verifiedFacts } from './offsites.js';
import { redisFacts } from './redis.js';
import { proofFacts, secretsFacts } from './secrets.js';
import { keepSealedIndex, needFacts, readFacts, type Spool, spoolOf } from './spool.js';

const isoTime = z.iso.datetime();
const text = z.string().max(2000);

/** What the workflow knows of its own run; everything else was noted on the host. */
const sealInput = z.strictObject({
  run: runInput,
  offsite: offsiteInput,
  parts: z.array(partInput).min(1).max(partNames.length),
  startedAt: isoTime,
  quiesce: z.strictObject({
    mode: z.enum(quiesceModes),
    services: z.array(text).max(200),
    stoppedAt: isoTime.optional(),
    healthyAt: isoTime.optional(),
    downtimeMs: z.number().nonnegative(),
  }),
  timings: z
    .array(z.strictObject({ phase: text, startedAt: isoTime, durationMs: z.number().nonnegative() }))
    .max(100),
  warnings: z.array(text).max(200),
});

const instanceFacts = z.object({
  versions: z.object({ mastodon: z.string().nullable() }),
  redis: z.string(),
});

export function sealActivities(ground: Ground) {
  return {
    /** Writes the manifest, last of all: from here on the backup exists on this off-site. */
    sealCopy: activity(sealInput, async (input) => {
      const { run, offsite, parts } = input;
      const { configuration, host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const stored = await storedParts(host, spool, run.backup, offsite, parts);
      const verified = await needFacts(host, spool, `verified-${offsite}`, verifiedFacts);
      const described = await describe(host, spool);
      const place = await openForRun(ground, run, offsite, false);
      const manifest: Manifest = {
        version: 1,
        permafrost: version(),
        backup: run.backup,
        instance: run.instance,
        startedAt: input.startedAt,
        sealedAt: new Date().toISOString(),
        ...described,
        quiesce: present(input.quiesce),
        parts: await Promise.all(
          parts.map(async (name): Promise<ManifestPart> => {
            const entries = await capturedEntries(host, spool, name);
            const ref = stored.get(name)?.ref;
            const media = name === 'media' ? await needFacts(host, spool, 'media', mediaFacts) : undefined;
            const only = entries.length === 1 && media === undefined ? entries[0] : undefined;
            return {
              name,
              bytes: media?.bytes ?? entries.reduce((sum, entry) => sum + entry.bytes, 0),
              files: media?.files ?? entries.length,
              ...(only === undefined ? {} : { sha256: only.sha256 }),
              entries,
              ...present({ snapshot: ref?.snapshot, root: ref?.root, index: ref?.index }),
              ...(ref?.files === undefined ? {} : { stored: [...ref.files] }),
            };
          }),
        ),
        omitted: [
          ...partNames
            .filter((part) => !parts.includes(part))
            .map((part) => ({ what: part, why: leftOut(part, instance.media === null) })),
          ...alwaysOmitted(described),
        ],
        copy: {
          ...{ offsite, kind: place.kind, verifiedAt: verified.verifiedAt, checked: verified.checked },
          ...(verified.changedMeanwhile.length === 0 ? {} : { changedMeanwhile: verified.changedMeanwhile }),
          bytesAdded: [...stored.values()].reduce((sum, part) => sum + part.bytesAdded, 0),
        },
        timings: input.timings,
        warnings: [...input.warnings, ...described.warnings],
      };
      const signed = signManifest(manifest, await signingKey(configuration.state));
      const bytesAdded = manifest.copy.bytesAdded + (await place.seal(signed, activityInfo().attempt > 1));
      if (parts.includes('media')) await rememberSealed(host, spool, run, offsite);
      return {
        bytesAdded,
        parts: manifest.parts.map(({ name, bytes, files, sha256 }) => ({
          name,
          bytes,
          files,
          ...(sha256 === undefined ? {} : { sha256 }),
        })),
      };
    }),
  };
}

/**
 * Keeps the media index that an off-site was sealed with. The backup exists by then, so that nothing fails it any more:
 * without that index the next night reads back as new what is new since the one before, and keeps its own.
 */
export async function rememberSealed(host: Host, spool: Spool, run: RunRef, offsite: string): Promise<void> {
  const index = `${spool.media.folder}/index/${mediaIndexFiles.index}`;
  try {
    await keepSealedIndex(host, spool, run, offsite, index);
  } catch (error) {
    log.warn(`the media index that ${offsite} was sealed with was not kept`, { error });
  }
}

function leftOut(part: string, withoutMedia: boolean): string {
  return part === 'media' && withoutMedia
    ? 'the media are not on this host (object storage)'
    : 'not asked for';
}

function alwaysOmitted(described: { media?: { cache: string } }): Manifest['omitted'] {
  return described.media?.cache === 'exclude'
    ? [
        {
          what: 'public/system/cache',
          why: 'copies of remote files, which Mastodon fetches again (mediaCache: exclude)',
        },
      ]
    : [];
}

/** What the steps of this run have noted on the host. */
async function describe(host: Host, spool: Spool) {
  const [moment, database, dump, roles, rows, secrets, proof, media, redis, found] = await Promise.all([
    readFacts(host, spool, 'moment', momentFacts),
    readFacts(host, spool, 'database', databaseFacts),
    readFacts(host, spool, 'dump', dumpFacts),
    readFacts(host, spool, 'roles', rolesFacts),
    readFacts(host, spool, 'rows', rowsFacts),
    readFacts(host, spool, 'secrets', secretsFacts),
    readFacts(host, spool, 'proof', proofFacts),
    readFacts(host, spool, 'media', mediaFacts),
    readFacts(host, spool, 'redis', redisFacts),
    needFacts(host, spool, 'instance', instanceFacts),
  ]);
  const warnings = [
    ...(moment?.kind === 'own'
      ? ['The moment of the database was lost; the dump is of the moment that is written here.']
      : []),
    ...(redis?.newer ? ['The save of Redis that was copied is a little newer than the database.'] : []),
    ...(redis && !redis.checked ? ['redis-check-rdb is not on the host: the RDB was not checked.'] : []),
  ];
  return {
    ...(moment === undefined ? {} : { moment }),
    versions: {
      mastodon: found.versions.mastodon,
      schema: database?.schema ?? null,
      postgresql: database?.serverVersion ?? null,
      pgDump: dump?.pgDump ?? null,
      redis: found.redis,
    },
    ...(database === undefined
      ? {}
      : {
          database: {
            ...{
              name: database.name,
              format: 'custom' as const,
              sizeBytes: database.sizeBytes,
              encoding: database.encoding,
            },
            ...{ collate: database.collate, ctype: database.ctype, extensions: database.extensions },
            ...{
              roles: roles?.roles ?? 'not captured',
              rowCounts: rows ?? {},
              newestStatusAt: database.newestStatusAt,
            },
            ...present({ uniqueIndexes: database.uniqueIndexes, delta: dump?.delta }),
          },
        }),
    ...(secrets === undefined
      ? {}
      : {
          secrets: {
            files: secrets.files,
            variables: secrets.variables,
            proof: proof ?? {
              proven: false,
              tested: 0,
              notes: ['a backup without its database: not proven'],
            },
          },
        }),
    ...(media === undefined
      ? {}
      : {
          media: {
            ...{ root: media.root, cache: media.cache, expected: media.expected },
            ...{ alreadyMissing: media.alreadyMissing, alreadyMissingCount: media.alreadyMissingCount },
            ...{
              deletedDuringRun: media.deletedDuringRun,
              deletedDuringRunCount: media.deletedDuringRunCount,
            },
            ...{ hashedFiles: media.hashedFiles, carriedFiles: media.carriedFiles },
            ...present({ sizeDiffers: media.sizeDiffers }),
          },
        }),
    ...(redis === undefined
      ? {}
      : {
          redis: {
            savedAt: redis.savedAt,
            aof: redis.aof,
            keys: redis.keys,
            queues: redis.queues,
            sets: redis.sets,
            newer: redis.newer,
          },
        }),
    warnings,
  };
}
