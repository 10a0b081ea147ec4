import { createHash } from 'node:crypto';
import type { Manifest } from '../backups/manifest.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import type { FollowJob } from '../offsite/offsite.js';
import { type Received, readMediaIndexFile } from '../offsite/receive.js';
import { proveDatabase } from '../proofs/database.js';
import { archivedEnvironment } from '../proofs/environment.js';
import { loadDump, loadedCheck, loadFinding, type LoadTarget } from '../proofs/load.js';
import { type DatabaseAccess, psql } from '../mastodon/psql.js';
import { sqlName } from '../mastodon/sql-words.js';
import { type Cluster, startCluster } from '../scratch/cluster.js';
import type { Scratch } from '../scratch/scratch.js';
import { activity, tell } from './activity.js';
import {
  elapsedSince,
  type DrillGround,
  inDrill,
  type LoadedScratch,
  needReceived,
  stepInput,
} from './drill-steps.js';
import type { Ground } from './ground.js';
import { followJob } from './jobs.js';

/** What the database is called in the drill's own cluster, whatever its name is elsewhere. */
export const restoredDatabase = 'restored';

/** pg_restore at a time: more wait for the disk. */
const mostJobs = 8;

/** Restoring the database into a cluster of the drill's own, and what it proves. */
export function drillLoadActivities(ground: Ground) {
  return {
    /** A dump that does not load is a finding, not a failure. */
    loadScratch: activity(stepInput, (step) =>
      inDrill(ground, step, async (here): Promise<LoadedScratch> => {
        const { host, scratch } = here;
        const { manifest, files } = await needReceived(here);
        const dump = files.dump ?? '';
        const cluster = await clusterOf(scratch, manifest);
        await makeDatabase(host, cluster, manifest, 'when missing');
        const startedMs = Date.now();
        try {
          const loaded = await loadDump({
            ...{ target: targetOf(host, cluster), dump, jobs: await jobsOf(host), manifest },
            work: await scratch.place('load'),
            follow: followerIn(scratch, 'load'),
            fresh: () => makeDatabase(host, cluster, manifest, 'anew'),
          });
          const { notes, restoreMs, analyzeMs } = loaded;
          return { check: loadedCheck(loaded), notes, ms: restoreMs + analyzeMs };
        } catch (error) {
          const ms = elapsedSince(startedMs);
          const check = loadFinding(error, ms);
          if (check === undefined) throw error;
          return { check, notes: [], ms };
        }
      }),
    ),

    /** Proves that the loaded database is the instance, with the secrets and the media's index of the same backup. */
    proveScratch: activity(stepInput, (step) =>
      inDrill(ground, step, async (here) => {
        const { host, scratch } = here;
        const received = await needReceived(here);
        const { manifest, files } = received;
        const cluster = await clusterOf(scratch, manifest);
        return proveDatabase({
          ...{ host, access: cluster.database(restoredDatabase), superuser: true, manifest },
          reader: await cluster.databaseForApplication(restoredDatabase),
          env: await environmentOf(here, received),
          index: files.mediaIndex === undefined ? null : readMediaIndexFile(host, files.mediaIndex),
          tell,
        });
      }),
    ),
  };
}

/** The drill's cluster: found again, or started anew after the drill host was. */
export function clusterOf(scratch: Scratch, manifest: Manifest): Promise<Cluster> {
  const major = leastMajor(manifest);
  return startCluster(scratch, major === undefined ? {} : { major });
}

/** The least major of PostgreSQL that reads a backup's dump and holds what was in it; undefined when it is not known. */
export function leastMajor({ versions }: Manifest): number | undefined {
  const majors = [versions.postgresql, versions.pgDump].flatMap((version) => {
    const major = /\d+/.exec(version ?? '')?.[0];
    return major === undefined ? [] : [Number(major)];
  });
  return majors.length === 0 ? undefined : Math.max(...majors);
}

/** The environment that the web process would have of this backup alone; null when it holds none. */
export async function environmentOf(
  { host, config: { mastodon } }: DrillGround,
  { manifest, files }: Received,
): Promise<ReadonlyMap<string, string> | null> {
  const envFile = mastodon.envFile ?? `${mastodon.root}/.env.production`;
  return files.secrets === undefined ? null : archivedEnvironment(host, files.secrets, manifest, envFile);
}

function targetOf(host: Host, cluster: Cluster): LoadTarget {
  const access = cluster.database(restoredDatabase);
  const environment = {
    ...{ PGHOST: cluster.socketFolder, PGPORT: String(cluster.port) },
    ...{ PGUSER: 'postgres', PGDATABASE: restoredDatabase, PATH: `${cluster.binDir}:/usr/bin:/bin` },
  };
  return { host, access, as: 'login', environment, superuser: true };
}

/** What is sorted has the locale C whatever the instance's is: what is compared by it was made with that. */
async function makeDatabase(
  host: Host,
  { access }: Cluster,
  { database }: Manifest,
  how: 'when missing' | 'anew',
): Promise<void> {
  if (how === 'anew') await psql(host, access, `DROP DATABASE IF EXISTS ${restoredDatabase} WITH (FORCE)`);
  const there = await psql(host, access, `SELECT 1 FROM pg_database WHERE datname = '${restoredDatabase}'`);
  if (there.length > 0) return;
  // Of a manifest that anybody may have written who writes to the off-site.
  const encoding = /^[A-Za-z0-9_]{1,40}$/.exec(database?.encoding ?? '')?.[0] ?? 'UTF8';
  const ofSource = /^[A-Za-z0-9_.@-]{1,60}$/.exec(database?.ctype ?? '')?.[0];
  await createForDrill(host, access, restoredDatabase, encoding, ofSource);
}

/**
 * Makes an empty database for a drill. What is a letter, and its capital, is as at the source, or as in UTF-8: with the
 * ctype C, `É` and `é` are not alike for a unique index of `lower(…)`, which a real restore would refuse.
 *
 * @throws Failure `CommandFailed`.
 */
export async function createForDrill(
  host: Host,
  access: DatabaseAccess,
  name: string,
  encoding = 'UTF8',
  ofSource?: string,
): Promise<void> {
  const choices = [...(ofSource === undefined ? [] : [ofSource]), 'C.UTF-8', 'C'];
  for (const [at, ctype] of choices.entries()) {
    try {
      await psql(
        host,
        access,
        `CREATE DATABASE ${sqlName(name)} TEMPLATE template0 ENCODING '${encoding}' LC_COLLATE 'C' LC_CTYPE '${ctype}'`,
      );
      return;
    } catch (error) {
      const isOfLocale = error instanceof Failure && /locale/.test(error.message);
      if (!isOfLocale || at === choices.length - 1) throw error;
    }
  }
}

async function jobsOf(host: Host): Promise<number> {
  const { stdout } = await host.run(['nproc']);
  return Math.min(mostJobs, Math.max(1, Number(stdout.trim()) || 1));
}

/** Runs jobs that the scratch's lease ends with it. */
export function followerIn(scratch: Scratch, step: string): FollowJob {
  return async (name, argv, options, progress) => {
    const id = scratch.jobId(`${step}-${createHash('sha256').update(name).digest('hex').slice(0, 6)}`);
    return followJob(scratch.host, id, argv, options, progress);
  };
}
