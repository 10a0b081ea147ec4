import { createHash } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { emptyHeader, type MediaRecord, readMediaIndex } from '../backups/media-index.js';
import type { HostStream } from '../hosts/host.js';

/** A media index that was read from an off-site once, to be gone through several times. */
export interface SpooledIndex {
  readonly sha256: string;
  readonly bytes: number;
  /** How the read ended: 0 when it came whole. */
  readonly ended: { readonly exitCode: number; readonly stderr: string };
  /** From its beginning. @throws Failure `PartInvalid` when it is no whole index. */
  records(): AsyncIterable<MediaRecord>;
  close(): Promise<void>;
}

/**
 * Reads an index into a file on this machine that has no name any more, so that a process that is killed leaves none.
 *
 * @param folder an existing folder with room for some 200 bytes a media file.
 */
export async function spoolIndex(stream: HostStream, folder: string): Promise<SpooledIndex> {
  const own = await mkdtemp(join(folder, 'media-index-'));
  const file = await open(join(own, 'media.index'), 'wx+', 0o600).finally(() =>
    rm(own, { recursive: true, force: true }),
  );
  try {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of stream.stdout as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
      await file.appendFile(chunk);
    }
    const ended = await stream.completed;
    return {
      ...{ sha256: hash.digest('hex'), bytes, ended },
      records: () =>
        readMediaIndex(
          file.createReadStream({ start: 0, autoClose: false }) as AsyncIterable<Buffer>,
          emptyHeader(),
        ),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}
