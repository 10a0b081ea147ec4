/**
 * How a command is cut off from the network. It gets namespaces of its own: network (a new one has loopback alone, and
 * that is down), processes (all end with the first of them) and mounts. /run is covered there, so that the sockets of the
 * host's own PostgreSQL, Redis, containers and D-Bus are out of reach; the scratch's are reached by their paths. Root alone is
 * not held by that: it can take the covers off.
 */

/** What somebody listens at by a path: proc(5), `net/unix`. Each is ended by NUL. */
export const listenersScript = String.raw`
while read -r _ _ _ flags _ _ _ path; do
  [ "$flags" = 00010000 ] && [ "${'$'}{path:0:1}" = / ] && printf '%s\0' "$path"
done < /proc/net/unix | sort -zu
`;

/**
 * The job. $1 `insideScript`, $2 `becomeScript`, $3 file that will say who is the first in there, $4 file of the
 * environment, $5 folder it works in, $6 n, then n options of unshare; n, then n words that give up rights; n, then n
 * words of what is mounted where; the argv.
 */
export const launchScript = String.raw`
set -u; umask 077; export LC_ALL=C
inside=$1; shift
words=5 count=${'$'}{!words}
options=("${'$'}{@:6:count}")
echo 800 2> /dev/null > /proc/self/oom_score_adj
exec 4< <(${listenersScript})   # in there, the list is another one
exec unshare "${'$'}{options[@]}" --net --pid --mount --fork --kill-child -- \
  bash -c "$inside" permafrost-inside "${'$'}{@:1:4}" "${'$'}{@:6 + count}"
`;

/** The first process in there: $1 `becomeScript`, $2 … as above without the options of unshare. */
export const insideScript = String.raw`
set -u
become=$1 who=$2 variables=$3 cwd=$4 count=$5; shift 5
rights=("${'$'}{@:1:count}"); shift "$count"
count=$1; shift
binds=("${'$'}{@:1:count}"); shift "$count"
read -r stat < /proc/self/stat   # as the host counts processes
fields=(${'$'}{stat##*) })
mount -t proc -o nosuid,nodev,noexec proc /proc && ip link set lo up || exit 91
case $who:$cwd/ in
  /run/*:* | *:/run/*) ;;
  *)
    system=$(readlink /run/current-system)   # NixOS: where all programs are found
    mount -t tmpfs -o nosuid,nodev,size=64m,mode=755 tmpfs /run || exit 91
    [ -z "$system" ] || ln -s -- "$system" /run/current-system
    ;;
esac
while IFS= read -r -d '' socket <&4; do
  # What cannot be covered cannot be reached either, or it is gone.
  case $socket in "${'$'}{who%/.scratch/*}"/*) ;; *) [ ! -e "$socket" ] || mount --bind /dev/null "$socket" 2> /dev/null ;; esac
done
exec 4<&-
for ((at = 0; at < ${'$'}{#binds[@]}; at += 2)); do
  mount --bind -- "${'$'}{binds[at]}" "${'$'}{binds[at + 1]}" || exit 91
done
# The servers' own files: who they run as may be who the command runs as.
for own in "${'$'}{who%/.scratch/*}"/{pg,redis,redis-rdb}; do
  [ ! -d "$own" ] || mount -t tmpfs -o nosuid,nodev,size=64k,mode=700 tmpfs "$own" || exit 91
done
# Who reads the environment has no right to its folder: it is opened for him, and gone.
exec 3< "$variables" && rm -f -- "$variables" || exit 92
printf '%s %s\n' "${'$'}{stat%% *}" "${'$'}{fields[19]}" > "$who.new" && mv -f -- "$who.new" "$who" || exit 92
trap 'kill -TERM -1' TERM
"${'$'}{rights[@]}" perl -e "$become" "$cwd" "$@" &
child=$!
exec 3<&-
while wait "$child"; code=$?; kill -0 "$child" 2> /dev/null; do :; done
exit "$code"
`;

/** Perl: takes the environment from descriptor 3, so that no value is seen in a list of processes, and is the argv. */
export const becomeScript = String.raw`
my ($cwd, @argv) = @ARGV;
open(my $in, '<&=', 3) or die "the environment is gone: $!\n";
local $/ = "\0";
my %new;
while (<$in>) { chomp; my ($name, $value) = split /=/, $_, 2; $new{$name} = $value }
close $in;
chdir $cwd or die "$cwd: $!\n";
%ENV = %new;
exec { $argv[0] } @argv or die "$argv[0]: $!\n";
`;

/** Runs a command in there. $1 who is the first, $2 n, then n options of nsenter, and the argv. */
export const enterScript = String.raw`
read -r pid born 2> /dev/null < "$1" && read -r stat 2> /dev/null < "/proc/$pid/stat" || exit 200
fields=(${'$'}{stat##*) })
[ "${'$'}{fields[19]}" = "$born" ] || exit 200
options=("${'$'}{@:3:$2}")
exec nsenter --target "$pid" --net --pid --mount "${'$'}{options[@]}" -- "${'$'}{@:3 + $2}"
`;

/** Whatever is no loopback, and every route that leads elsewhere, a line each. */
export const waysOutScript = String.raw`
awk -F: 'NR > 2 && $1 !~ /^ *lo$/ { gsub(/ /, "", $1); print "the interface " $1 }' /proc/net/dev
awk 'NR > 1 && $1 != "lo" { print "a route by " $1 }' /proc/net/route
[ ! -e /proc/net/ipv6_route ] || awk '$NF != "lo" { print "a route of IPv6 by " $NF }' /proc/net/ipv6_route
`;
