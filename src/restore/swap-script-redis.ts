/**
 * Steps of `swap.sh` that talk to Redis.
 *
 * An RDB is put into a running Redis by a throw-away one that has loaded it: the running one becomes its replica for a
 * moment. It drops its own data only when it has the other's whole, and writes its append-only file anew by itself; put
 * beside an append-only file, an RDB would be ignored (Redis's manual, "Persistence" and "Replication").
 */
export const redisPart = `
# $1 file with a password, or none; then redis-cli's words
redis_cli() {
  local secret=
  [ ! -f "$1" ] || IFS= read -r secret < "$1"
  shift
  if [ -n "$secret" ]; then REDISCLI_AUTH=$secret redis-cli "$@"; else redis-cli "$@"; fi
}
live() { redis_cli "$dir/redis-password" "\${redis[@]}" "$@"; }
field() { sed -n "s/^$1:\\([^\\r]*\\)\\r*\$/\\1/p"; }
# An error is an answer to older redis-clis.
must() { local said; said=$("$@") && [ "\${said%%[!A-Za-z]*}" = OK ] || { printf '%s\\n' "$said" >&2; return 1; }; }

scratch_pid= scratch=
end_scratch() {
  [ -z "$scratch_pid" ] || { kill -KILL "$scratch_pid" 2> /dev/null; wait "$scratch_pid" 2> /dev/null; }
  [ -z "$scratch" ] || rm -rf -- "$scratch"
  scratch_pid= scratch=
}
trap end_scratch EXIT

# $1 RDB: a Redis of our own that has loaded it, on loopback behind a password
start_scratch() {
  local server try guard=() diskless=yes
  # What is small comes at once by way of the disk, else with the next second; what is large comes sooner without.
  [ "$(stat -c %s -- "$1")" -gt 67108864 ] || diskless=no
  server=$(command -v redis-server || command -v valkey-server) || { echo 'there is no redis-server' >&2; return 1; }
  ! command -v setpriv > /dev/null || guard=(setpriv --pdeathsig KILL --)
  scratch=$(mktemp -d "$dir/redis/run.XXXXXX") && ln -- "$1" "$scratch/dump.rdb" || return
  head -c 24 /dev/urandom | base64 | tr -d '/+=\\n' > "$scratch/password" || return
  for try in {1..20}; do
    port=$((20000 + RANDOM % 12000))
    printf '%s\\n' 'bind 127.0.0.1' "port $port" "requirepass $(cat "$scratch/password")" 'save ""' 'appendonly no' \\
      "dir $scratch" 'dbfilename dump.rdb' 'daemonize no' "repl-diskless-sync $diskless" 'repl-diskless-sync-delay 0' > "$scratch/conf"
    "\${guard[@]}" "$server" "$scratch/conf" > "$scratch/log" 2>&1 9>&- &
    scratch_pid=$!
    while kill -0 "$scratch_pid" 2> /dev/null; do
      [ "$(redis_cli "$scratch/password" -h 127.0.0.1 -p "$port" INFO persistence 2> /dev/null | field loading)" = 0 ] && return
      sleep 0.1
    done
    grep -q 'Address already in use\\|bind:' "$scratch/log" || break
  done
  tail -n 3 -- "$scratch/log" >&2
  return 1
}

# $1 RDB
load_rdb() {
  local port= state former= user= asleep=0 began=0 before=
  start_scratch "$1" || return
  [ ! -e "$dir/redis/touched" ] || before=touched
  former=$(live CONFIG GET masterauth | sed -n 2p) user=$(live CONFIG GET masteruser | sed -n 2p)
  [ -z "$user" ] || must live CONFIG SET masteruser ''
  printf %s "$(cat "$scratch/password")" | must live -x CONFIG SET masterauth && : > "$dir/redis/touched" &&
    sync -- "$dir/redis/touched" "$dir/redis" && must live REPLICAOF 127.0.0.1 "$port"
  began=$?
  # One that says that it is its own master still has not taken anything.
  [ "$began" = 0 ] || [ "$before" = touched ] || [ "$(live INFO replication | field role)" != master ] ||
    rm -f -- "$dir/redis/touched"
  while [ "$began" = 0 ]; do
    state=$(live INFO replication) || { sleep 0.2; asleep=$((asleep + 1)); [ "$asleep" -lt 300 ] || began=1; continue; }
    [ "$(field master_link_status <<< "$state")" = up ] && break
    # It may load for long; what never begins to is not going to.
    if [ "$(field master_sync_in_progress <<< "$state")" = 1 ] || [ "$(live PING 2>&1)" != PONG ]; then asleep=0; fi
    sleep 0.1; asleep=$((asleep + 1))
    [ "$asleep" -lt 200 ] || { echo 'Redis did not reach the one that holds the backup' >&2; began=1; }
  done
  must live REPLICAOF NO ONE || began=1
  printf %s "$former" | must live -x CONFIG SET masterauth || began=1
  [ -z "$user" ] || must live CONFIG SET masteruser "$user" || began=1
  end_scratch
  [ "$began" = 0 ] || return
  for _ in {1..3000}; do
    state=$(live INFO persistence)
    [ "$(field aof_rewrite_in_progress <<< "$state")" = 1 ] || [ "$(field aof_rewrite_scheduled <<< "$state")" = 1 ] || break
    sleep 0.1
  done
  [ "$(field aof_enabled <<< "$state")" = 1 ] || live BGSAVE > /dev/null
  return 0
}

# $1 file: what it holds now. To wait for more replicas, as it does for five seconds, would be time without services.
save_rdb() {
  local former failed=0
  former=$(live CONFIG GET repl-diskless-sync | sed -n 2p)
  [ "$former" != yes ] || live CONFIG SET repl-diskless-sync no > /dev/null
  live --rdb "$1.new" > /dev/null && sync -- "$1.new" && mv -T -- "$1.new" "$1" && sync -- "$dir/redis" || failed=1
  [ "$former" != yes ] || live CONFIG SET repl-diskless-sync yes > /dev/null
  return "$failed"
}

do_redis() {
  [ "$(live CONFIG GET masterauth | head -n 1)" = masterauth ] || { echo 'Redis does not answer to CONFIG' >&2; return 1; }
  [ -e "$dir/redis/old.rdb" ] || save_rdb "$dir/redis/old.rdb" || return
  point "$1 kept"
  load_rdb "$dir/redis/new.rdb"
}
# Where it was never touched there may be no way to it either.
undo_redis() { [ ! -e "$dir/redis/touched" ] || load_rdb "$dir/redis/old.rdb"; }

# number pattern: rows that were remembered are not those of this database
do_cache() {
  local said script='local c, n = "0", 0
    repeat
      local r = redis.call("SCAN", c, "MATCH", ARGV[1], "COUNT", 1000); c = r[1]
      for i = 1, #r[2] do redis.call("UNLINK", r[2][i]); n = n + 1 end
    until c == "0"
    return n'
  said=$(redis_cli "$dir/cache-password" "\${cache[@]}" EVAL "$script" 0 "$2" 2>&1) && [[ $said =~ ^[0-9]+$ ]] ||
    warn "rows that Mastodon had cached could not be removed from Redis (they are gone in ten minutes): $said"
}
undo_cache() { :; }
after_cache() { do_cache "$@"; }
`;
