import type { Readable } from 'node:stream';
import type { Host, Identity } from '../hosts/host.js';

/** The SHA-256 of every file below a folder of a host, with its path below it. */
export async function* hashFolder(
  host: Host,
  as: Identity,
  folder: string,
): AsyncIterable<{ path: string; sha256: string }> {
  const script = 'cd "$1" && find . -type f -print0 | xargs -0 -r sha256sum -z --';
  const hashed = await host.stream(['sh', '-c', script, 'sh', folder], { as });
  for await (const record of recordsOf(hashed.stdout)) {
    yield { path: record.slice('  ./'.length + 64), sha256: record.slice(0, 64) };
  }
}

async function* recordsOf(stream: Readable): AsyncIterable<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
      yield rest.subarray(0, end).toString('utf8');
      rest = rest.subarray(end + 1);
    }
  }
}
