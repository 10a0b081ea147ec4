import { z } from 'zod';
import { Failure } from '../errors.js';
import { backupIdPattern } from './id.js';
import { partNames, quiesceModes } from './parts.js';

/**
 * The manifest: the JSON that makes a backup a backup. Written last; a backup without one does not exist.
 *
 * Fields may be added, never changed; every future version reads every past one. It is validated when it is written
 * and when it is read, and its JSON Schema is published in `docs/manifest.schema.json`.
 */

const bytes = z.number().int().nonnegative().describe('bytes');
const count = z.number().int().nonnegative();
const isoTime = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
  .describe('UTC time, ISO 8601');
const sha256 = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .describe('SHA-256, hexadecimal');

const entry = z
  .object({
    path: z.string().min(1).describe('path inside the part'),
    bytes,
    sha256,
  })
  .describe('one file of a part that is small enough to be named in the manifest');

const part = z
  .object({
    name: z.enum(partNames),
    bytes,
    files: count,
    sha256: sha256.optional().describe('of a part that is a single file'),
    entries: z.array(entry).describe('the files of the part; for media, the index that lists them'),
    snapshot: z.string().optional().describe("restic: the id of the part's snapshot"),
    index: z
      .object({ snapshot: z.string(), root: z.string() })
      .optional()
      .describe("where the media's index lies"),
    root: z.string().optional().describe('the folder on the host that the part was read from'),
    stored: z
      .array(
        z.object({
          entry: z.string().min(1).describe("the entry's path inside the part"),
          path: z.string().min(1).describe('its name on the off-site; .zst: zstd, .age: age, in this order'),
          bytes,
          sha256: sha256.describe('SHA-256 of what is stored'),
        }),
      )
      .optional()
      .describe('rclone, rsync: how the entries lie on the off-site'),
  })
  .describe('one part of the backup');

const missingFile = z.object({ path: z.string(), table: z.string().optional() });

export const manifestSchema = z
  .object({
    version: z.literal(1).describe("the manifest's own version"),
    permafrost: z.string().describe('the version of Permafrost that made the backup'),
    backup: z.string().regex(backupIdPattern),
    instance: z.string().min(1).describe('LOCAL_DOMAIN'),
    startedAt: isoTime,
    sealedAt: isoTime,
    moment: z
      .object({
        kind: z
          .enum(['pinned', 'own'])
          .describe("pinned: a snapshot exported in the quiesce window; own: the dump's own, taken later"),
        at: isoTime,
        quiesced: z.boolean().describe("true when Mastodon's services stood still at that moment"),
      })
      .optional()
      .describe('the moment of the database'),
    quiesce: z.object({
      mode: z.enum(quiesceModes),
      services: z.array(z.string()).describe('the services that were stopped and started again'),
      stoppedAt: isoTime.optional(),
      healthyAt: isoTime.optional(),
      downtimeMs: z.number().nonnegative(),
    }),
    versions: z.object({
      mastodon: z.string().nullable(),
      schema: z.string().nullable().describe('the newest version in schema_migrations'),
      postgresql: z.string().nullable(),
      pgDump: z.string().nullable(),
      redis: z.string().nullable(),
      restic: z.string().nullable().optional(),
    }),
    database: z
      .object({
        name: z.string(),
        format: z.enum(['custom', 'directory']),
        sizeBytes: bytes.describe("the live database's size"),
        encoding: z.string(),
        collate: z.string(),
        ctype: z.string(),
        extensions: z.array(z.object({ name: z.string(), version: z.string() })),
        roles: z.enum(['with passwords', 'without passwords', 'not captured']),
        rowCounts: z
          .record(z.string(), count)
          .describe("rows of every table, counted in the dump's own snapshot"),
        newestStatusAt: isoTime.nullable(),
        uniqueIndexes: z
          .array(
            z.object({
              table: z.string(),
              name: z.string().nullable().describe('null: the primary key'),
              columns: z.array(z.string()).describe('or one expression'),
            }),
          )
          .optional()
          .describe("the unique indexes of the code's db/schema.rb; absent where that is not at hand"),
        delta: z
          .object({
            full: z
              .string()
              .regex(backupIdPattern)
              .describe('the backup on the same off-site with the full dump'),
            fullBytes: bytes,
            fullSha256: sha256,
            dumpBytes: bytes.describe('of the dump that the delta was made from'),
            dumpSha256: sha256,
          })
          .optional()
          .describe(
            'the entry database.delta.zst is a delta (librsync, rdiff) against the full dump of another backup',
          ),
      })
      .optional(),
    secrets: z
      .object({
        files: z.array(
          z.object({ path: z.string(), mode: z.string(), owner: z.string(), group: z.string(), bytes }),
        ),
        variables: z.array(z.string()).describe('the names that the env file sets; never a value'),
        proof: z.object({
          proven: z
            .boolean()
            .describe("true when ciphertext of this backup's database was opened with these secrets"),
          tested: count.describe('ciphertexts that were opened'),
          notes: z.array(z.string()),
        }),
      })
      .optional(),
    media: z
      .object({
        root: z.string(),
        cache: z.enum(['exclude', 'include']),
        expected: count.describe('local files that the database names in its snapshot'),
        alreadyMissing: z
          .array(missingFile)
          .describe('named by the database, missing at the source already (the first 1000)'),
        alreadyMissingCount: count,
        deletedDuringRun: z
          .array(missingFile)
          .describe('named in the snapshot, deleted since by a user (the first 1000)'),
        deletedDuringRunCount: count,
        sizeDiffers: count
          .optional()
          .describe('files that had another size at the source than the database says'),
        hashedFiles: count,
        carriedFiles: count.describe('unchanged files whose hash was carried over from the previous index'),
      })
      .optional(),
    redis: z
      .object({
        savedAt: isoTime,
        aof: z
          .boolean()
          .describe('the server runs with an append-only file: load the RDB with appendonly no first'),
        keys: count,
        queues: z.record(z.string(), count).describe("Sidekiq's queues and the jobs waiting in each"),
        sets: z.record(z.string(), count).describe("Sidekiq's sorted sets: schedule, retry, dead"),
        newer: z.boolean().optional().describe('the save that was copied is a later one than was counted'),
      })
      .optional(),
    parts: z.array(part).min(1),
    omitted: z
      .array(z.object({ what: z.string(), why: z.string() }))
      .describe('what is not in the backup, and why'),
    copy: z
      .object({
        offsite: z.string(),
        kind: z.string(),
        verifiedAt: isoTime,
        checked: z.object({ files: count, bytes }),
        bytesAdded: bytes,
        changedMeanwhile: z
          .array(z.string())
          .optional()
          .describe(
            'media that users deleted or changed between the index and the copy: not on this off-site',
          ),
        copiedFrom: z.string().optional().describe('the off-site that this copy was made from'),
      })
      .describe('this very copy: where it lies and what of it was read back before it was sealed'),
    timings: z.array(
      z.object({ phase: z.string(), startedAt: isoTime, durationMs: z.number().nonnegative() }),
    ),
    warnings: z.array(z.string()),
    signature: z
      .object({
        key: z.string().describe('names the public key: the first 16 hex digits of its SHA-256'),
        ed25519: z.string().describe('base64, over everything but this field'),
      })
      .optional(),
  })
  .describe("Permafrost's manifest of a backup");

export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestPart = Manifest['parts'][number];
export type ManifestEntry = ManifestPart['entries'][number];

/** The manifest as it is stored. @throws Failure `Unexpected` when it is not of its own schema: a defect of ours. */
export function writeManifest(manifest: Manifest): string {
  const checked = manifestSchema.safeParse(manifest);
  if (!checked.success) {
    throw new Failure(
      'Unexpected',
      `the manifest of ${manifest.backup} is not valid: ${z.prettifyError(checked.error)}`,
      {
        next: 'this is a defect of Permafrost: please report it with the message',
      },
    );
  }
  return `${JSON.stringify(checked.data, null, 1)}\n`;
}

/** Reads a manifest back. @throws Failure `NotRestorable` when it is not one. */
export function readManifest(text: string, where: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Failure('NotRestorable', `the manifest ${where} is not JSON`, {
      next: 'verify this backup on another off-site (permafrost verify --from NAME)',
    });
  }
  const checked = manifestSchema.safeParse(json);
  if (!checked.success) {
    const newer = typeof json === 'object' && json !== null && 'version' in json && Number(json.version) > 1;
    throw new Failure(
      'NotRestorable',
      `the manifest ${where} is not valid: ${z.prettifyError(checked.error)}`,
      {
        next: newer
          ? 'it was made by a newer Permafrost: upgrade this one'
          : 'verify this backup on another off-site',
      },
    );
  }
  return checked.data;
}

/** The published JSON Schema. */
export function manifestJsonSchema(): object {
  return { $id: 'permafrost-manifest-1', ...z.toJSONSchema(manifestSchema) };
}
