import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { MediaRecord } from '../backups/media-index.js';
import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';
import { compareArgv } from './receive-media-scripts.js';

/** What a folder has of the media of an index. */

/** A file of the index. `unsure`: one of its size is there, with another time. */
export interface ComparedFile {
  readonly state: 'missing' | 'unsure' | 'differs' | 'present';
  readonly record: MediaRecord;
}

/** So many were there as they should be, since the last one that was told. */
export interface PassedMedia {
  readonly state: 'passed';
  readonly files: number;
  readonly bytes: number;
}

export type ComparedMedia = ComparedFile | PassedMedia;

interface Compared {
  readonly host: Host;
  /** Who looks into the folder. */
  readonly as: Identity;
  readonly index: string;
  readonly into: string;
}

const states = { m: 'missing', u: 'unsure', d: 'differs', p: 'present' } as const;

/** In the order of the index; files that are there as they should be are only counted. */
export async function* compareMedia(given: Compared): AsyncGenerator<ComparedMedia> {
  let [files, bytes] = [0, 0];
  for await (const record of recordsOf(given, false)) {
    const line = record.toString('latin1');
    const passed = /^- (\d+) (\d+)$/.exec(line);
    if (passed === null) {
      yield comparedFile(record);
      continue;
    }
    yield { state: 'passed', files: Number(passed[1]) - files, bytes: Number(passed[2]) - bytes };
    [files, bytes] = [Number(passed[1]), Number(passed[2])];
  }
}

/**
 * So many files of the index at most, whatever the folder has of them, spread over all of them by chance.
 *
 * @param sample.seed another choice with each; default: the day.
 */
export async function sampleOf(
  given: Compared,
  { sample, seed = new Date().toISOString().slice(0, 10) }: { sample: number; seed?: string },
): Promise<ComparedFile[]> {
  let chosen: { place: string; found: ComparedFile }[] = [];
  const cut = () => {
    chosen = chosen.sort((one, other) => (one.place < other.place ? -1 : 1)).slice(0, sample);
  };
  for await (const record of recordsOf(given, true)) {
    if (record[0] === dash) continue;
    const found = comparedFile(record);
    const place = createHash('sha256').update(`${seed}\0`).update(found.record.pathBytes).digest('hex');
    chosen.push({ place, found });
    if (chosen.length > 4 * sample + 1000) cut();
  }
  cut();
  return chosen
    .map(({ found }) => found)
    .sort((one, other) => Buffer.compare(one.record.pathBytes, other.record.pathBytes));
}

/** The SHA-256 of files in a folder, by the bytes of their paths read as Latin-1. */
export async function hashesOf(
  host: Host,
  as: Identity,
  folder: string,
  records: readonly MediaRecord[],
): Promise<Map<string, string>> {
  const stdin = Buffer.concat(
    records.flatMap(({ pathBytes }) => [Buffer.from('./'), pathBytes, Buffer.from('\0')]),
  );
  const script = 'cd -- "$1" && xargs -0 -r sha256sum -z --';
  const hashed = await host.stream(['sh', '-c', script, 'sh', folder], { as, stdin });
  const hashes = new Map<string, string>();
  for await (const line of wordsOf(hashed.stdout))
    hashes.set(line.toString('latin1', '  ./'.length + 64), line.toString('latin1', 0, 64));
  const { exitCode, stderr } = await hashed.completed;
  if (exitCode === 0) return hashes;
  throw cannotLook(folder, host, stderr);
}

async function* recordsOf({ host, as, index, into }: Compared, all: boolean): AsyncGenerator<Buffer> {
  const comparing = await host.stream(await compareArgv(host, as, { index, into, all }));
  try {
    yield* wordsOf(comparing.stdout);
    const { exitCode, stderr } = await comparing.completed;
    if (exitCode !== 0) throw cannotLook(into, host, stderr);
  } finally {
    comparing.kill();
  }
}

function comparedFile(record: Buffer): ComparedFile {
  const [head = '', state = '', sha256 = '', size, mtime = '', mode = '', uid, gid] =
    /^([mudp]) ([0-9a-f]{64}) (\d+) (-?[\d.]+) ([0-7]+) (\d+) (\d+) /.exec(record.toString('latin1')) ?? [];
  const pathBytes = Buffer.from(record.subarray(head.length));
  return {
    state: states[state as keyof typeof states],
    record: {
      ...{ path: pathBytes.toString('utf8'), pathBytes, sha256, size: Number(size), mtime },
      ...{ mode: parseInt(mode, 8), uid: Number(uid), gid: Number(gid) },
    },
  };
}

const dash = 45;

/** What NULs end. */
async function* wordsOf(stream: Readable): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let from = 0;
    for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0, from)) {
      yield rest.subarray(from, end);
      from = end + 1;
    }
    rest = rest.subarray(from);
  }
}

function cannotLook(folder: string, host: Host, said: string): Failure {
  return new Failure(
    'CommandFailed',
    `the media in ${folder} on ${host.name} cannot be looked at: ${said.trim().slice(-500)}`,
    { host: host.name, next: 'see the message: a folder that cannot be read, or an index that is broken' },
  );
}
