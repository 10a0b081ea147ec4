import { Failure } from '../errors.js';
import type { HostFacts } from './host.js';

/**
 * Asks a host what it is like, and makes Permafrost's own folder there. One value a line, as `name=value`.
 * $1: the folder, or empty for the default one. $2: `look`, to make nothing and say what could not be made.
 */
export const factsScript = `
umask 077
systemd=no jobs=no
if [ -d /run/systemd/system ] && [ "$(cat /proc/1/comm)" = systemd ]; then
  systemd=yes
  # A socket that answers, not only a folder: inside a chroot the folder may be there and the manager not.
  if [ "$(id -u)" = 0 ] && command -v systemd-run >/dev/null && timeout 10 systemctl show -p Version >/dev/null 2>&1
  then jobs=yes; fi
fi
folder=$1
if [ -z "$folder" ]; then
  if [ "$(id -u)" = 0 ]; then folder=/var/lib/permafrost
  else folder=\${XDG_STATE_HOME:-$HOME/.local/state}/permafrost; fi
fi
refuse() {
  local owner why='cannot be made'
  owner=$(stat -L -c %U -- "$folder" 2>/dev/null) && [ "$owner" != "$(id -un)" ] &&
    why="belongs to $owner, and this is $(id -un): do it as $owner"
  echo "the folder $folder $why" >&2; exit 1
}
if [ "$2" = look ] && [ ! -e "$folder" ]; then
  near=$folder; until [ -e "$near" ]; do near=$(dirname -- "$near"); done
  [ -d "$near" ] && [ -w "$near" ] || refuse
else
  mkdir -p -- "$folder" && [ -O "$folder" ] && [ -w "$folder" ] || refuse
  # A folder of something else that was named by mistake is not closed to its users.
  if [ -z "$(ls -A -- "$folder")" ]; then [ "$2" = look ] || chmod 0700 -- "$folder"
  else case $(stat -L -c %a -- "$folder") in *00) ;; *)
    echo "the folder $folder is open to others: if it is Permafrost's own, chmod 0700 $folder" >&2; exit 1 ;;
  esac; fi
fi
printf '%s\\n' "user=$(id -un)" "uid=$(id -u)" "group=$(id -gn)" "arch=$(uname -m)" "systemd=$systemd" \\
  "jobs=$jobs" "bootId=$(cat /proc/sys/kernel/random/boot_id)" "folder=$(realpath -m -s -- "$folder")"
`;

/** Reads what `factsScript` printed. */
export function parseFacts(output: string, host: string, sudo: boolean): HostFacts {
  const values = new Map<string, string>();
  for (const line of output.split('\n')) {
    const at = line.indexOf('=');
    if (at > 0) values.set(line.slice(0, at), line.slice(at + 1));
  }
  const value = (name: string): string => {
    const found = values.get(name);
    if (found !== undefined && found !== '') return found;
    throw new Failure('Unexpected', `${host} did not tell its ${name}.`, {
      host,
      next: 'See that the login prints nothing of its own and that bash and coreutils are there.',
    });
  };
  const uid = Number(value('uid'));
  return {
    user: value('user'),
    uid,
    group: value('group'),
    root: uid === 0,
    sudo: sudo && uid !== 0,
    systemd: value('systemd') === 'yes',
    systemdJobs: value('jobs') === 'yes',
    arch: value('arch'),
    folder: value('folder'),
    bootId: value('bootId'),
  };
}
