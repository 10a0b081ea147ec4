import type { Readable } from 'node:stream';
import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';

/**
 * The SHA-256 of every file below a folder of a host, with its path below it.
 *
 * @throws Failure `CommandFailed` when one could not be read there: what is missing is nobody else's fault.
 */
export async function* hashFolder(
  host: Host,
  as: Identity,
  folder: string,
): AsyncIterable<{ path: string; sha256: string }> {
  const script = 'set -o pipefail; cd -- "$1" && find . -type f -print0 | xargs -0 -r sha256sum -z --';
  const hashed = await host.stream(['bash', '-c', script, 'bash', folder], { as });
  try {
    for await (const record of recordsOf(hashed.stdout)) {
      yield { path: record.slice('  ./'.length + 64), sha256: record.slice(0, 64) };
    }
    const { exitCode, stderr } = await hashed.completed;
    if (exitCode === 0) return;
    throw new Failure(
      'CommandFailed',
      `${folder} on ${host.name} could not be read: ${stderr.trim().slice(-500)}`,
      { host: host.name, next: 'see whether the disk there is whole and has room; it is tried again' },
    );
  } finally {
    hashed.kill();
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
