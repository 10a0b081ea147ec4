/**
 * A scratch as it lies on a host: `place` on a disk with room, and `<folder>/scratches/<key>/` (0700), which knows it.
 *
 * | file | holds |
 * |---|---|
 * | place | the scratch's folder; written last, so that without it there is no scratch |
 * | was | the same, once the lease has ended it: a worker that was asleep may go on in it, so the drill's end looks again |
 * | ref | whose it is |
 * | user | whom its servers run as |
 * | boot | the boot that it belongs to, and when its PID 1 was born (a container keeps the kernel's boot id) |
 * | deadline | when its lease ends, in seconds of `/proc/uptime`: a clock that is set back does not matter |
 * | seconds | the lease's length |
 * | tmpfiles | the file by which systemd removes the place at the next boot, where it can |
 *
 * All of it is on the disk before the place is made: whatever happens afterwards, it is known what has to go. The name
 * of the place is drawn, so that nobody else can have made it.
 *
 * Jobs of a scratch are called `scratch-<key>-<name>`; its lease is the job `scratchlease-<key>`, which the scratch's
 * own end leaves alone.
 */
export const placeScript = String.raw`
set -u; umask 077; export LC_ALL=C
dir=$1 action=$2; shift 2
key=${'$'}{dir##*/} jobs=${'$'}{dir%/*/*}/jobs
refuse() {
  printf '%s\n' "$@" >&2
  [ -e "$dir/place" ] || rm -rf -- "$dir"
  exit 70
}
gone() { exit 77; }
uptime_s() { local up; IFS=. read -r up _ < /proc/uptime; echo "$up"; }
this_boot() { # field 22 of proc_pid_stat(5) is when a process was born
  local id stat
  read -r id < /proc/sys/kernel/random/boot_id
  read -r stat < /proc/1/stat && set -- ${'$'}{stat##*) } && echo "$id ${'$'}{20}"
}
lock() { [ -d "$dir" ] && exec 9< "$dir" && flock -w 900 9 && [ "$dir" -ef /dev/fd/9 ]; }
unlock() { exec 9<&-; }
put() { printf '%s\n' "$2" > "$dir/$1.new" && mv -f "$dir/$1.new" "$dir/$1"; }
get() { local said=; [ ! -e "$dir/$1" ] || IFS= read -r said < "$dir/$1"; printf %s "$said"; }
# A scratch belongs to one boot: after it, nothing of it runs any more.
alive() {
  [ -e "$dir/place" ] && [ "$(get boot)" = "$(this_boot)" ] && [ "$(uptime_s)" -lt "$(get deadline)" ]
}

# Prints the processes of the scratch: those of its jobs; whatever Permafrost runs, and whatever its users run, that
# works in the place; the first of each of its namespaces; and what descends from such. Programs that write their
# name over their environment (PostgreSQL, Redis) are known by where they work. Nobody who sits at a terminal.
victims() {
  perl - "$place" "$key" $$ "$(id -u "$user" 2> /dev/null)" "$(cat "$place"/.scratch/who-* 2> /dev/null | tr '\n' ' ')" << 'PERL'
    my ($place, $key, $self, $servers, $first) = @ARGV;
    my %born = split ' ', $first;
    my (%parent, %own, %hit);
    my $in = sub { my $to = readlink $_[0]; defined $to && $to =~ m{^\Q$place\E(/|$| \(deleted\)$)} };
    my $slurp = sub { local $/; open(my $file, '<', $_[0]) or return ''; my $all = <$file>; defined $all ? $all : '' };
    for my $proc (glob '/proc/[0-9]*') {
      my ($pid) = $proc =~ /(\d+)$/;
      my $stat = $slurp->("$proc/stat");
      $stat =~ s/^.*\) //s or next;
      my ($state, $up, $tty, $born) = (split ' ', $stat)[0, 1, 4, 19];
      $parent{$pid} = $up;
      next if $state =~ /[ZX]/ || $tty != 0 || $pid == 1;
      my $environ = "\0" . $slurp->("$proc/environ");
      my $hit = $environ =~ /\0PERMAFROST_JOB=scratch-\Q$key\E-/ || ($born{$pid} // '') eq $born;
      my $ours = $environ =~ /\0PERMAFROST_JOB=/;
      my $theirs = $servers ne '' && $servers != 0 && (stat $proc)[4] == $servers;
      $hit ||= ($ours || $theirs) && ($in->("$proc/cwd") || $in->("$proc/root") || $in->("$proc/exe"));
      $hit ||= $ours && ("\0" . $slurp->("$proc/cmdline")) =~ m{[^\w/]\Q$place\E(?![\w.-])};
      $hit ||= $ours && grep { $in->($_) } glob "$proc/fd/*";
      $hit{$pid} = 1 if $hit;
    }
    my %above;
    for (my $pid = $self; defined $pid && $pid > 0; $pid = $parent{$pid}) { $above{$pid} = 1; delete $hit{$pid} }
    $own{$self} = 1;
    for (my $more = 1; $more;) {
      $more = 0;
      for (grep { !$above{$_} } keys %parent) {
        $own{$_} = $more = 1 if !$own{$_} && $own{$parent{$_}};
        $hit{$_} = $more = 1 if !$hit{$_} && $hit{$parent{$_}};
      }
    }
    print "$_\n" for grep { !$own{$_} } sort { $a <=> $b } keys %hit;
PERL
}
# What PostgreSQL leaves in shared memory when it is killed: the key's number is in its pid file.
release_memory() {
  local file pid id
  for file in "$place"/*/data/postmaster.pid; do
    [ -f "$file" ] || continue
    pid=$(sed -n 1p "$file") id=$(sed -n 7p "$file" | awk '{ print $2 }')
    awk -v id="$id" -v pid="$pid" '$2 == id && $5 == pid && $7 == 0 { found = 1 } END { exit !found }' \
      /proc/sysvipc/shm && perl -e 'shmctl($ARGV[0], 0, 0)' "$id"   # IPC_RMID, by its number: ipcrm is not everywhere
  done
}
mounts() { awk -v place="$place" '$5 == place || index($5, place "/") == 1 { print $5 }' /proc/self/mountinfo | tac; }
# Ends all that is in $place of $user. Whoever runs this is not among the processes.
end() {
  local i left= at
  [ ! -d /run/systemd/system ] || [ "$(id -u)" != 0 ] ||
    systemctl kill --signal=KILL "permafrost-job-scratch-$key-*" > /dev/null 2>&1
  for i in {1..200}; do
    left=$(victims) || return 1
    [ -n "$left" ] || break
    kill -KILL $left 2> /dev/null
    sleep 0.1
  done
  [ -z "$left" ] || { echo "still alive after KILL: "$left >&2; return 1; }
  release_memory
  for at in $(mounts); do umount -- "$at" || umount -l -- "$at"; done
  if [ -e "$place" ]; then
    rm -rf --one-file-system -- "$place" 2> /dev/null ||
      { find "$place" -xdev -type d ! -perm -700 -exec chmod u+rwx {} \; ; rm -rf --one-file-system -- "$place"; } ||
      return 1
  fi
  left=$(victims)$(mounts)
  [ -z "$left" ] || { echo "still there: "$left >&2; return 1; }
}
# Ends all of it. The lock is held.
finish() { # forget | remember
  place=$(get place) user=$(get user)
  [ -n "$place" ] || place=$(get was)
  [ -z "$place" ] || end || return 1
  rm -rf -- "$jobs/scratch-$key-"* "$(get tmpfiles)"
  [ "$1" = forget ] || { mv -f -- "$dir/place" "$dir/was"; return; }
  # In one step, so that no half of it is taken for a scratch.
  local gone=${'$'}{dir%/*}/.gone-$key
  rm -rf -- "$gone" && mv -T -- "$dir" "$gone" && rm -rf -- "$gone"
}

# Whether others than root and we could put something in its way: everything above it is ours or root's, and nobody
# else may rename what is in it.
check_base() {
  local at=$1 owner mode
  while :; do
    read -r owner mode <<< "$(stat -c '%u %a' -- "$at")"
    [ "$owner" = 0 ] || [ "$owner" = "$(id -u)" ] ||
      refuse "$at belongs to $(stat -c %U -- "$at"), who could look into a scratch there"
    (( 0$mode & 0022 )) && ! (( 0$mode & 01000 )) && refuse "others may write in $at"
    [ "$at" != / ] || break
    at=$(dirname -- "$at")
  done
}

# prepare BASE SECONDS REF SCRIPT: writes down a scratch, or finds it again. Nothing lies there yet.
prepare() {
  local base=$1 seconds=$2 ref=$3 script=$4 user real tries
  for tries in 1 2 3 4 5; do
    mkdir -p -- "$dir" || exit 1
    lock || continue   # it was just taken away
    [ -e "$dir/place" ] || [ -e "$dir/was" ] || break
    if alive; then put deadline $(($(uptime_s) + $(get seconds))); exit; fi
    finish forget || exit 1
    unlock
  done
  [ "$dir" -ef /dev/fd/9 ] || { echo "$dir is held for too long" >&2; exit 1; }
  [ -d "$base" ] || (umask 022; mkdir -p -- "$base") || refuse "$base cannot be made"
  real=$(realpath -e -- "$base") || refuse "$base cannot be read"
  [[ $real =~ ^[[:alnum:]_./@:+-]+$ ]] || refuse "$real has characters in it that not every tool here takes"
  [ -w "$real" ] || refuse "$(id -un) may not write in $real"
  check_base "$real"
  user=$(id -un)
  if [ "$(id -u)" = 0 ]; then
    user=nobody   # not postgres: who is that is superuser of the host's own cluster, and a dump brings code with it
    runuser -u "$user" -- test -x "$real" || refuse "$user, whom the servers run as, may not pass through $real"
  fi
  place=${'$'}{real%/}/permafrost-scratch_${'$'}{key%%_*}-$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n')
  [ ${'$'}{#place} -le 88 ] || refuse "$real is too long: a socket's path has 107 bytes at most"
  put scratch.sh "$script" && put ref "$ref" && put user "$user" && put boot "$(this_boot)" && put seconds "$seconds" &&
    put deadline $(($(uptime_s) + seconds)) || exit 1
  if [ "$(id -u)" = 0 ] && [ -d /run/systemd/system ] && [ -d /etc/tmpfiles.d ]; then
    local rule=/etc/tmpfiles.d/${'$'}{place##*/}.conf
    # tmpfiles.d(5): R removes with all that is in it, and ! only at a boot.
    put tmpfiles "$rule" && (umask 022; printf '# A drill of Permafrost: removed with it.\nR! %s\n' "$place" > "$rule") ||
      rm -f -- "$dir/tmpfiles"
    [ ! -e "$rule" ] || sync -- "$rule" /etc/tmpfiles.d
  fi
  put place "$place" || exit 1
  sync -- "$dir"/* "$dir" "${'$'}{dir%/*}"
}

# make: the place itself. Its lease is armed.
make() {
  lock && alive || gone
  place=$(get place)
  [ -d "$place" ] || mkdir -m 0711 -- "$place" || exit 1
  [ ! -L "$place" ] && [ -O "$place" ] || refuse "$place is not ours"
  mkdir -p -- "$place/.scratch" && printf '%s\n' "$place" "$(get user)"
}

# find: a lease's length from now on
find_it() {
  lock && alive || gone
  place=$(get place)
  [ -d "$place/.scratch" ] || gone
  put deadline $(($(uptime_s) + $(get seconds))) || exit 1
  printf '%s\n' "$place" "$(get user)"
}

# close
close() {
  [ -d "$dir" ] || exit 0
  lock || { [ ! -d "$dir" ]; exit; }
  finish forget
}

# hold: what the lease does until it is over
hold() {
  local left at who rule=
  place=
  while [ -e "$dir/place" ]; do
    at=$(get place) who=$(get user)
    [ -z "$at" ] || [ -z "$who" ] || { place=$at user=$who rule=$(get tmpfiles); }
    left=$(($(get deadline) - $(uptime_s)))
    if [ "$left" -gt 0 ]; then
      sleep $((left < 5 ? left : 5)) 9<&-   # a renewal moves it, a close ends it
    elif lock && ! alive; then
      finish remember && exit 0
      unlock; sleep 5   # something could not be killed: it is not given up
    else
      unlock
    fi
  done
  # A close has removed the place before. If what was noted of it was taken away instead, it still has to go.
  while [ -n "$place" ] && [ -e "$place" ] && [ ! -e "$dir/place" ]; do
    end && rm -rf -- "$jobs/scratch-$key-"* "$rule" || sleep 5
  done
}

# look: prints whether anybody may be at work in it (alive; ended by its lease; over; nothing for one that is being made),
# and whose it is
look() {
  if [ -e "$dir/place" ]; then
    alive && echo alive || echo over
    get ref
  elif [ -e "$dir/was" ]; then
    [ -n "$(find "$dir" -maxdepth 0 -mmin +2880)" ] && echo over || echo ended
    get ref
  elif [ -n "$(find "$dir" -maxdepth 0 -mmin +60)" ]; then
    echo over
  fi
}

case $action in
  prepare | make | close | hold | look) "$action" "$@" ;;
  find) find_it ;;
  *) exit 64 ;;
esac
`;
