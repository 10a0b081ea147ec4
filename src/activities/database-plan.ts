import { z } from 'zod';
import { type DatabasePlan, type FullDump, isWalkDue, planTonight } from '../backups/database-plan.js';
import { timeOfBackup } from '../backups/id.js';
import { gigabytes } from '../backups/space.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { lackingForDeltas } from '../hosts/delta-tools.js';
import { freeBytes } from '../hosts/space.js';
import { databaseAccess, type Instance } from '../mastodon/inspect.js';
import { psql } from '../mastodon/psql.js';
import { dumpEntry } from '../offsite/dump-files.js';
import { offsiteOf, withOffsite } from '../offsite/read.js';
import { type Reader, standsThere } from '../offsite/whole-dump.js';
import { present } from '../present.js';
import { activity } from './activity.js';
import { DatabaseBase } from './database-base.js';
import { databaseFacts, dumpFacts } from './database.js';
import { planFacts, signatureOfDump } from './database-dump.js';
import type { Ground, InstanceGround } from './ground.js';
import { offsiteInput, runInput } from './inputs.js';
import { storedFacts } from './offsites.js';
import { needFacts, readFacts, spoolOf, writeFacts } from './spool.js';

const offsitesInput = z.strictObject({ run: runInput, offsites: z.array(offsiteInput).max(20) });

/** The database night by night: a full dump, or a delta against the last one. */
export function planActivities(ground: Ground) {
  return {
    /** Decides whether tonight's database is a full dump or a delta. Asks every off-site of tonight for the full one. */
    planDatabase: activity(offsitesInput, async ({ run, offsites }): Promise<DatabasePlan> => {
      const found = await ground.inspect(run.instance, run.backup);
      const { config, host, instance } = found;
      const { fullEveryMs } = config.database;
      const base = await DatabaseBase.of(host, run.instance);
      const full = fullEveryMs === null ? null : await base.full();
      const now = {
        ...{ backup: run.backup, fullEveryMs, full },
        ...{ pgMajor: instance.database.major, mastodon: instance.versions.mastodon },
      };
      const plan = planTonight(
        fullEveryMs === null
          ? { ...now, schema: null, signature: false, offsites: [] }
          : { ...now, ...(await lookAround(found, base, full, offsites, timeOfBackup(run.backup))) },
      );
      const spool = await spoolOf(host, instance, run);
      const sign =
        plan.kind === 'full' && fullEveryMs !== null && (await lackingForDeltas(host)) === undefined;
      await writeFacts(host, spool, 'database-plan', { kind: plan.kind, sign } satisfies z.infer<
        typeof planFacts
      >);
      return plan;
    }),

    /**
     * Keeps what the next nights' deltas need, once the database is sealed somewhere: the signature of a full dump and
     * which off-sites have it, or the size of a delta. Without it the next night takes a full dump, and is as good.
     */
    keepBase: activity(offsitesInput, async ({ run, offsites }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const base = await DatabaseBase.of(host, run.instance);
      const dump = await readFacts(host, spool, 'dump', dumpFacts);
      const plan = await readFacts(host, spool, 'database-plan', planFacts);
      if (dump?.delta !== undefined) await base.noteDelta(dump.delta.full, dump.entry.bytes);
      if (dump === undefined || dump.delta !== undefined || plan?.sign !== true) return { kept: false };
      const { schema } = await needFacts(host, spool, 'database', databaseFacts);
      const signature = await signatureOfDump(ground, run, host, spool, dump.entry);
      const sealed = await Promise.all(
        offsites.map(async (name) => {
          const { ref, bytesAdded } = await needFacts(host, spool, `stored-${name}-database`, storedFacts);
          const stored = ref.files?.find((file) => file.entry === dumpEntry)?.bytes;
          return {
            ...{ name, storedBytes: stored ?? bytesAdded },
            ref: { backup: run.backup, name: 'database' as const, ...present(ref) },
          };
        }),
      );
      const { bytes, sha256 } = dump.entry;
      await base.adopt(
        {
          ...{ backup: run.backup, bytes, sha256 },
          ...{ blockSize: signature.blockSize, signatureSha256: signature.sha256 },
          ...{ pgMajor: instance.database.major, mastodon: instance.versions.mastodon, schema },
          storedBytes: Math.max(leastStored(bytes), ...sealed.map(({ storedBytes }) => storedBytes)),
        },
        signature.path,
        sealed,
      );
      return { kept: true };
    }),
  };
}

/**
 * What a full dump counts as having taken at least: an off-site with dedup may have had nearly all of it, or an earlier
 * attempt has sent it. Dumps compress to a third (measured).
 */
function leastStored(dumpBytes: number): number {
  return Math.ceil(dumpBytes / 10);
}

/** What the decision stands on, besides what the instance is. */
async function lookAround(
  found: InstanceGround & { instance: Instance },
  base: DatabaseBase,
  full: FullDump | null,
  offsites: readonly string[],
  now: Date,
) {
  const { host, instance } = found;
  const [tool, schema, signature, lastDeltaBytes, asked] = await Promise.all([
    lackingForDeltas(host),
    schemaVersion(host, instance),
    full === null ? false : base.hasSignature(full),
    full === null ? undefined : base.lastDelta(full),
    Promise.all(full === null ? [] : offsites.map((name) => askOffsite(found, base, full, name, now))),
  ]);
  const lacking = tool ?? asked.find((one) => one.lacking !== undefined)?.lacking;
  return {
    ...{ schema, signature },
    ...present({ lacking, lastDeltaBytes }),
    offsites: asked.map(({ name, lacks }) => ({ name, ...present({ lacks }) })),
  };
}

type Lacking = { what: string; next: string } | undefined;

/** Whether an off-site still has the full dump, and whether where it is read a walk that is due tonight can be done. */
async function askOffsite(
  { configuration, config }: InstanceGround,
  base: DatabaseBase,
  full: FullDump,
  name: string,
  now: Date,
): Promise<{ name: string; lacks?: string | undefined; lacking?: Lacking }> {
  const ref = await base.sealedOn(name, full.backup);
  if (ref === null) return { name, lacks: 'it was not read back and sealed there' };
  try {
    return await withOffsite(configuration, config, offsiteOf(configuration, name), async (copy, reader) => {
      const { sealed } = await copy.list();
      const there = sealed.find(({ backup }) => backup === full.backup)?.parts.includes('database') === true;
      const { bytes, sha256 } = full;
      const lacks = there
        ? await standsThere(copy, { ref, entry: { path: dumpEntry, bytes, sha256 } })
        : 'it is gone from there';
      const lacking = copy.opens
        ? await lacksForReading(reader, full, isWalkDue(await base.walkedAt(name), now))
        : undefined;
      return { name, lacks, lacking };
    });
  } catch (error) {
    // Whoever cannot be asked now is asked again when its copy is read back, and fails there if it lacks the full dump.
    if (error instanceof Failure) return { name };
    throw error;
  }
}

/** A delta that nobody could put together with its full dump would not be a backup. */
async function lacksForReading({ host, scratch }: Reader, full: FullDump, walk: boolean): Promise<Lacking> {
  const tool = await lackingForDeltas(host);
  if (tool !== undefined || !walk) return tool;
  const free = await freeBytes(host, scratch);
  if (free > full.bytes + (64 << 20)) return undefined;
  return {
    what: `${host.name} has no room for putting a delta and its full dump together once a week (${gigabytes(full.bytes)} needed under ${scratch}, ${gigabytes(free)} free)`,
    next: 'Make room there, or say database.delta: off.',
  };
}

/** The newest version in schema_migrations, as the database is now. */
async function schemaVersion(host: Host, instance: Instance): Promise<string | null> {
  const rows = await psql(
    host,
    databaseAccess(instance),
    "SELECT 'SELECT max(version) FROM public.schema_migrations' WHERE to_regclass('public.schema_migrations') IS NOT NULL \\gexec",
  );
  return rows[0]?.[0] || null;
}
