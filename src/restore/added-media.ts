import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';
import type { RestoreTarget } from './target.js';

/**
 * Who puts media into their folder: Mastodon's user. All of it is his, so that whoever else went there would go wherever
 * his links lead. A folder that is not there and that he cannot make is made for him.
 *
 * @returns also whose files become his, a sentence each.
 * @throws Failure `Refused` for a folder that is there, and that he cannot write to.
 */
export async function whoPlacesMedia(
  { host, appUser, as }: Pick<RestoreTarget, 'host' | 'appUser' | 'as'>,
  { media, index }: { media: string; index: string },
): Promise<{ as: Identity; warnings: string[] }> {
  const user = { user: appUser };
  const mayWrite = async () => {
    const { exitCode } = await host.run(['sh', '-c', mayWriteScript, 'sh', media], {
      as: user,
      okCodes: [0, 1],
    });
    return exitCode === 0;
  };
  if (!(await mayWrite())) {
    await host.run(['sh', '-c', makeScript, 'sh', media, appUser], { as });
    if (!(await mayWrite()))
      throw new Failure('Refused', `${media} on ${host.name} is not a folder that ${appUser} may write to`, {
        host: host.name,
        next: `give it to Mastodon's user, as it was: chown -R ${appUser}: ${media}; or leave media out: --parts`,
      });
  }
  const { stdout } = await host.run(['sh', '-c', ownersScript, 'sh', index]);
  const names = stdout.split('\n').filter((name) => name !== '');
  const others = names.filter((name) => name !== appUser);
  const warnings =
    names.length < 2
      ? []
      : [
          `Media had several owners (${names.join(', ')}): those of ${others.join(', ')} are ${appUser}’s now.`,
        ];
  return { as: user, warnings };
}

/** $1 folder: the nearest to it that is there */
const mayWriteScript = 'd=$1; until [ -e "$d" ]; do d=$(dirname -- "$d"); done; [ -d "$d" ] && [ -w "$d" ]';

/** $1 folder, $2 user; one that is there stays as it is */
const makeScript = `[ ! -e "$1" ] && [ "$(id -u)" = 0 ] || exit 0
mkdir -p -- "$(dirname -- "$1")" && install -d -m 755 -o "$2" -g "$(id -g -- "$2")" -- "$1"`;

/** $1 index; the names of the media's owners */
const ownersScript = `LC_ALL=C sed -n 's/^# user [0-9][0-9]* //p' < "$1" | sort -u`;

/** stdin: the list. Only the very files that were added go, and folders that are empty. */
const script = `folders=()
while IFS= read -r -d '' line; do
  what=\${line%% *} path=\${line#* }
  case $what in
    as) ;;
    folder) folders=("$path" "\${folders[@]}") ;;
    *) [ "$(stat -c %i -- "$path" 2> /dev/null)" != "$what" ] || rm -f -- "$path" || exit 1 ;;
  esac
done
for path in "\${folders[@]}"; do rmdir -- "$path" 2> /dev/null; done
:`;

/**
 * Takes media back that a restore has added and that did not come to its end, as who has put them there: the instance is
 * as it was.
 *
 * @param list what `receiveMedia` has noted (`noteAdded`), on the host.
 */
export async function takeMediaBack(host: Host, list: string): Promise<void> {
  const first = `[ ! -e "$1" ] || head -z -n 1 -- "$1" | tr -d '\\0'`;
  const { stdout } = await host.run(['sh', '-c', first, 'sh', list]);
  if (stdout === '') return;
  const [, who = '', user = ''] = /^as (login|privileged|user)(?: (.+))?$/.exec(stdout) ?? [];
  const as: Identity = who === 'user' ? { user } : who === 'privileged' ? who : 'login';
  // The list lies where the login user alone gets to.
  const run = await host.argvAs(['bash', '-c', script], as);
  const reader = `list=$1; shift; exec "$@" < "$list"`;
  await host.run(['sh', '-c', reader, 'sh', list, ...run], { timeoutMs: 4 * 3_600_000 });
}
