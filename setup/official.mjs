import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { checkSum } from './checksum.mjs';
import { findProgram, run } from './programs.mjs';
import { say, tail } from './report.mjs';

/** A server that says nothing for this long is not going to. */
const silenceMs = 20_000;

/** Downloads and unpacks a tool's official release. @returns `{ file, from }` */
export async function fromOfficial({ name, pin, work, machine }) {
  const { url, sha256 } = pin.official[machine];
  const archive = join(work, 'archive');
  say(name, `downloading ${pin.version} from ${new URL(url).host}`);
  await download(url, archive);
  await checkSum(archive, sha256, url);
  await unpack(pin.official.kind, archive, work, name);
  return { file: join(work, name), from: new URL(url).host };
}

/** How the program of each kind of archive gets into a folder, under its own name. */
const unpackers = {
  'tar.gz': (archive, work, name) => ['tar', '-xzf', archive, '-C', work, '--no-same-owner', name],
  bz2: (archive, work, name) => ['sh', '-c', 'bunzip2 -c "$1" >"$2"', 'sh', archive, join(work, name)],
  // rclone's lies in a folder that is named by its version.
  zip: (archive, work, name) => ['unzip', '-q', '-j', archive, `*/${name}`, '-d', work],
};

async function unpack(kind, archive, work, name) {
  const { code, output } = await run(unpackers[kind](archive, work, name));
  if (code !== 0) throw new Error(`${name} could not be unpacked: ${output.trim()}`);
}

/** Fetches a URL into a file: by curl where it is (it knows proxies), else by Node. */
async function download(url, file) {
  const { host } = new URL(url);
  const curl = findProgram('curl');
  if (curl !== undefined) {
    const limits = ['--connect-timeout', `${silenceMs / 1000}`, '--speed-limit', '1', '--speed-time', '60'];
    const { code, output } = await run([curl, '-fsSL', '--retry', '2', ...limits, '-o', file, url]);
    if (code !== 0) throw new Error(`${host} cannot be reached (${tail(output, 1).replace(/^curl: /, '')})`);
    return;
  }
  const patience = new AbortController();
  let timer = setTimeout(() => patience.abort(), silenceMs);
  try {
    const response = await fetch(url, { signal: patience.signal });
    if (!response.ok) throw new Error(`answered ${response.status}`);
    const body = Readable.fromWeb(response.body);
    body.on('data', () => timer.refresh());
    await pipeline(body, createWriteStream(file));
  } catch (error) {
    const reason = patience.signal.aborted ? 'no answer' : (error.cause?.message ?? error.message);
    throw new Error(`${host} cannot be reached (${reason})`);
  } finally {
    clearTimeout(timer);
  }
}
