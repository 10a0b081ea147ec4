/**
 * The script that swaps a restore in, and takes it back: on the target, with bash, coreutils, util-linux and psql, and
 * nothing else of Permafrost. It knows nothing but its journal's folder, so that it can be run by whoever finds it.
 *
 * `swap.sh VERB FOLDER`:
 *   forward  does the steps in order; one that fails is taken back with all before it. 0: the whole swap is done; 1: it
 *            failed and all is as before; 71: it failed and could not be taken back yet; 75: somebody else is at work in
 *            the journal; 76: it was taken back before
 *   back     takes back what was begun, in reverse. 0: all is as before; 1: not yet
 *   settle   one whole state: takes a half swap back, and one that was only prepared never goes forward. As `back`
 *   settle-all   the same for every journal below FOLDER, the folder of an instance
 *
 * Each waits until nobody else is at work in that journal. The folder holds:
 *   steps      words with a NUL after each: a kind, a number n, n words. `admin` and `redis` are argvs, `cache` too
 *   password, password.other, redis-password, cache-password   what these read first
 *   journal    what was begun and done, a line each, on the disk before anything is touched: "forward", "3 begun",
 *              "3 done", "whole", "back", "3 undone", "as before". A line that a power cut has torn was never written, and
 *              every step can be done twice
 *   new/N, old/N, old/N.absent, old/N.made, sql/N.forward, sql/N.back, redis/new.rdb, redis/old.rdb   of step N
 *   made       folders that had to be made
 *   redis/touched   Redis has begun to take other data
 *   warnings   what went otherwise than it should and did not stop the swap, a line each
 *   failed     why it was taken back
 */
import { databasePart } from './swap-script-database.js';
import { filesPart } from './swap-script-files.js';
import { redisPart } from './swap-script-redis.js';

const mainPart = `
settle_all() {
  local failed=0 one
  for one in "$dir"/*/undo "$dir"/*; do
    [ -f "$one/steps" ] || continue
    bash "$0" settle "$one" || failed=1
  done
  exit "$failed"
}

declare -A noted=()
read_journal() {
  local line
  noted=()
  [ -s "$dir/journal" ] || return
  # What is written next must not become the end of a torn line.
  [ "$(tail -c 1 -- "$dir/journal" | od -An -tx1)" = ' 0a' ] || echo >> "$dir/journal"
  while IFS= read -r line; do [ -z "$line" ] || noted[$line]=yes; done < "$dir/journal"
}
has() { [ -n "\${noted[$1]:-}" ]; }
note() {
  has "$1" && return
  printf '%s\\n' "$1" >> "$dir/journal" && sync -- "$dir/journal" || return
  noted[$1]=yes
  point "$1"
}
# Where a test has the power fail.
point() { [ "\${PERMAFROST_SWAP_FAULT:-}" != "$1" ] || kill -KILL $$; }
warn() { printf '%s\\n' "\${*//$'\\n'/ }" >> "$dir/warnings"; }

admin=() redis=() cache=() kinds=() starts=() counts=() words=()
read_steps() {
  local at=0 kind count
  mapfile -d '' -t words < "$dir/steps"
  while [ "$at" -lt "\${#words[@]}" ]; do
    kind=\${words[at]} count=\${words[at+1]}
    case $kind in
      admin) admin=("\${words[@]:at+2:count}") ;;
      redis-cli) redis=("\${words[@]:at+2:count}") ;;
      cache-cli) cache=("\${words[@]:at+2:count}") ;;
      *) kinds+=("$kind") starts+=("$((at + 2))") counts+=("$count") ;;
    esac
    at=$((at + 2 + count))
  done
}

# Runs the function $1_KIND of the step $2 with its number and its words.
step() {
  "$1_\${kinds[$2]//-/_}" "$2" "\${words[@]:starts[$2]:counts[$2]}"
  set -- "$?"
  cd / && return "$1"
}

# On a full disk nothing can be noted, but much can be removed: without its steps, a swap that began nothing never will.
fence() {
  local line
  for line in "\${!noted[@]}"; do [[ $line != *' begun' ]] || return; done
  rm -f -- "$dir/steps" && rm -f -- "$dir/journal" && sync -- "$dir"
}
go_back() {
  local at failed=0
  note back || { fence; return; }
  for ((at = \${#kinds[@]} - 1; at >= 0; at--)); do
    has "$at begun" && ! has "$at undone" || continue
    if step undo "$at" && note "$at undone"; then :; else failed=1; fi
  done
  # When all is in its place again, whoever has read it before reads it anew.
  for ((at = 0; at < \${#kinds[@]}; at++)); do
    has "$at begun" && declare -F "after_\${kinds[at]//-/_}" > /dev/null || continue
    step after "$at" || failed=1
  done
  [ "$failed" = 0 ] && remove_made && note 'as before'
}

go_forward() {
  local at
  has whole && ! has back && return 0
  if has back; then has 'as before' || go_back; return 76; fi
  [ -f "$dir/steps" ] || return 76
  note forward || return 1
  for ((at = 0; at < \${#kinds[@]}; at++)); do
    has "$at done" && continue
    if note "$at begun" && step do "$at" 2> "$dir/said" && note "$at done"; then continue; fi
    { printf 'step %s (%s): ' "$at" "\${kinds[at]}"; tail -c 2000 -- "$dir/said"; } | tee "$dir/failed" >&2
    go_back && return 1
    return 71
  done
  note whole
}

case $verb in
  settle-all) settle_all ;;
esac
# The folder itself is locked: a file for it could not be made on a full disk.
exec 9< "$dir" || exit 75
flock -w 900 9 || { echo 'somebody else is at work in this journal' >&2; exit 75; }
read_journal
read_steps
case $verb in
  forward) go_forward ;;
  # What was never begun is never going to be.
  back) if has 'as before'; then :; else go_back; fi ;;
  # Whoever settles is going to start the services: what was only prepared must not go forward under them either.
  settle) if has 'as before' || { has whole && ! has back; }; then :; else go_back; fi ;;
  *) echo "unknown: $verb" >&2; exit 2 ;;
esac
`;

export const swapScript = `#!/bin/bash
set -u; umask 077; export LC_ALL=C
verb=$1 dir=$2
cd / || exit 1
${filesPart}${databasePart}${redisPart}${mainPart}`;

/** Exit codes of `swap.sh`. */
export const swapExit = { takenBackBefore: 76, notTakenBack: 71 } as const;
