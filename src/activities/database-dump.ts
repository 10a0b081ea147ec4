import { log } from '@temporalio/activity';
import { z } from 'zod';
import { blockSizeFor, type FullDump } from '../backups/database-plan.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { deltaEntry, dumpEntry } from '../offsite/dump-files.js';
import { activity, report } from './activity.js';
import { captureOutput, type dumpFacts, type EntryFacts, hashFunction, momentLost } from './database.js';
import { DatabaseBase } from './database-base.js';
import type { Ground } from './ground.js';
import { runInput, type RunRef } from './inputs.js';
import { type FollowedJob, followJob, jobId } from './jobs.js';
import { databaseArgv, snapshotOf } from './moment.js';
import { readFacts, type Spool, spoolOf, writeFacts } from './spool.js';

/** What was decided for tonight, noted by `planDatabase`; without it the database is dumped whole. */
export const planFacts = z.object({
  kind: z.enum(['full', 'delta']),
  /** A full dump gets its signature, so that the next nights' deltas can be made against it. */
  sign: z.boolean(),
});

export function dumpActivities(ground: Ground) {
  return {
    /**
     * Dumps the database from the pinned moment by the server's own pg_dump, uncompressed: the off-sites compress, and
     * what is compressed twice is neither small nor fast. On most nights what passes is made into a delta against the
     * last full dump at once: no dump is written to the disk.
     */
    dumpDatabase: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { config, host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const snapshot = await snapshotOf(host, instance, run);
      if (snapshot === null) throw momentLost(host, run);
      const program = `${instance.database.binDir}/pg_dump`;
      const argv = databaseArgv(instance, spool.keys.app, [
        ...[program, '--format=custom', '--compress=0', '--no-password', `--snapshot=${snapshot}`],
        `--lock-wait-timeout=${String(config.database.lockWaitTimeoutMs)}`,
      ]);
      report({ subject: 'database' });
      const work: Work = {
        ...{ ground, host, run, spool, argv: await host.argvAs(argv, { user: instance.appUser }) },
        sizeBytes: instance.database.sizeBytes,
      };
      const plan = await readFacts(host, spool, 'database-plan', planFacts);
      const base = plan?.kind === 'delta' ? await (await DatabaseBase.of(host, run.instance)).full() : null;
      const delta = base === null ? null : await captureDelta(work, base);
      const { stdout } = await host.run([program, '--version']);
      const pgDump = stdout.trim();
      if (delta !== null) {
        await writeFacts(host, spool, 'dump', { ...delta, pgDump } satisfies z.infer<typeof dumpFacts>);
        return { bytes: delta.entry.bytes, kind: 'delta' as const };
      }
      const entry = await captureDump(work);
      await writeFacts(host, spool, 'dump', { entry, pgDump } satisfies z.infer<typeof dumpFacts>);
      // Beside the upload: whoever keeps it waits for it, and the dump is still in the page cache.
      if (plan?.sign === true) await host.startJob(...(await signing(ground, run, host, spool, entry)));
      return { bytes: entry.bytes, kind: 'full' as const };
    }),
  };
}

interface Work {
  readonly ground: Ground;
  readonly host: Host;
  readonly run: RunRef;
  readonly spool: Spool;
  /** pg_dump, as whoever may read the database. */
  readonly argv: readonly string[];
  /** Of the live database. */
  readonly sizeBytes: number;
}

async function captureDump({ host, run, spool, argv, sizeBytes }: Work): Promise<EntryFacts> {
  // Of a moment that was lost, or of a delta that could not be made.
  await host.run(['rm', '-f', '--', `${spool.folder}/database/${deltaEntry}`, `${spool.facts}/delta.new`]);
  const file = `${spool.folder}/database/${dumpEntry}`;
  return orMomentLost(host, run, () => captureOutput(host, run, 'dump', file, argv, sizeBytes));
}

/** What pg_dump says when the session that held the snapshot is gone. */
async function orMomentLost<T>(host: Host, run: RunRef, dump: () => Promise<T>): Promise<T> {
  try {
    return await dump();
  } catch (error) {
    if (error instanceof Failure && /invalid snapshot identifier/.test(error.message))
      throw momentLost(host, run);
    throw error;
  }
}

/** The delta could not be made, and would not be by another attempt. */
const noDelta = 65;

/**
 * $1 rdiff, $2 zstd, $3 the signature, $4 its SHA-256, $5 the delta's file, $6 a folder for notes; then pg_dump. The dump
 * passes by once: to rdiff, and to whoever counts and hashes it.
 */
const deltaScript = `set -o pipefail; umask 077
rdiff=$1 zstd=$2 signature=$3 expected=$4 file=$5 notes=$6; shift 6
${hashFunction}
[ "$(hash < "$signature")" = "$expected" ] || { echo "the signature $signature is not what it was" >&2; exit ${String(noDelta)}; }
rm -f -- "\${file%/*}/${dumpEntry}"
{ { "$@" < /dev/null 3>&- | tee /dev/fd/3 | "$rdiff" delta -- "$signature" - - 3>&- | "$zstd" -3 -q -c 3>&- > "$notes/delta.new"
    rc=("\${PIPESTATUS[@]}")
    [ "\${rc[3]}" -eq 0 ] || exit 1
    [ "\${rc[2]}" -eq 0 ] || exit ${String(noDelta)}
    [ "\${rc[0]}" -eq 0 ] && [ "\${rc[1]}" -eq 0 ]
  } 3>&1 >&2 | LC_ALL=C dd bs=128k iflag=fullblock status=progress 2> "$notes/delta.passed" | hash; } || exit
passed=$(tr '\\r' '\\n' < "$notes/delta.passed" | sed -n 's/^\\([0-9]*\\) bytes.*/\\1/p' | tail -n 1)
hash < "$notes/delta.new" && stat -c %s -- "$notes/delta.new" && printf '%s\\n' "\${passed:-0}" && mv -- "$notes/delta.new" "$file"`;

/** @returns null when no delta can be made against this full dump: then the dump is taken whole, of the same moment. */
async function captureDelta(
  work: Work,
  base: FullDump,
): Promise<Pick<z.infer<typeof dumpFacts>, 'entry' | 'delta'> | null> {
  const { ground, host, run, spool, argv } = work;
  const folder = await DatabaseBase.of(host, run.instance);
  const [rdiff, zstd] = [await ground.tool(run, 'rdiff'), await ground.tool(run, 'zstd')];
  const file = `${spool.folder}/database/${deltaEntry}`;
  const passed = `${spool.facts}/delta.passed`;
  const words = [rdiff, zstd, folder.signaturePath(base), base.signatureSha256, file, spool.facts];
  const follow = (): Promise<FollowedJob> =>
    followJob(
      host,
      jobId(run, 'delta'),
      ['bash', '-c', deltaScript, 'bash', ...words, ...argv],
      { cwd: '/', nice: 5, okCodes: [0, noDelta] },
      async () => {
        const { stdout } = await host.run(['tail', '-c', '100', '--', passed], { okCodes: [0, 1] });
        const bytes = Number(/(\d+) bytes[^\r\n]*$/.exec(stdout)?.[1] ?? 0);
        return { bytes, totalBytes: Math.max(base.bytes, bytes) };
      },
    );
  const done = await orMomentLost(host, run, follow);
  if (done.exitCode === noDelta) {
    log.warn('no delta could be made', { said: done.stderrTail.trim().slice(-1000) });
    await writeFacts(host, spool, 'database-plan', { kind: 'full', sign: true });
    return null;
  }
  const [dumpSha256 = '', sha256 = '', size = '', dumpBytes = ''] = done.stdoutTail.trim().split('\n');
  return {
    entry: { path: deltaEntry, bytes: Number(size), sha256 },
    delta: {
      ...{ full: base.backup, fullBytes: base.bytes, fullSha256: base.sha256 },
      ...{ dumpBytes: Number(dumpBytes), dumpSha256 },
    },
  };
}

/**
 * 16 bytes of BLAKE2 a block. Two different blocks that begin alike by chance are taken for the same once in 10^28 dumps
 * of 100 GB; made on purpose, by somebody who writes posts, they cost 2^64 hashes; with librsync's 8 of old they would
 * cost 2^32. The 32 that it takes by default would double the memory, and what comes of a delta is compared with the
 * SHA-256 of the dump anyway.
 */
const strongSumBytes = 16;

/** $1 rdiff, $2 block size, $3 the dump, $4 the signature */
const signScript = `umask 077
${hashFunction}
rm -f -- "$4.new" "$4"
"$1" -H blake2 -b "$2" -S ${String(strongSumBytes)} signature -- "$3" "$4.new" && hash < "$4.new" && mv -- "$4.new" "$4"`;

/** The job that makes the signature of a full dump: its id, argv and options. It prints the signature's SHA-256. */
async function signing(
  ground: Ground,
  run: RunRef,
  host: Host,
  spool: Spool,
  entry: EntryFacts,
): Promise<Parameters<Host['startJob']>> {
  const rdiff = await ground.tool(run, 'rdiff');
  const words = [
    String(blockSizeFor(entry.bytes)),
    `${spool.folder}/database/${dumpEntry}`,
    signaturePath(spool),
  ];
  return [
    jobId(run, 'sign-dump'),
    ['bash', '-c', signScript, 'bash', rdiff, ...words],
    { cwd: '/', nice: 10 },
  ];
}

function signaturePath(spool: Spool): string {
  return `${spool.facts}/full.signature`;
}

/** The signature of the full dump that was captured: where it lies, and its SHA-256. Made anew where that was lost. */
export async function signatureOfDump(
  ground: Ground,
  run: RunRef,
  host: Host,
  spool: Spool,
  entry: EntryFacts,
): Promise<{ path: string; sha256: string; blockSize: number }> {
  const done = await followJob(host, ...(await signing(ground, run, host, spool, entry)));
  return {
    ...{ path: signaturePath(spool), sha256: done.stdoutTail.trim() },
    blockSize: blockSizeFor(entry.bytes),
  };
}
