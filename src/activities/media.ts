import { createInterface } from 'node:readline';
import { z } from 'zod';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { schemaOf } from '../mastodon/database-schema.js';
import { databaseAccess, type Instance } from '../mastodon/inspect.js';
import { copyToStdout, mediaFilesSql } from '../mastodon/media-files.js';
import {
  mediaIndexArgv,
  mediaIndexFiles,
  mediaIndexScript,
  readMediaIndexProgress,
  readMediaIndexSummary,
} from '../mastodon/media-index.js';
import { psql } from '../mastodon/psql.js';
import { activity, report } from './activity.js';
import { entryFacts, inMoment, queryToFile } from './database.js';
import { type Ground, refuse } from './ground.js';
import { runInput, type RunRef } from './inputs.js';
import { followJob, jobId } from './jobs.js';
import { keepFile, lastIndexPath, type Spool, spoolOf, writeFacts } from './spool.js';

/** Missing files that the manifest names; more are only counted. */
const namedMissing = 1000;

const missingFile = z.object({ path: z.string() });
export const mediaFacts = z.object({
  root: z.string(),
  cache: z.enum(['exclude', 'include']),
  files: z.number(),
  bytes: z.number(),
  newFiles: z.number(),
  newBytes: z.number(),
  hashedFiles: z.number(),
  carriedFiles: z.number(),
  unreadable: z.number(),
  symlinks: z.number(),
  expected: z.number(),
  ordinal: z.number(),
  entry: entryFacts,
  alreadyMissing: z.array(missingFile),
  alreadyMissingCount: z.number(),
  deletedDuringRun: z.array(missingFile),
  deletedDuringRunCount: z.number(),
  sizeDiffers: z.number().optional(),
});
export type MediaFacts = z.infer<typeof mediaFacts>;

export function mediaActivities(ground: Ground) {
  return {
    /**
     * Makes the index of the media, after the moment of the database: Mastodon writes an upload's files before the row
     * that names them commits, so every file that the snapshot names is there, less what a user has deleted since
     * (kt-paperclip's has_attached_file writes in after_save, inside the transaction).
     */
    indexMedia: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const { media } = instance;
      if (media === null)
        throw refuse(`${instance.domain} has no media on ${host.name}`, 'leave media out with --only', host);
      const spool = await spoolOf(host, instance, run);
      report({ subject: 'media' });
      const work = `${spool.media.folder}/scan`;
      const expected = await expectedFiles(host, instance, run, spool);
      const script = `${work}/media-index.pl`;
      await put(host, spool, script, mediaIndexScript);
      const previous = await lastIndexPath(host, spool, run.instance);
      const known = await host.run(['test', '-s', previous], { as: spool.media.as, okCodes: [0, 1] });
      const argv = mediaIndexArgv({
        ...{ script, root: media.path, outFolder: work, expected },
        previousIndex: known.exitCode === 0 ? previous : null,
        includeCache: media.cache === 'include',
      });
      const done = await followJob(
        host,
        jobId(run, 'index-media'),
        argv,
        { as: spool.media.as, cwd: '/', nice: 10 },
        (status) => readMediaIndexProgress(status.stderrTail),
      );
      const summary = readMediaIndexSummary(done.stdoutTail);
      const entry = await publishIndex(host, spool);
      const missing = await classifyMissing(host, instance, spool, summary.missing);
      const facts: MediaFacts = { ...summary, root: media.path, cache: media.cache, entry, ...missing };
      await writeFacts(host, spool, 'media', facts);
      return {
        files: summary.files,
        bytes: summary.bytes,
        newFiles: summary.newFiles,
        alreadyMissing: missing.alreadyMissingCount,
        deletedDuringRun: missing.deletedDuringRunCount,
        unreadable: summary.unreadable + summary.unreadableFolders,
        previousDamaged: summary.previousDamaged > 0,
      };
    }),

    /** Keeps the index for the next night, which then reads only what is new. */
    keepIndex: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const last = await lastIndexPath(host, spool, run.instance);
      const index = `${spool.media.folder}/index/${mediaIndexFiles.index}`;
      await host.run(['sh', '-c', keepFile, 'sh', index, last], { as: spool.media.as, timeoutMs: 600_000 });
    }),
  };
}

async function put(host: Host, spool: Spool, path: string, content: string): Promise<void> {
  await host.run(['sh', '-c', 'umask 077; cat > "$1"', 'sh', path], { as: spool.media.as, stdin: content });
}

/** The files that the database names in its pinned moment, as a file beside the index's work; null without a database. */
async function expectedFiles(
  host: Host,
  instance: Instance,
  run: RunRef,
  spool: Spool,
): Promise<string | null> {
  const select = mediaFilesSql(await schemaOf(host, instance));
  if (select === null) return null;
  const job = await host.job(jobId(run, 'moment')).status();
  if (job.state === 'absent') return null; // a backup without its database: nothing to compare with
  const sql = await inMoment(host, instance, run, copyToStdout(select));
  const listed = `${spool.facts}/media.expected`;
  await queryToFile(host, instance, run, spool, 'list-media', sql, listed);
  if (spool.media.as === 'login') return listed;
  const path = `${spool.media.folder}/scan/media.expected`;
  const receive = await host.argvAs(['sh', '-c', 'umask 077; cat > "$1"', 'sh', path], spool.media.as);
  await host.run(['sh', '-c', 'file=$1; shift; exec "$@" < "$file"', 'sh', listed, ...receive], {
    timeoutMs: 600_000,
  });
  return path;
}

/** Puts the index where the off-sites take it from; it stays where it was made, for an attempt after this one. */
async function publishIndex(host: Host, spool: Spool): Promise<z.infer<typeof entryFacts>> {
  const script =
    'set -e; ln -f -- "$1/scan/$2" "$1/index/$2"; sha256sum < "$1/index/$2" | cut -d " " -f 1; stat -c %s -- "$1/index/$2"';
  const { stdout } = await host.run(['sh', '-c', script, 'sh', spool.media.folder, mediaIndexFiles.index], {
    as: spool.media.as,
    timeoutMs: 600_000,
  });
  const [sha256 = '', size = ''] = stdout.trim().split('\n');
  return { path: mediaIndexFiles.index, sha256, bytes: Number(size) };
}

type Missing = Pick<
  MediaFacts,
  'alreadyMissing' | 'alreadyMissingCount' | 'deletedDuringRun' | 'deletedDuringRunCount'
>;

/** Files that the snapshot names and that are not there: if the database still names them now, nobody deleted them. */
async function classifyMissing(
  host: Host,
  instance: Instance,
  spool: Spool,
  count: number,
): Promise<Missing> {
  const paths: string[] = [];
  const stream = await host.stream(
    ['head', '-n', String(namedMissing), `${spool.media.folder}/scan/${mediaIndexFiles.missing}`],
    {
      as: spool.media.as,
    },
  );
  for await (const line of createInterface({ input: stream.stdout })) {
    const record = missingFile.safeParse(JSON.parse(line));
    if (record.success) paths.push(record.data.path);
  }
  const { exitCode, stderr } = await stream.completed;
  if (exitCode !== 0 && count > 0)
    throw new Failure('PartInvalid', `the list of missing media cannot be read: ${stderr}`, {
      host: host.name,
    });
  const select = paths.length === 0 ? null : mediaFilesSql(await schemaOf(host, instance), { only: paths });
  const rows =
    select === null ? [] : await psql(host, databaseAccess(instance), `${select};`, { timeoutMs: 600_000 });
  const stillNamed = new Set(rows.map(([path]) => path));
  const alreadyMissing = paths.filter((path) => stillNamed.has(path));
  const deleted = paths.filter((path) => !stillNamed.has(path));
  return {
    alreadyMissing: alreadyMissing.map((path) => ({ path })),
    alreadyMissingCount: alreadyMissing.length + Math.max(0, count - paths.length),
    deletedDuringRun: deleted.map((path) => ({ path })),
    deletedDuringRunCount: deleted.length,
  };
}
