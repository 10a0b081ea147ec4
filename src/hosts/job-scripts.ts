/**
 * The scripts that a job is made of. They run on the host with bash, coreutils, util-linux and procps, which every
 * Debian and Ubuntu has.
 *
 * A job's folder, `jobs/<id>/` (0700), holds:
 *   spec        NUL-separated: cookie, niceness, file for stdout or empty, n, n words that put `reap` under the right
 *               user, and the argv
 *   supervise, reap   the scripts below
 *   launched    "pid start-time boot-id started-at(ms)" of the supervisor; whoever makes this link runs the job, so
 *               that it runs once however many were started and wherever they were interrupted
 *   exit        the exit code, renamed from `exit.new` when all is over
 *   stdout, stderr    what it said: this and the previous piece (`.1`), 4 MiB each at most; `.before` counts the bytes
 *               that are no longer in the current piece
 *
 * Names with a leading dot in `jobs/` are being made or being removed.
 */

/** Who is a supervisor, shared by the scripts: a pid alone may be somebody else's by now. */
const isSupervisor = `
is_supervisor() { # pid, start time (field 22 of proc_pid_stat(5)); its name in field 2 may hold spaces and brackets
  local stat= start=$2
  [ "$1" = 0 ] || { IFS= read -r -d '' stat < "/proc/$1/stat"; } 2>/dev/null
  [ -n "$stat" ] || return 1
  set -- \${stat##*) }
  [ "$1" != Z ] && [ "$1" != X ] && [ "\${20}" = "$start" ]
}`;

/**
 * Makes the folder and launches its supervisor; a folder that is there without a supervisor is launched, any other is
 * left alone. Returns when the job runs.
 * $1 jobs folder, $2 id, $3 plain|systemd, $4 bytes of spec on stdin, $5 supervise, $6 reap, $7… options of systemd-run
 */
export const startScript = `
set -u; umask 077
jobs=$1 id=$2 way=$3 size=$4 supervise=$5 reap=$6; shift 6
dir=$jobs/$id
mkdir -p -- "$jobs" || exit 1
find "$jobs" -mindepth 1 -maxdepth 1 -name '.*' -mmin +60 -exec rm -rf -- {} + 2>/dev/null
if [ ! -d "$dir" ]; then
  new=$(mktemp -d "$jobs/.new.XXXXXXXX") || exit 1
  trap 'rm -rf -- "$new"' EXIT
  cat > "$new/spec" || exit 1
  [ "$(stat -c %s "$new/spec")" = "$size" ] || { echo 'the connection was cut while the job was sent' >&2; exit 1; }
  printf %s "$supervise" > "$new/supervise" && printf %s "$reap" > "$new/reap" &&
    : > "$new/stdout" && : > "$new/stderr" && mkfifo "$new/out" "$new/err" &&
    printf '    ' > "$new/exit.new" || exit 1   # its place on the disk is taken now: the end is noted on a full one too
  mv -T -- "$new" "$dir" 2>/dev/null || [ -d "$dir" ] || { echo "$dir cannot be made" >&2; exit 1; }
fi
[ -e "$dir/launched" ] && exit 0
IFS= read -r -d '' cookie < "$dir/spec" || exit 1
# What loses its parent falls to the supervisor (PR_SET_CHILD_SUBREAPER), so that it is found however it hid.
adopt='my %n = (x86_64 => 157, aarch64 => 167); my $m = (split " ", qx(uname -m))[0];
  syscall($n{$m}, 36, 1, 0, 0, 0) if $n{$m}; exec { $ARGV[0] } @ARGV'
supervisor=(bash "$dir/supervise" "$dir")
if [ "$way" = systemd ]; then
  # The unit's name is the cookie: a second systemd-run for the same folder is refused by systemd itself.
  said=$(systemd-run --quiet --collect --unit="permafrost-job-$cookie" --description="Permafrost job $id" \\
    --setenv=PERMAFROST_JOB="$cookie" --setenv=HOME="\${HOME:-/}" --setenv=USER="$(id -un)" \\
    --setenv=LOGNAME="$(id -un)" --setenv=PATH="$PATH" "$@" -- "\${supervisor[@]}" 2>&1)
else
  command -v perl > /dev/null && supervisor=(perl -e "$adopt" "\${supervisor[@]}")
  said=$(PERMAFROST_JOB=$cookie setsid --fork "\${supervisor[@]}" < /dev/null > /dev/null 2> "$dir/supervise.log")
fi
for _ in {1..600}; do [ -e "$dir/launched" ] && exit 0; sleep 0.05; done
echo "it did not start: $said $(cat "$dir/supervise.log" 2>/dev/null)" >&2
exit 1
`;

/** Runs one job to its end and notes how it ended. $1: the job's folder. Sends nothing anywhere, asks nobody. */
export const superviseScript = `
set -u; umask 077
dir=$1
cd "$dir" || exit 1
mapfile -d '' -t spec < spec
cookie=\${spec[0]} nice=\${spec[1]} file=\${spec[2]} count=\${spec[3]}
through=("\${spec[@]:4:count}") command=("\${spec[@]:4+count}")
stat=$(< "/proc/$$/stat"); set -- \${stat##*) }; start=\${20}
printf '%s %s %s %s\\n' $$ "$start" "$(< /proc/sys/kernel/random/boot_id)" "$(date +%s%3N)" > "launched.$$" || exit 1
ln "launched.$$" launched 2>/dev/null; mine=$?
rm -f "launched.$$"
[ $mine = 0 ] || exit 0

keep() { # Keeps the last 4 to 8 MiB of what comes (after many small writes less), and reads on when the disk is full.
  trap '' TERM INT HUP
  local size before=0
  while dd of="$1" bs=4096 count=1024 status=none 2>/dev/null && size=$(stat -c %s "$1") && [ "$size" -gt 0 ]; do
    before=$((before + size))
    mv -f "$1" "$1.1" && echo $before > "$1.new" && mv -f "$1.new" "$1.before"
  done
  cat > /dev/null
}
[ -n "$file" ] || keep stdout < out &
keep stderr < err &

# TERM is for the command; whoever sends it to us waits for the end that we note.
interrupted=
trap 'interrupted=yes' TERM INT HUP
(
  trap - TERM INT QUIT HUP
  cd /
  exec < /dev/null 2> "$dir/err"
  if [ -n "$file" ]; then
    [ ! -f "$file" ] || rm -f -- "$file"
    exec > "$file"
  else
    exec > "$dir/out"
  fi
  if [ "$nice" -gt 0 ]; then
    command -v ionice > /dev/null && command=(ionice -c 2 -n 7 "\${command[@]}")
    command=(nice -n "$nice" "\${command[@]}")
  fi
  exec -- "\${command[@]}"
) &
child=$! code=
while :; do
  wait $child; ended=$?
  [ -n "$code" ] && [ $ended = 127 ] && break   # it had ended before, and \`code\` says how
  code=$ended
  [ -n "$interrupted" ] && [ $code -gt 128 ] || break
  interrupted=
done

# The job ends with its command: what that left in the background, by then nobody's, is ended as well.
others() {
  local pid probe self=
  ps -o pid= -s $$ --ppid $$ > members 2>/dev/null & probe=$!
  wait $probe 2>/dev/null || return 0
  while read -r pid; do
    case $pid in $$) self=yes ;; $probe) ;; *) return 0 ;; esac
  done < members
  [ -z "$self" ]   # a list without us was cut short by whoever ends the job meanwhile: it proves nothing
}
left() {
  local i
  for i in {1..20}; do others || return 1; sleep 0.05; done
  return 0   # whatever became of the last sleep: it may have been ended with the job
}
# Again, should somebody who ends the job have ended this clean-up too: what hides from everybody else falls to us.
for _ in {1..5}; do
  left || break
  "\${through[@]}" bash -c "$(< reap)" permafrost-reap "$cookie" $$ "$start" 10 keep < /dev/null > /dev/null 2>&1
done

printf '%-4s' "$code" 1<> exit.new
mv -f exit.new exit
`;

/**
 * Ends every process of a job: TERM, time to obey, KILL until none is left. A process belongs to the job when it
 * carries the cookie in its environment, is in the supervisor's session, or descends from such a one.
 * Where we are not root, those of other users are theirs to end.
 * $1 cookie, $2 supervisor's pid or 0, $3 its start time, $4 seconds to obey, $5 keep (the supervisor itself) | end
 * Exit code 1: something could not be killed, and stderr names it.
 */
export const reapScript = `
set -u
trap '' TERM   # a supervisor's own clean-up is not ended half-way by whoever cancels the job meanwhile
cookie=$1 supervisor=$2 start=$3 grace=$4 fate=$5
${isSupervisor}
victims() {
  local root=0 carriers
  is_supervisor "$supervisor" "$start" && root=$supervisor
  carriers=$(cd /proc && grep -lzxF -e "PERMAFROST_JOB=$cookie" [0-9]*/environ 2>/dev/null | tr '\\n' ' ')
  ps -eo pid=,ppid=,sid=,state=,euid= | awk -v carriers="$carriers" -v root="$root" -v self=$$ -v me="$(id -u)" '
    { parent[$1] = $2; session[$1] = $3; state[$1] = $4; foreign[$1] = me != 0 && $5 != me }
    END {
      count = split(carriers, carrier, " ")
      for (i = 1; i <= count; i++) { sub("/environ", "", carrier[i]); hit[carrier[i]] = 1 }
      if (root > 1) for (p in parent) if (p == root || session[p] == root) hit[p] = 1
      delete hit[0]; delete hit[1]
      do { more = 0; for (p in parent) if (!(p in hit) && (parent[p] in hit)) { hit[p] = 1; more = 1 } } while (more)
      # Not this script, what it starts, and who started it.
      own[self] = 1
      do { more = 0; for (p in parent) if (!(p in own) && (parent[p] in own)) { own[p] = 1; more = 1 } } while (more)
      for (p = self; p > 1 && (p in parent); p = parent[p]) own[p] = 1
      for (p in hit) if (!(p in own) && p != root && (p in parent) && !foreign[p] && state[p] !~ /^[ZX]/) print p
    }'
}
look() { mapfile -t left < <(victims); [ \${#left[@]} -gt 0 ]; }
kill_all() {
  local deadline=$((SECONDS + 30))
  while look; do
    [ $SECONDS -lt $deadline ] || { echo "still alive after KILL: \${left[*]}" >&2; exit 1; }
    kill -KILL "\${left[@]}" 2>/dev/null
    sleep 0.05
  done
}
declare -A told
deadline=$((SECONDS + grace))
while look && [ $SECONDS -lt $deadline ]; do
  for pid in "\${left[@]}"; do
    [ -z "\${told[$pid]:-}" ] || continue
    told[$pid]=yes
    kill -TERM "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null
  done
  [ $SECONDS -lt $((deadline - grace + 2)) ] && sleep 0.1 || sleep 0.4   # a look goes through all processes
done
kill_all
[ "$fate" = end ] || exit 0
# The supervisor sees the end of its command, notes it and goes.
for _ in {1..50}; do is_supervisor "$supervisor" "$start" || break; sleep 0.1; done
is_supervisor "$supervisor" "$start" && kill -KILL "$supervisor"
while is_supervisor "$supervisor" "$start"; do sleep 0.05; done
kill_all
`;

/** Asks everything in a job's unit to end: also what `reap` cannot see. $1: cookie */
export const termUnitScript = `
systemctl kill --signal=TERM "permafrost-job-$1.service" 2>/dev/null
exit 0
`;

/** Ends what is left of a job's unit and proves that its control group is empty. $1: cookie */
export const stopUnitScript = `
unit=permafrost-job-$1.service
group=$(systemctl show --property=ControlGroup --value "$unit") || exit 1
[ -n "$group" ] || exit 0
systemctl kill --signal=KILL "$unit" 2>/dev/null
systemctl stop "$unit" 2>/dev/null
members() { find "/sys/fs/cgroup$group" "/sys/fs/cgroup/systemd$group" "/sys/fs/cgroup/unified$group" \\
  -name cgroup.procs -exec cat {} + 2>/dev/null; }
for _ in {1..300}; do
  [ -n "$(members)" ] || exit 0
  systemctl kill --signal=KILL "$unit" 2>/dev/null
  sleep 0.1
done
echo "still alive in $unit: $(members | tr '\\n' ' ')" >&2
exit 1
`;

/**
 * Keeps a job that is not launched from ever being, and prints "cookie pid start-time" of one that is; nothing for an
 * absent one. $1: the job's folder
 */
export const blockScript = `
umask 077
cd "$1" 2>/dev/null || exit 0
if [ ! -e launched ]; then
  printf '0 0 %s %s\\n' "$(cat /proc/sys/kernel/random/boot_id)" "$(date +%s%3N)" > "launched.$$" || exit 1
  ln "launched.$$" launched 2>/dev/null && printf 143 > exit
  rm -f "launched.$$"
fi
IFS= read -r -d '' cookie < spec
read -r pid start boot _ < launched || exit 1
[ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] || pid=0
echo "$cookie $pid $start"
`;

/**
 * Prints "absent", or "running|exited|lost|orphaned exit-code elapsed-ms stdout-bytes" and then the last 4 KiB of
 * stdout and of stderr in base64, a line each. "orphaned": its supervisor is gone and something of it may still run.
 * $1: the job's folder
 */
export const statusScript = `
${isSupervisor}
cd "$1" 2>/dev/null && read -r pid start boot at < launched 2>/dev/null || { echo absent; exit 0; }
ended() { code=; [ -s exit ] && read -r code < exit; [[ $code =~ ^[0-9]+$ ]]; }
state=exited
if ! ended; then
  code=-1
  read -r current < /proc/sys/kernel/random/boot_id
  if [ "$boot" != "$current" ]; then state=lost
  elif is_supervisor "$pid" "$start"; then state=running
  elif ! ended; then code=-1 state=orphaned; fi
fi
mapfile -d '' -t spec < spec
file=\${spec[2]} before=0
[ -n "$file" ] || ! [ -e stdout.before ] || read -r before < stdout.before
bytes=$(stat -L -c %s -- "\${file:-stdout}" 2>/dev/null || echo 0)
now=\${EPOCHREALTIME/[.,]/}   # microseconds; the point is the locale's
[ -n "$now" ] && now=\${now%???} || now=$(date +%s%3N)
echo "$state $code $((now - at)) $((before + bytes))"
last() {
  if [ -s "$1.1" ]; then tail -q -c 4096 -- "$1.1" "$1" | tail -c 4096 | base64 -w0
  elif [ -s "$1" ]; then tail -c 4096 -- "$1" | base64 -w0; fi 2>/dev/null
  echo
}
last stdout
last stderr
`;

/**
 * The users that a job's argv makes it (`sudo -n -u NAME --`) and that may be had for any command, a line each.
 * $1: the job's spec
 */
export const usersScript = `
[ ! -e "$1" ] || mapfile -d '' -t words < "$1"
for ((i = 4; i + 3 < \${#words[@]}; i++)); do
  [ "\${words[*]:i:3}" = 'sudo -n -u' ] && echo "\${words[i+3]}"
done | sort -u | while read -r user; do
  sudo -n -l -u "$user" -- bash -c : > /dev/null 2>&1 < /dev/null && echo "$user"
done
exit 0
`;

/** Removes a job's folder in one step. $1 jobs folder, $2 id */
export const removeScript = `
cd "$1" 2>/dev/null && [ -d "$2" ] || exit 0
gone=$(mktemp -d .gone.XXXXXXXX) && mv -- "$2" "$gone/" && rm -rf -- "$gone"
`;

/** Ids of all jobs, a line each. $1 jobs folder */
export const listScript = `
[ ! -d "$1" ] || find "$1" -mindepth 1 -maxdepth 1 -type d ! -name '.*' -printf '%f\\n'
`;
