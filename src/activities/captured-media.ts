import { emptyHeader, type MediaRecord, readMediaIndex } from '../backups/media-index.js';
import type { BackupId } from '../backups/id.js';
import { pickForVerify, verifyFolder } from '../backups/verify-sample.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { mediaIndexFiles } from '../mastodon/media-index.js';
import type { Offsite } from '../offsite/offsite.js';
import type { ExpectedFile } from '../offsite/verify.js';
import { sealedIndex, type Spool, turnOf } from './spool.js';

interface Captured {
  copy: Offsite;
  domain: string;
  backup: BackupId;
  host: Host;
  spool: Spool;
  /** Shares of the media to read back, 0 to 1. */
  share: { new: number; old: number };
}

/**
 * The media as they were captured, with those that this night reads back: of the new ones by file, of the old ones by
 * folder. Old is what was in the index that this very off-site was last sealed with, as long as it still has that backup:
 * one that missed nights, or was emptied, gets read what it got now. The share moves on by the off-site's own nights: one
 * that gets every second backup is read through as well.
 */
export async function capturedMedia(captured: Captured): Promise<() => AsyncIterable<ExpectedFile>> {
  const { host, spool, share, copy, domain, backup } = captured;
  const last = await sealedIndex(host, spool, domain, copy.name);
  const turn = turnOf(backup, last);
  const pickNew = pickForVerify(turn, share.new);
  const pickOld = pickForVerify(turn, share.old);
  const still = last !== undefined && (await copy.list()).sealed.some((one) => one.backup === last.backup);
  const before = last !== undefined && still && last.backup !== backup ? last.path : undefined;
  const tonight = `${spool.media.folder}/index/${mediaIndexFiles.index}`;
  return async function* () {
    const old = before === undefined ? undefined : recordsOf(host, spool, before);
    try {
      let next = await advance(old);
      for await (const record of recordsOf(host, spool, tonight)) {
        while (next !== undefined && Buffer.compare(next.pathBytes, record.pathBytes) < 0)
          next = await advance(old);
        const known = next !== undefined && sameFile(next, record);
        yield { record, read: known ? pickOld(verifyFolder(record.path)) : pickNew(record.path) };
      }
    } finally {
      await old?.return(undefined);
    }
  };
}

/** The next record of an index that may be damaged: what it does not tell counts as new. */
async function advance(records: AsyncGenerator<MediaRecord> | undefined): Promise<MediaRecord | undefined> {
  try {
    const next = await records?.next();
    return next === undefined || next.done === true ? undefined : next.value;
  } catch (error) {
    if (error instanceof Failure && error.type === 'PartInvalid') return undefined;
    throw error;
  }
}

function sameFile(one: MediaRecord, other: MediaRecord): boolean {
  return one.size === other.size && one.sha256 === other.sha256 && one.pathBytes.equals(other.pathBytes);
}

async function* recordsOf(host: Host, spool: Spool, path: string): AsyncGenerator<MediaRecord> {
  const stream = await host.stream(['cat', '--', path], { as: spool.media.as });
  try {
    yield* readMediaIndex(stream.stdout, emptyHeader());
    await stream.completed;
  } finally {
    stream.kill();
  }
}

/** Prints size, mtime and path of those of the files on stdin that are there; 3 when the whole folder is gone. */
const statScript = `cd -- "$1" && [ -n "$(ls -A | head -n 1)" ] || exit 3
exec xargs -0 -r stat --printf='%s %.9Y %n\\0' --`;

/** xargs: some of the files are not there. */
const someGone = 123;

/**
 * Which of these files a user has deleted, or Mastodon changed in place, since the index was made: that is no fault of an
 * off-site. A folder that is gone as a whole is no user's doing.
 */
export function changedAtSource(host: Host, spool: Spool, root: string) {
  return async (files: readonly MediaRecord[]): Promise<ReadonlySet<string>> => {
    if (files.length === 0) return new Set();
    const names = files.flatMap(({ pathBytes }) => [Buffer.from('./'), pathBytes, Buffer.of(0)]);
    const { exitCode, stdout } = await host.run(['sh', '-c', statScript, 'sh', root], {
      as: spool.media.as,
      stdin: Buffer.concat(names),
      okCodes: [0, 3, someGone],
      maxOutputBytes: 64 << 20,
      timeoutMs: 600_000,
    });
    if (exitCode === 3) return new Set();
    const now = new Set(stdout.split('\0'));
    return new Set(
      files
        .filter(({ size, mtime, path }) => !now.has(`${String(size)} ${mtime} ./${path}`))
        .map(({ path }) => path),
    );
  };
}
