import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

/** A file's sha256 in hex. */
export async function sha256Of(file) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}

/** @throws Error unless `file`, which came from `source`, has the pinned sha256 */
export async function checkSum(file, sha256, source) {
  const found = await sha256Of(file);
  if (found !== sha256) {
    throw new Error(`not used, for its sha256 is ${found} and not the pinned ${sha256}: ${source}`);
  }
}
