import { createHash } from 'node:crypto';
import { PassThrough, type Readable } from 'node:stream';
import { Failure } from '../errors.js';
import { anyExitCode, type HostStream } from '../hosts/host.js';
import type { FollowJob, OffsitePlace, StoredEntry } from './offsite.js';

/**
 * How the small parts lie in a tree of files: compressed with zstd, then encrypted with age, each said by the name's end.
 * What is compressed already (`.zst`) is not compressed twice.
 */

/** What to make of which files, for whom. */
export interface Coding {
  /** A folder on the off-site's host: all files in it, at any depth. */
  readonly folder: string;
  /**
   * The folder for the stored files, made when it is not there; it holds nothing else. What is stored as it is lies
   * there as a symbolic link. Notes and unfinished files lie beside it, in `<to>.coding`.
   */
  readonly to: string;
  /** age's public keys, or SSH's; empty: not encrypted. */
  readonly recipients: readonly string[];
}

/**
 * Makes the stored files of a folder, by one durable job at low priority. What an earlier attempt has made is taken as it
 * is, when its file has not changed since.
 *
 * @returns an entry for each file, in the order of their names.
 * @throws Failure `ToolMissing`; what `follow` throws.
 */
export async function codeFiles(
  place: OffsitePlace,
  { folder, to, recipients }: Coding,
  follow: FollowJob,
): Promise<StoredEntry[]> {
  const { host, as } = place;
  const zstd = await place.tool('zstd');
  const age = recipients.length === 0 ? '' : await place.tool('age');
  const notes = `${to}.coding`;
  await follow(
    'code',
    ['bash', '-c', codeScript, 'bash', folder, to, notes, zstd, age, ...recipients],
    { as, cwd: '/', nice: 10 },
    async ({ stdoutTail }) => {
      const [pid, before] = stdoutTail.trimEnd().split('\n').at(-1)?.split(' ') ?? [];
      if (pid === undefined || before === undefined) return {};
      const { stdout } = await host.run(['cat', '--', `/proc/${pid}/fdinfo/3`], { as, okCodes: [0, 1] });
      return { bytes: Number(before) + Number(/^pos:\s*(\d+)/m.exec(stdout)?.[1] ?? 0) };
    },
  );
  const { stdout } = await host.run(['cat', '--', `${notes}/all`], { as });
  return stdout.split('\0').flatMap((note) => {
    const [, bytes, sha256, path, entry] = note.split('\t');
    if (sha256 === undefined || path === undefined || entry === undefined) return [];
    return [{ entry, path, bytes: Number(bytes), sha256 }];
  });
}

/**
 * $1 folder, $2 to, $3 notes, $4 zstd, $5 age, or empty, $6… recipients
 *
 * Descriptor 3 is the file that is read: how far it is can be asked of /proc. A line on stdout for each file: our pid and
 * the bytes of all files before it.
 *
 * A note is `<stamp>\t<bytes>\t<sha256>\t<stored as>\t<name>` and a NUL. The stamp says which file was coded for whom, and
 * in which boot: a power cut may leave a file whose bytes never reached the disk.
 */
const codeScript = `
set -o pipefail; umask 077; export LC_ALL=C
folder=$1 to=$2 notes=$3 zstd=$4 age=$5; shift 5
from="$(cat /proc/sys/kernel/random/boot_id) $(printf '%s\\n' "$age" "$@" | sha256sum | cut -c -16)"
hash() { if command -v openssl > /dev/null; then openssl dgst -sha256 -r; else sha256sum; fi; }
compress() { if [ -n "$1" ]; then "$zstd" -q -c -3 -T0; else cat; fi; }
encrypt() { if [ -n "$age" ]; then "$age" -R <(printf '%s\\n' "$@"); else cat; fi; }
mkdir -p -- "$to" "$notes" && cd -- "$folder" || exit 1
find . -type f -printf '%P\\0' | LC_ALL=C sort -z > "$notes/names" || exit 1
: > "$notes/all.new" || exit 1
before=0
while IFS= read -r -d '' name <&4; do
  echo "$$ $before"
  size=$(stat -c %s -- "$name") && stamp="$from $(stat -c '%s %.9Y %i' -- "$name")" || exit 1
  case $name in *.zst) compress= path=$name ;; *) compress=yes path=$name.zst ;; esac
  [ -z "$age" ] || path=$path.age
  case $name in *[$'\\t\\n']*) echo "a file's name cannot be noted: $name" >&2; exit 1 ;; esac
  note=$notes/note-$(printf %s "$name" | sha256sum | cut -c -16)
  if IFS=$'\\t' read -r -d '' had bytes _ < "$note" 2> /dev/null && [ "$had" = "$stamp" ] &&
    [ "$(stat -L -c %s -- "$to/$path" 2> /dev/null)" = "$bytes" ]; then
    :
  else
    mkdir -p -- "$(dirname -- "$to/$path")" && rm -f -- "$note" || exit 1
    exec 3< "$name" || exit 1
    if [ -z "$compress$age" ]; then
      sum=$(hash <&3) && ln -sfn -- "$folder/$name" "$to/$path" || exit 1
    else
      sum=$(compress "$compress" <&3 | encrypt "$@" | tee -- "$notes/unfinished" | hash) &&
        mv -f -- "$notes/unfinished" "$to/$path" || exit 1
    fi
    exec 3<&-
    printf '%s\\t%s\\t%s\\t%s\\t%s\\0' "$stamp" "$(stat -L -c %s -- "$to/$path")" "\${sum%% *}" "$path" "$name" \\
      > "$note.new" && mv -f -- "$note.new" "$note" || exit 1
  fi
  cat -- "$note" >> "$notes/all.new" || exit 1
  before=$((before + size))
done 4< "$notes/names"
mv -f -- "$notes/all.new" "$notes/all"
`;

/**
 * An entry's own bytes out of its stored ones, as they pass. `completed` ends with another exit code than 0 when what
 * came was cut or changed, as age and zstd find it, or when `stored` did; `kill` ends both.
 *
 * @param stored what is read of the off-site, on whichever host.
 * @param identity the file on `place.host` that opens what age has encrypted.
 * @throws Failure `AuthFailed` without an identity for what is encrypted; `completed` does when it is not the right one,
 *   and what is stored is what was sent, which is then read to its end.
 */
export async function openCoded(
  place: OffsitePlace,
  entry: StoredEntry,
  stored: HostStream,
  identity?: string,
): Promise<HostStream> {
  const encrypted = entry.path.endsWith('.age');
  if (entry.path === entry.entry) return stored;
  const where = { host: place.host.name };
  try {
    if (encrypted && identity === undefined)
      throw new Failure(
        'AuthFailed',
        `${entry.path} is encrypted, and there is nothing here to open it with`,
        {
          ...where,
          next: 'say in ageIdentityFile of the off-site where the private key of age lies on this machine',
        },
      );
    const words = await openArgv(place, entry, identity);
    const passing = encrypted ? hashPassing(stored) : undefined;
    const opened = await place.host.stream(words, {
      as: place.as,
      stdin: passing?.stdin ?? stored.stdout,
    });
    return {
      stdout: opened.stdout,
      completed: completed(opened, stored, entry, where, passing?.rest),
      kill: () => {
        opened.kill();
        stored.kill();
      },
    };
  } catch (error) {
    stored.kill();
    throw error;
  }
}

/**
 * The argv of a command that opens what comes by stdin; `cat` for what is stored as it is.
 *
 * @param identity as for `openCoded`.
 */
async function openArgv(
  place: OffsitePlace,
  entry: StoredEntry,
  identity: string | undefined,
): Promise<string[]> {
  const encrypted = entry.path.endsWith('.age');
  const compressed = entry.path.slice(entry.entry.length).replace(/\.age$/, '') === '.zst';
  if (!encrypted && !compressed) return ['cat'];
  return [
    ...['bash', '-c', openScript, 'bash'],
    ...(encrypted ? [await place.tool('age'), identity ?? ''] : ['', '']),
    ...(compressed ? [await place.tool('zstd')] : ['']),
  ];
}

/**
 * Opens an entry into a file of the place's host.
 *
 * @param read the argv of a command that prints it as it is stored.
 * @returns whether it came whole, as far as its own check sums tell; why not, `openCoded` says.
 */
export async function saveCoded(
  place: OffsitePlace,
  entry: StoredEntry,
  { read, file, identity }: { read: readonly string[]; file: string; identity: string | undefined },
): Promise<boolean> {
  if (entry.path.endsWith('.age') && identity === undefined) return false;
  const open = await openArgv(place, entry, identity);
  const words = ['bash', '-c', saveScript, 'bash', file, String(read.length), ...read, ...open];
  const saved = await place.host.run(words, { as: place.as, okCodes: anyExitCode, timeoutMs: dayMs });
  return saved.exitCode === 0;
}

const dayMs = 86_400_000;

/** $1 file, $2 how many of the words after it read; the rest opens. */
const saveScript = `set -o pipefail; umask 077; file=$1 count=$2; shift 2
"\${@:1:count}" | "\${@:count+1}" > "$file"`;

/** $1 age, or empty, $2 identity, $3 zstd, or empty */
const openScript = `set -o pipefail
if [ -z "$1" ]; then "$3" -q -dc; elif [ -z "$3" ]; then "$1" -d -i "$2"; else "$1" -d -i "$2" | "$3" -q -dc; fi`;

/**
 * Hashes what is stored on its way to who opens it.
 *
 * @returns `rest` reads on when that one wants no more, and tells the SHA-256 of everything.
 */
function hashPassing({ stdout, completed }: HostStream): { stdin: Readable; rest: () => Promise<string> } {
  const hash = createHash('sha256');
  const stdin = new PassThrough();
  stdout.on('data', (chunk: Buffer) => hash.update(chunk));
  stdout.once('error', (error) => stdin.destroy(error));
  stdin.on('error', () => undefined); // told by `stdout`, and by the exit of who reads it
  stdout.pipe(stdin);
  const rest = async () => {
    stdout.unpipe(stdin).resume();
    await completed;
    return hash.digest('hex');
  };
  return { stdin, rest };
}

function completed(
  opened: HostStream,
  stored: HostStream,
  entry: StoredEntry,
  where: { host: string },
  rest?: () => Promise<string>,
): HostStream['completed'] {
  const both = (async () => {
    const ended = await opened.completed;
    if (rest !== undefined && /no identity matched|incorrect identity/i.test(ended.stderr)) {
      // age says the same of another key and of a header that was changed.
      const sha256 = await rest();
      if (stored.stdout.errored instanceof Failure) throw stored.stdout.errored;
      const came = await stored.completed;
      if (came.exitCode !== 0) return came;
      if (sha256 !== entry.sha256)
        return { exitCode: ended.exitCode, stderr: 'it is not what was sent: its hash is another\n' };
      throw new Failure('AuthFailed', `${entry.path} is encrypted for others than the key of age at hand`, {
        ...where,
        next: 'give the private key of one of the recipients in ageIdentityFile of the off-site',
      });
    }
    if (stored.stdout.errored instanceof Failure) throw stored.stdout.errored; // the connection was lost
    if (ended.exitCode !== 0 && !stored.stdout.readableEnded) {
      stored.kill(); // what was broken was not read to its end: how the other end takes that does not matter
      return ended;
    }
    const came = await stored.completed;
    return came.exitCode === 0 ? ended : came;
  })();
  both.catch(() => undefined); // heard by whoever reads to the end
  return both;
}
