import type { Manifest } from '../backups/manifest.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { readPairs } from '../mastodon/survey.js';
import type { RestoreTarget } from './target.js';

/** A file of the backup's secrets, and how the target stands to it. */
export interface ArchivedFile {
  /** In the archive. */
  readonly from: string;
  /** On the target, as it is called there. */
  readonly path: string;
  /** Where that leads to, without links. */
  readonly resolved: string;
  readonly mode: string;
  /** Names on the target. */
  readonly owner: string;
  readonly group: string;
  /** `same`: content, mode and owner; `attributes`: the content is the same. */
  readonly state: 'same' | 'attributes' | 'differs' | 'absent';
}

export interface ArchivedFiles {
  readonly files: readonly ArchivedFile[];
  readonly warnings: readonly string[];
}

/**
 * The path of the env file in a backup's secrets, for an instance whose env file is `envFile` now.
 *
 * @returns undefined when there is none.
 */
export function archivedEnvFile(manifest: Manifest, envFile: string): string | undefined {
  const paths = manifest.secrets?.files.map(({ path }) => path) ?? [];
  if (paths.includes(envFile)) return envFile;
  const others = paths.filter((path) => path.endsWith('/.env.production'));
  return others.length === 1 ? others[0] : undefined;
}

/**
 * $1 archive, $2 folder to unpack into (removed and made again), $3 `keep` or `look`. Standard input: from, path, mode,
 * owner and group of each file, a NUL after each. Prints "state" and the resolved path, a NUL after each; with `keep`, the
 * contents stay as `$2/0`, `$2/1` and so on. `astray`: links lead to a folder from those of another user than its own.
 */
const compareScript = `set -o pipefail; umask 077; export LC_ALL=C
archive=$1 into=$2 what=$3
rm -rf -- "$into" && mkdir -p -- "$into/tree" || exit 1
[ "$what" = keep ] || trap 'rm -rf -- "$into"' EXIT
tar --extract --file="$archive" --directory="$into/tree" --no-same-owner --no-same-permissions 2> "$into/said" ||
  { cat -- "$into/said" >&2; exit 1; }
number=0
# $1 path, $2 without links: whether root would put it where somebody says who may not write there
astray() {
  local folder own
  [ "$EUID" = 0 ] && [ "$1" != "$2" ] || return
  folder=$(dirname -- "$2")
  until [ -d "$folder" ]; do folder=$(dirname -- "$folder"); done
  own=$(stat -c %U -- "$folder")
  [ "$own" != UNKNOWN ] || own=$(stat -c %u -- "$folder")
  # It fails where the file itself is not there.
  ! { namei -o -- "$1" || :; } | awk -v own="$own" '
    $1 == "d" { seen = 1; if ($2 != "root" && $2 != own) bad = 1 } END { exit bad || !seen }'
}
while IFS= read -r -d '' from && IFS= read -r -d '' path && IFS= read -r -d '' mode && IFS= read -r -d '' owner && IFS= read -r -d '' group; do
  file=$into/tree/\${from#/}
  [ -f "$file" ] || { printf 'the archive lacks %s\\n' "$from" >&2; exit 1; }
  real=$(realpath -m -- "$path")
  if [ ! -e "$real" ]; then state=absent
  elif [ ! -f "$real" ]; then printf '%s is no file\\n' "$real" >&2; exit 1
  elif ! cmp -s -- "$file" "$real"; then state=differs
  elif [ "$(stat -c '%U %G' -- "$real")" != "$owner $group" ] || [ "$((8#$(stat -c %a -- "$real")))" != "$((8#$mode))" ]; then state=attributes
  else state=same; fi
  [ "$state" = same ] || ! astray "$path" "$real" || state=astray
  printf '%s\\0%s\\0' "$state" "$real"
  if [ "$what" = keep ]; then mv -- "$file" "$into/$number" && sync -- "$into/$number" || exit 1; fi
  number=$((number + 1))
done
rm -rf -- "$into/tree"`;

/**
 * Compares a backup's secrets with what is on the target.
 *
 * @param into a folder of the login user's that is there for this alone. With `keep`, the contents stay in it, numbered.
 * @throws Failure `Refused` for a link that root must not follow, `CommandFailed` when the archive is not whole, or a folder is where a file belongs.
 */
export async function compareArchive(
  target: Pick<RestoreTarget, 'host' | 'as' | 'envFile' | 'appUser'>,
  manifest: Manifest,
  archive: string,
  into: string,
  what: 'keep' | 'look',
): Promise<ArchivedFiles> {
  const { host, as, envFile } = target;
  const listed = manifest.secrets?.files ?? [];
  const env = archivedEnvFile(manifest, envFile);
  if (env === undefined) {
    throw new Failure('Refused', `the backup has no env file that could become ${envFile}`, {
      host: host.name,
      next: 'correct mastodon.root or mastodon.envFile in the configuration, or leave secrets out: --parts',
    });
  }
  const { owners, warnings } = await ownersOn(host, target.appUser, listed, env);
  const wanted = listed.map((file) => ({
    from: file.path,
    path: file.path === env ? envFile : file.path,
    mode: file.mode,
    ...owners(file),
  }));
  const words = wanted.flatMap(({ from, path, mode, owner, group }) => [from, path, mode, owner, group]);
  const { stdout } = await host.run(['bash', '-c', compareScript, 'bash', archive, into, what], {
    as,
    stdin: words.map((word) => `${word}\0`).join(''),
    timeoutMs: 300_000,
    cwd: '/',
  });
  const states = readPairs(stdout);
  for (const [at, [state, resolved = '']] of states.entries()) {
    if (state !== 'astray') continue;
    const path = wanted[at]?.path ?? '';
    throw new Failure(
      'Refused',
      `${path} on ${host.name} is a link to ${resolved}, made by a user who may not write there: root does not follow it`,
      {
        host: host.name,
        next: `if it is meant, name ${resolved} itself in the configuration (mastodon.envFile, mastodon.extraFiles); if not, remove the link`,
      },
    );
  }
  return {
    files: wanted.map((file, at) => {
      const [state = '', resolved = file.path] = states[at] ?? [];
      return { ...file, resolved, state: state as ArchivedFile['state'] };
    }),
    warnings: [
      ...warnings,
      ...(env === envFile ? [] : [`The env file was ${env} in the backup; it becomes ${envFile}.`]),
    ],
  };
}

/** Prints those of the names that are users ("u NAME") and groups ("g NAME") here, and the app user's group ("p NAME"). */
const namesScript = `p=$(id -gn -- "$1") && printf 'p %s\\n' "$p"; shift
for name; do getent passwd "$name" > /dev/null && printf 'u %s\\n' "$name"; getent group "$name" > /dev/null && printf 'g %s\\n' "$name"; done
exit 0`;

type Owned = Pick<ArchivedFile, 'owner' | 'group'>;

/** Whose the files are on this host: by name; what was Mastodon's user's is its user's here. */
async function ownersOn(
  host: Host,
  appUser: string,
  files: readonly (Owned & { readonly path: string })[],
  env: string,
): Promise<{ owners: (file: Owned) => Owned; warnings: string[] }> {
  const names = [...new Set(files.flatMap(({ owner, group }) => [owner, group]))];
  const { stdout } = await host.run(['sh', '-c', namesScript, 'sh', appUser, ...names]);
  const known = new Set(stdout.split('\n'));
  const appGroup = [...known].find((line) => line.startsWith('p '))?.slice(2) ?? appUser;
  const before = files.find(({ path }) => path === env)?.owner;
  const unknown = new Set<string>();
  const here = (kind: 'u' | 'g', name: string, mine: string): string => {
    if (name === before && before !== 'root') return mine;
    if (known.has(`${kind} ${name}`)) return name;
    unknown.add(name);
    return 'root';
  };
  const owners = ({ owner, group }: Owned): Owned => ({
    owner: here('u', owner, appUser),
    group: here('g', group, appGroup),
  });
  for (const file of files) owners(file);
  return {
    owners,
    warnings: [...unknown].map(
      (name) => `There is no ${name} on ${host.name}: what belonged to it in the backup belongs to root.`,
    ),
  };
}
