import { type Duplex, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Failure } from '../errors.js';

/**
 * The media index: what the media of one backup consists of, file by file. Pure: the format, its reader and writer.
 *
 * It is text that `sha256sum --check` reads as it stands (run in the media's folder), because lines that begin with `#`
 * are comments to it (a file named `-` at the top would be its standard input: Mastodon has none):
 *
 * ```
 * # permafrost media index 1
 * # started 1795312620
 * # ordinal 41
 * # 2071 1795309000.123456789 0644 991 991
 * 9f86d081…  accounts/avatars/000/000/001/original/3f2a.png
 * # user 991 mastodon
 * # group 991 mastodon
 * # end 1 2071
 * ```
 *
 * - `started`: Unix time at which the files were listed. `ordinal`: one more than that of the index it was made from.
 * - A file is two lines: size in bytes, mtime (Unix time with nine decimals, as find writes it), mode (octal), uid, gid;
 *   then SHA-256, two spaces, and the path below the media's folder. As sha256sum does it, a path that holds a
 *   backslash, newline or carriage return has these written as `\\`, `\n`, `\r`, and its line begins with a backslash.
 * - Paths are bytes, not necessarily UTF-8, sorted bytewise, each once.
 * - `user` and `group` give the names of the ids on the host. `end`, files and bytes, is the last line: an index
 *   without it is cut off. Readers skip comments that they do not know.
 *
 * It is kept uncompressed, so that off-sites with deduplication store only what changed; the reader takes gzip too.
 */

export interface MediaRecord {
  /** Below the media's folder. UTF-8 with U+FFFD where the name is not UTF-8: to show. `pathBytes` is the name. */
  readonly path: string;
  readonly pathBytes: Buffer;
  /** Hexadecimal. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
  /** Unix time with nine decimals; text, because a number would lose the last of them. */
  readonly mtime: string;
  /** The permission bits, e.g. 0o644. A suspended account's media are 0o600: mode is state. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What an index says of itself. Complete when the last record has been read. */
export interface MediaIndexHeader {
  startedAt: Date;
  ordinal: number;
  /** Names of the uids and gids, as they were on the host. */
  users: Map<number, string>;
  groups: Map<number, string>;
}

const firstLine = '# permafrost media index 1';
const newline = 10;
const backslash = 92;

export function emptyHeader(): MediaIndexHeader {
  return { startedAt: new Date(0), ordinal: 0, users: new Map(), groups: new Map() };
}

/**
 * Reads an index, one record at a time: memory does not grow with it. `header` is filled as its lines come by.
 *
 * @throws Failure `PartInvalid` when it is not an index of this version, is cut off, or counts wrongly.
 */
export async function* readMediaIndex(
  source: AsyncIterable<Buffer>,
  header: MediaIndexHeader = emptyHeader(),
): AsyncGenerator<MediaRecord> {
  let number = 0;
  let files = 0;
  let bytes = 0;
  let ended = false;
  let meta: RegExpExecArray | null = null;

  for await (const line of linesOf(plain(source))) {
    number += 1;
    if (number === 1) {
      if (line.toString('latin1') !== firstLine) throw broken('its first line is not that of a media index');
      continue;
    }
    if (line[0] !== 35 /* # */) {
      if (!meta) throw broken(`line ${number} has a file without its size and times`);
      const record = recordOf(meta, line, number);
      meta = null;
      files += 1;
      bytes += record.size;
      yield record;
      continue;
    }
    const comment = line.toString('utf8');
    meta = /^# (\d+) (-?\d+\.\d+) ([0-7]{3,4}) (\d+) (\d+)$/.exec(comment);
    if (meta) continue;
    const end = /^# end (\d+) (\d+)$/.exec(comment);
    if (end) {
      ended = Number(end[1]) === files && Number(end[2]) === bytes;
      if (!ended) throw broken(`it says ${end[1]} files of ${end[2]} bytes and holds ${files} of ${bytes}`);
    } else readHeaderLine(comment, header);
  }
  if (!ended) throw broken('it is cut off: its last line is missing');
}

/** Writes an index of records that are sorted by the bytes of their paths. @throws RangeError when they are not. */
export function* writeMediaIndex(
  records: Iterable<Omit<MediaRecord, 'path'>>,
  header: MediaIndexHeader = emptyHeader(),
): Generator<Buffer> {
  const started = Math.floor(header.startedAt.getTime() / 1000);
  yield Buffer.from(`${firstLine}\n# started ${started}\n# ordinal ${header.ordinal}\n`);
  let files = 0;
  let bytes = 0;
  let last: Buffer | undefined;
  for (const record of records) {
    if (last && Buffer.compare(last, record.pathBytes) >= 0) throw new RangeError('records are not sorted');
    last = record.pathBytes;
    files += 1;
    bytes += record.size;
    const mode = record.mode.toString(8).padStart(4, '0');
    const { escaped, changed } = escapePath(record.pathBytes);
    yield Buffer.concat([
      Buffer.from(`# ${record.size} ${record.mtime} ${mode} ${record.uid} ${record.gid}\n`),
      Buffer.from(`${changed ? '\\' : ''}${record.sha256}  `),
      escaped,
      Buffer.from('\n'),
    ]);
  }
  for (const [id, name] of header.users) yield Buffer.from(`# user ${id} ${name}\n`);
  for (const [id, name] of header.groups) yield Buffer.from(`# group ${id} ${name}\n`);
  yield Buffer.from(`# end ${files} ${bytes}\n`);
}

function readHeaderLine(comment: string, header: MediaIndexHeader): void {
  const [, word, first = '', rest = ''] = /^# (\w+) (\d+)(?: (.+))?$/.exec(comment) ?? [];
  if (word === 'started') header.startedAt = new Date(Number(first) * 1000);
  else if (word === 'ordinal') header.ordinal = Number(first);
  else if (word === 'user') header.users.set(Number(first), rest);
  else if (word === 'group') header.groups.set(Number(first), rest);
}

function recordOf(meta: RegExpExecArray, line: Buffer, number: number): MediaRecord {
  const escaped = line[0] === backslash;
  const start = escaped ? 1 : 0;
  const sha256 = line.toString('latin1', start, start + 64);
  const raw = line.subarray(start + 66);
  const gap = line.toString('latin1', start + 64, start + 66);
  if (!/^[0-9a-f]{64}$/.test(sha256) || gap !== '  ' || raw.length === 0)
    throw broken(`line ${number} is not a SHA-256 and a path`);
  const pathBytes = escaped ? unescapePath(raw) : Buffer.from(raw);
  const [, size, mtime = '', mode = '', uid, gid] = meta;
  return {
    path: pathBytes.toString('utf8'),
    pathBytes,
    sha256,
    size: Number(size),
    mtime,
    mode: parseInt(mode, 8),
    uid: Number(uid),
    gid: Number(gid),
  };
}

function escapePath(path: Buffer): { escaped: Buffer; changed: boolean } {
  const text = path.toString('latin1');
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r');
  return { escaped: Buffer.from(escaped, 'latin1'), changed: escaped !== text };
}

function unescapePath(path: Buffer): Buffer {
  const meanings: Record<string, string> = { '\\n': '\n', '\\r': '\r', '\\\\': '\\' };
  const text = path.toString('latin1').replace(/\\[nr\\]/g, (pair) => meanings[pair] ?? pair);
  return Buffer.from(text, 'latin1');
}

async function* linesOf(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  for await (const chunk of source) {
    const block = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let from = 0;
    for (let to = block.indexOf(newline); to >= 0; to = block.indexOf(newline, from)) {
      yield block.subarray(from, to);
      from = to + 1;
    }
    rest = Buffer.from(block.subarray(from));
  }
  if (rest.length > 0) yield rest;
}

/** Takes gzip off, when the first two bytes say that it is on. */
async function* plain(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const iterator = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < 2) {
    const next = await iterator.next();
    if (next.done) break;
    head = Buffer.concat([head, next.value]);
  }
  const whole = joined(head, iterator);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return yield* whole;
  try {
    yield* compose(Readable.from(whole, { objectMode: false }), createGunzip());
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'))
      throw broken(`its gzip cannot be opened (${error.message})`);
    throw error;
  }
}

async function* joined(head: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  try {
    if (head.length > 0) yield head;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

/** Pipes one stream into the other; an error of the first one is seen by who reads the second. */
function compose(from: Readable, into: Duplex): Readable {
  from.on('error', (error) => into.destroy(error));
  into.on('close', () => from.destroy());
  return from.pipe(into);
}

function broken(what: string): Failure {
  return new Failure('PartInvalid', `the media index is not valid: ${what}`, {
    next: 'take the index from another off-site; without any, the next backup makes a new one and reads every file',
  });
}
