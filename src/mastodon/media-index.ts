import { z } from 'zod';
import { Failure } from '../errors.js';

export { mediaIndexScript } from './media-index-script.js';

/**
 * Making a media index on the host that holds the media, as a job: nothing but counts passes through the worker.
 *
 * ```ts
 * await host.putFile(script, mediaIndexScript);
 * await host.startJob(id, mediaIndexArgv({ script, root, … }), { as: 'privileged' });
 * readMediaIndexProgress(status.stderrTail); // while it runs
 * readMediaIndexSummary(status.stdoutTail); // when it has ended with exit code 0
 * ```
 *
 * It lists the tree once, reads (by sha256sum, two processes at a low priority) only files that the previous index
 * does not have with the same size and mtime, and compares with what the database names. Left out and counted: files
 * that vanish meanwhile, that cannot be read, that never hold still while they are read; symbolic links (listed in
 * `problems`, not followed, though the root itself may be one) and whatever is neither file nor folder. `cache/` is
 * left out unless asked for, and `lost+found` always.
 *
 * Exit codes: 0 done; 1 failed (the last line of stderr says why); 2 wrong arguments. The output files get their names
 * only at the end, so a file that is there is whole; the ids and hashes in them are no secrets, the paths may be.
 */

/** The names of what it leaves in its output folder, 0600. */
export const mediaIndexFiles = {
  /** The index: see `backups/media-index.ts`. */
  index: 'media.index',
  /** In the same format, the files that the previous index does not have with the same content. */
  new: 'media.new',
  /** JSON lines `{ path, bytes, tolerated }`: named by the database and not there, sorted. See `MissingMediaFile`. */
  missing: 'media.missing',
  /** Lines for restic's `--exclude-file`, absolute: files and folders that cannot be read. Empty when all can be. */
  excludes: 'media.excludes',
  /** JSON lines `{ problem, path }`, at most 1000 of each kind. See `mediaProblems`. */
  problems: 'media.problems',
} as const;

export interface MediaIndexRequest {
  /** Where the caller has put `mediaIndexScript` on the host. Like every path here: absolute, on the host. */
  readonly script: string;
  /** The media's folder, `public/system`; may be a symbolic link. */
  readonly root: string;
  /** The last sealed backup's index (gzip or not), or null: then every file is read. */
  readonly previousIndex: string | null;
  /** What `copyToStdout(mediaFilesSql(…))` gave, from the pinned snapshot; or null: then nothing is missing. */
  readonly expected: string | null;
  /** An existing private folder with room for about 200 bytes a file, twice, and for sort's work. */
  readonly outFolder: string;
  readonly includeCache: boolean;
}

export function mediaIndexArgv(request: MediaIndexRequest): string[] {
  return [
    ...['perl', request.script, '--root', request.root, '--out', request.outFolder],
    ...(request.previousIndex === null ? [] : ['--previous', request.previousIndex]),
    ...(request.expected === null ? [] : ['--expected', request.expected]),
    ...(request.includeCache ? ['--include-cache'] : []),
  ];
}

const count = z.number().int().nonnegative();

const summarySchema = z.object({
  /** In the index. */
  files: count,
  bytes: count,
  zeroByteFiles: count,
  /** Read and hashed; of these and the carried ones the index is made. */
  hashedFiles: count,
  hashedBytes: count,
  /** Unchanged since the previous index: hash taken from there, not read. */
  carriedFiles: count,
  carriedBytes: count,
  /** In `media.new`. */
  newFiles: count,
  newBytes: count,
  /** In the previous index and no longer there. */
  gone: count,
  /** Went away between the listing and the reading: left out. */
  vanished: count,
  /** Changed between the listing and the reading, and read again. */
  reread: count,
  /** Still changing after several readings: left out. */
  unsettled: count,
  /** There, but not readable by this user or because of the disk: left out. */
  unreadable: count,
  unreadableFolders: count,
  /** 1 when the previous index was not whole: what it did not tell was read again. */
  previousDamaged: count,
  /** Not followed. */
  symlinks: count,
  otherTypes: count,
  /** Rows of the database's list; those that are not there; of these, those that Mastodon itself can do without. */
  expected: count,
  missing: count,
  missingTolerated: count,
  /** There, but not of the size that the database has. */
  sizeDiffers: count,
  /** The index's own: one more than the previous index's, from 0. */
  ordinal: count,
  /** Peak memory of the program itself, KiB. */
  peakKiB: count,
});

export type MediaIndexSummary = z.infer<typeof summarySchema>;

/** What `problem` says in `media.problems`. */
export const mediaProblems = [
  'symlink',
  'otherType',
  'unreadable',
  'unreadableFolder',
  'unsettled',
  'size',
] as const;

/** One line of `media.missing`. `tolerated` is null, or why Mastodon can do without it: see `ExpectedFile`. */
export interface MissingMediaFile {
  readonly path: string;
  readonly bytes: number | null;
  readonly tolerated: string | null;
}

/** The summary from the end of the job's stdout. @throws Failure `PartInvalid` when there is none. */
export function readMediaIndexSummary(stdoutTail: string): MediaIndexSummary {
  const parsed = summarySchema.safeParse(lastJsonLine(stdoutTail));
  if (parsed.success) return parsed.data;
  throw new Failure('PartInvalid', 'the media index ended without its summary', {
    next: 'run the backup again; if it stays so, look at the job of the media index on the host',
  });
}

/** How far it is, from the end of the job's stderr; zeros until the listing is done. */
export function readMediaIndexProgress(stderrTail: string): { files: number; bytes: number } {
  const parsed = z.object({ files: count, bytes: count }).safeParse(lastJsonLine(stderrTail));
  return parsed.success ? parsed.data : { files: 0, bytes: 0 };
}

function lastJsonLine(text: string): unknown {
  for (const line of text.split('\n').reverse()) {
    if (!line.startsWith('{') || !line.endsWith('}')) continue;
    try {
      return JSON.parse(line);
    } catch {
      continue;
    }
  }
  return undefined;
}
