import { createHash, type Hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Manifest, ManifestEntry } from '../backups/manifest.js';
import { Failure } from '../errors.js';
import type { Host, HostStream } from '../hosts/host.js';
import { provideTool } from '../hosts/tools.js';
import { damageOf } from './damage.js';
import { lastWord } from './last-word.js';
import type { Offsite, StoredEntry, StoredPartRef } from './offsite.js';
import type { Finding } from './verify.js';

/** The streams of `whole-dump.ts`: from an off-site to a file or a program of the reader's host, hashed as they pass. */

/** What the part `database` holds besides the roles: one of the two. */
export const dumpEntry = 'database.dump';
export const deltaEntry = 'database.delta.zst';

/** What a manifest says of a delta. */
export type Delta = NonNullable<NonNullable<Manifest['database']>['delta']>;

/** An entry of the database, and where it lies. */
export interface DumpEntry {
  readonly ref: StoredPartRef;
  readonly entry: ManifestEntry;
}

type Report = (bytes: number) => void;

/** @returns what is wrong with the entry, in words that go on where its name ends; undefined when it lies in the file. */
export async function fetchEntry(
  copy: Offsite,
  { ref, entry }: DumpEntry,
  host: Host,
  file: string,
  report: Report,
): Promise<string | undefined> {
  if (await saved(copy, { ref, entry }, host, file, report)) return undefined;
  const came = await damageOf(async () => {
    const passing = new Passing(await copy.readEntry(ref, entry.path), report);
    return passing.into(host, ['sh', '-c', 'umask 077; cat > "$1"', 'sh', file]);
  });
  if (typeof came === 'string') return `cannot be read (${came})`;
  if (came.exitCode !== 0) throw refused(host, `${file} could not be written`, came.stderr);
  return came.problem ?? differs(came, entry);
}

/** Between two looks at how much of a file has come. Milliseconds. */
const lookEveryMs = 2_000;

/** From here on the off-site's own tool is quicker than a stream by way of this process. */
const large = 16 << 20;

/**
 * Fetches an entry without its bytes passing through this process: on another machine, and where they are many.
 *
 * @returns whether it lies there as it should; else it has to be fetched again by who can tell what is wrong with it.
 */
async function saved(
  copy: Offsite,
  { ref, entry }: DumpEntry,
  host: Host,
  file: string,
  report: Report,
): Promise<boolean> {
  if (copy.saveEntry === undefined || (host.name === 'local' && entry.bytes < large)) return false;
  let seen = 0;
  const over = new AbortController();
  const waited = () => sleep(lookEveryMs, true, { signal: over.signal }).catch(() => false);
  const looking = (async () => {
    while (await waited()) {
      const size = await sizeOf(host, file).catch(() => seen); // the fetch itself tells what is wrong there
      const now = Math.min(Math.max(seen, size), entry.bytes);
      report(now - seen);
      seen = now;
    }
  })();
  looking.catch(() => undefined); // heard below
  let came: string;
  try {
    came = await damageOf(async () => ((await copy.saveEntry?.(ref, entry.path, file)) ? 'came' : 'not'));
  } finally {
    over.abort();
    await looking; // what it throws ends the fetch, whatever became of that
  }
  const right = came === 'came' && (await hashOfFile(host, file)) === entry.sha256;
  report(right ? entry.bytes - seen : -seen);
  return right;
}

async function sizeOf(host: Host, file: string): Promise<number> {
  const script = 'stat -c %s -- "$1" "$1".part/* 2> /dev/null | tail -n 1';
  return Number((await host.run(['sh', '-c', script, 'sh', file])).stdout);
}

async function hashOfFile(host: Host, file: string): Promise<string> {
  const script =
    'if command -v openssl > /dev/null; then openssl dgst -sha256 -r < "$1"; else sha256sum < "$1"; fi';
  const { stdout } = await host.run(['sh', '-c', script, 'sh', file], { timeoutMs: 86_400_000 });
  return stdout.slice(0, 64);
}

/**
 * Patches a full dump with a delta from the off-site.
 *
 * @param file where the dump is wanted; undefined: only its hash is.
 */
export async function patchDump(
  copy: Offsite,
  { ref, entry, dumpSha256 }: DumpEntry & Pick<Delta, 'dumpSha256'>,
  host: Host,
  base: string,
  file: string | undefined,
  report: Report,
): Promise<Finding | undefined> {
  const [zstd, rdiff] = [await provideTool(host, 'zstd'), await provideTool(host, 'rdiff')];
  const finding = (problem: string): Finding => ({ part: 'database', path: deltaEntry, problem });
  const came = await damageOf(async () => {
    const passing = new Passing(await copy.readEntry(ref, entry.path), report);
    return passing.into(host, ['bash', '-c', patchScript, 'bash', zstd, rdiff, base, file ?? '']);
  });
  if (typeof came === 'string') return finding(`cannot be read (${came})`);
  if (came.exitCode === noRoom)
    throw refused(host, `the dump could not be written to ${file ?? ''}`, came.stderr);
  const wrong = came.problem ?? (came.whole ? differs(came, entry) : undefined);
  if (wrong !== undefined) return finding(wrong);
  if (came.exitCode !== 0) return finding(`does not fit its full dump (${lastWord(came)})`);
  if (came.stdout.trim() === dumpSha256) return undefined;
  return finding('gives another dump than it was made from');
}

/** Compares a stored file with its hash, as it lies there. */
export async function hashStored(
  copy: Offsite,
  ref: StoredPartRef,
  stored: StoredEntry,
  report: Report,
): Promise<string | undefined> {
  if (copy.readStored === undefined) return 'cannot be opened here, nor read as it lies there';
  const readStored = copy.readStored.bind(copy);
  const came = await damageOf(async () =>
    new Passing(await readStored(ref, stored.entry), report).toNowhere(),
  );
  if (typeof came === 'string') return `cannot be read (${came})`;
  return came.problem ?? differs(came, stored);
}

/** What a program that cannot write its output ends with here. */
const noRoom = 66;

/** $1 zstd, $2 rdiff, $3 the full dump, $4 where the result goes or ''. The delta comes by stdin, its hash goes to stdout. */
const patchScript = `set -o pipefail; umask 077
hash() { if command -v openssl > /dev/null; then openssl dgst -sha256 -r; else sha256sum; fi; }
keep() { if [ -n "$1" ]; then tee -- "$1"; else cat; fi; }
"$1" -dcq | "$2" patch -- "$3" - - | keep "$4" | hash | cut -d ' ' -f 1
rc=("\${PIPESTATUS[@]}")
[ "\${rc[2]}" -eq 0 ] || exit ${String(noRoom)}
[ "\${rc[0]}" -eq 0 ] && [ "\${rc[1]}" -eq 0 ] && [ "\${rc[3]}" -eq 0 ]`;

interface Passed {
  readonly bytes: number;
  readonly sha256: string;
  /** Everything that the off-site gave has passed. */
  readonly whole: boolean;
  /** The off-site did not give all of it: in words that go on where the entry's name ends. */
  readonly problem?: string;
}

/** An entry on its way from an off-site. */
class Passing {
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;
  #ended = false;
  #unwanted = false;

  constructor(
    private readonly from: HostStream,
    private readonly report: Report,
  ) {}

  /** Hands the entry to a program of a host. */
  async into(
    host: Host,
    argv: readonly string[],
  ): Promise<Passed & { exitCode: number; stdout: string; stderr: string }> {
    let lost: unknown;
    const tapped = Readable.from(this.#tapped(), { objectMode: false });
    tapped.once('error', (error) => (lost = error));
    const program = await host.stream(argv, { stdin: tapped });
    try {
      const said: Buffer[] = [];
      for await (const chunk of program.stdout as AsyncIterable<Buffer>) said.push(chunk);
      const { exitCode, stderr } = await program.completed;
      if (lost instanceof Failure || this.#unwanted) throw lost;
      const passed = this.#ended ? await this.#passed() : this.#cut(); // a program that fails wants no more
      return { ...passed, exitCode, stderr, stdout: Buffer.concat(said).toString() };
    } finally {
      program.kill();
      this.from.kill();
    }
  }

  async toNowhere(): Promise<Passed> {
    try {
      for await (const chunk of this.#tapped()) void chunk;
      return await this.#passed();
    } finally {
      this.from.kill();
    }
  }

  async *#tapped(): AsyncGenerator<Buffer> {
    for await (const chunk of this.from.stdout as AsyncIterable<Buffer>) {
      this.#hash.update(chunk);
      this.#bytes += chunk.length;
      this.#unwanted = true; // what is thrown here ends it
      this.report(chunk.length);
      this.#unwanted = false;
      yield chunk;
    }
    this.#ended = true;
  }

  #cut(): Passed {
    return { bytes: this.#bytes, sha256: '', whole: false };
  }

  async #passed(): Promise<Passed> {
    const ended = await this.from.completed;
    return {
      ...{ bytes: this.#bytes, sha256: this.#hash.digest('hex'), whole: true },
      ...(ended.exitCode === 0 ? {} : { problem: `cannot be read (${lastWord(ended)})` }),
    };
  }
}

function differs(came: Passed, wanted: Pick<ManifestEntry, 'bytes' | 'sha256'>): string | undefined {
  if (came.sha256 === wanted.sha256) return undefined;
  return came.bytes === wanted.bytes
    ? 'came back changed'
    : `came back with ${String(came.bytes)} bytes instead of ${String(wanted.bytes)}`;
}

function refused(host: Host, what: string, stderr: string): Failure {
  return new Failure('Refused', `${what} on ${host.name}: ${lastWord({ exitCode: 1, stderr })}`, {
    host: host.name,
    next: 'make room there, or put the state folder on another disk',
  });
}
