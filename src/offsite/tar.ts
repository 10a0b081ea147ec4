import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import type { ReadFile } from './offsite.js';

/** Reads a tar archive as it comes and hashes each regular file in it, named by its path; nothing is kept. */
export async function* hashTar(archive: Readable): AsyncIterable<ReadFile> {
  const entries = extract();
  archive.on('error', (error) => entries.destroy(error));
  archive.pipe(entries);
  for await (const entry of entries) {
    const hash = createHash('sha256');
    for await (const chunk of entry as AsyncIterable<Buffer>) hash.update(chunk);
    if (entry.header.type !== 'file' && entry.header.type !== 'contiguous-file') continue;
    yield { key: entry.header.name.replace(/^\.?\/+/, ''), sha256: hash.digest('hex') };
  }
}
