/** The line of start.sh that says that something has to be done before the services start. */
export const firstMark = '# first';

/**
 * The lease, as it lies on the host: `<folder>/lease/<name>/lease.sh` and the files beside it.
 *
 * A timer on the host starts the services again if nobody else does. It carries the run's token, and every stop asks
 * for that token under the lease's lock, so that a late attempt cannot stop what has been started again.
 *
 * | file | holds |
 * |---|---|
 * | token | the run that holds the lease; without this file there is no lease |
 * | phase | `armed`; `starting` (no stop is accepted any more); `fired` (the timer is starting the services) |
 * | deadline | when the timer fires, in seconds of `/proc/uptime`: a clock that is set back does not matter |
 * | boot | the boot in which it was armed, and when its PID 1 was born (a container keeps the kernel's boot id): a timer does not outlive its boot |
 * | slot | which of the timers a, b, c is armed; renewing arms another one before it stops this |
 * | start.sh, stop.sh | the services that were running when it was armed, and no others |
 * | stopped-booted | what the next boot had started was stopped again, before what comes first in start.sh |
 * | start.log | what the last start said; services without a log of their own go on writing there |
 *
 * All of it is on the disk before the token is: a power cut leaves a whole lease or none.
 *
 * systemd-run's timers may fire a minute late unless AccuracySec is set (systemd.timer(5)). What they start by commands
 * outlives their unit (KillMode=process); systemd keeps such a unit loaded, so its name is not free for the next timer:
 * hence three.
 */
export const leaseScript = String.raw`#!/bin/bash
# Permafrost's lease: starts Mastodon's services again if nobody else does. See docs/architecture.md.
set -u
cd "$(dirname "$0")" || exit 70
here=$PWD
boot_id=$(cat /proc/sys/kernel/random/boot_id)
pid_1() { local stat; read -r stat < /proc/1/stat && set -- ${'$'}{stat##*) } && echo "${'$'}{20}"; } # field 22 of proc_pid_stat(5)
init_born=$(pid_1 2> /dev/null)
uptime_s() { cut -d. -f1 /proc/uptime; }
lock() { exec 9>lock; flock -w 150 9 || { echo "the lease's lock is held for too long" >&2; exit 79; }; }
unlock() { exec 9>&-; }
held_by() { [ -e token ] && [ "$(cat token)" = "$1" ]; }
same_boot() { # by its id alone where PID 1 may not be looked at, then or now
  local id born
  read -r id born 2> /dev/null < boot
  [ "$id" = "$boot_id" ] && { [ -z "$born" ] || [ -z "$init_born" ] || [ "$born" = "$init_born" ]; }
}
put() { printf '%s\n' "$2" > "$1.new" && mv -f "$1.new" "$1" || { rm -f "$1.new"; return 1; }; }
enter() { put phase "$1" || echo "$1" > phase || rm -f phase; } # a full disk has the room of what was in it
slots='a b c'

# settings: kind (systemd|plain), unit, sudo (the words before a privileged command), as (systemd-run's --uid/--gid)
kind=plain; unit=; sudo=(); as=()
[ ! -e settings ] || . ./settings

timer_alive() { # slot
  if [ "$kind" = systemd ]; then
    [ "$(systemctl show -p ActiveState --value "$unit-$1.timer")" = active ]
  else
    read -r pid born < "timer-$1" 2>/dev/null && [ "$(awk '{print $22}' "/proc/$pid/stat" 2>/dev/null)" = "$born" ]
  fi
}
start_timer() { # slot seconds
  if [ "$kind" = systemd ]; then
    "${'$'}{sudo[@]}" systemd-run --quiet --collect --unit="$unit-$1" "${'$'}{as[@]}" --on-active="$2" \
      --timer-property=AccuracySec=100ms --property=KillMode=process /bin/bash "$here/lease.sh" fire 9>&-
  else
    setsid bash -c 'read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ born _ < /proc/$$/stat
      echo "$$ $born" > "timer-$1.new" && mv "timer-$1.new" "timer-$1" || exit # nobody would find it
      sleep "$2"; exec bash lease.sh fire' \
      lease "$1" "$2" < /dev/null > /dev/null 2>&1 9>&- &
    for _ in $(seq 100); do [ -e "timer-$1" ] && break; sleep 0.02; done
  fi
  timer_alive "$1"
}
free_slot() { # taken: prints one that no timer and nothing that one has started holds
  for _ in $(seq 20); do # what was stopped just now is still being taken away
    for slot in $slots; do
      [ "$slot" != "$1" ] || continue
      if [ "$kind" = systemd ]; then
        [ "$(systemctl show -p LoadState --value "$unit-$slot.timer" "$unit-$slot.service" | grep -cx not-found)" = 2 ]
      else
        ! timer_alive "$slot"
      fi && { echo "$slot"; return; }
    done
    sleep 0.1
  done
  echo 'no name is free for its timer: what the last ones started still runs in their units' >&2
  return 1
}
stop_timer() { # slot
  if [ "$kind" = systemd ]; then
    "${'$'}{sudo[@]}" systemctl stop "$unit-$1.timer" 2> /dev/null 9>&-
  elif timer_alive "$1" && [ "$(cat phase 2> /dev/null)" != fired ]; then
    read -r pid _ < "timer-$1" # once fired, its process group may hold services that it started
    kill -KILL -- "-$pid" 2> /dev/null
  fi
  rm -f "timer-$1"
}
clear_lease() {
  rm -f token
  for slot in $slots; do stop_timer "$slot"; done
  if [ -e boot-unit ]; then
    rm -f "/etc/systemd/system/$unit.service" "/etc/systemd/system/multi-user.target.wants/$unit.service" boot-unit
    same_boot || systemctl daemon-reload 9>&- # only a boot has made systemd read it
  fi
  rm -f phase deadline boot slot stopped-booted
}

give_up() { clear_lease; exit 77; }
# Runs a start command: what it starts is on its own feet. It holds nothing of ours open, carries no mark by which we
# would end it with this command, and what it says goes to a file of which only a failure's last words are shown.
run_start() {
  local log=start.log rc
  : > "$log" || log=/dev/null # on a full disk too
  (
    for fd in /proc/self/fd/*; do
      fd=${'$'}{fd##*/}; [ "$fd" -le 2 ] || eval "exec $fd>&-"
    done
    unset PERMAFROST_JOB
    exec "$@"
  ) < /dev/null >> "$log" 2>&1
  rc=$?
  [ $rc = 0 ] || tail -c 1500 "$log" >&2
  return $rc
}

# arm TOKEN SECONDS SETTINGS START STOP NAMES HEALTH BOOT-UNIT(yes|no): arms, or renews when TOKEN holds it already
arm() {
  lock
  if [ -e token ] && ! held_by "$1"; then echo "held by $(cat token)" >&2; exit 75; fi
  if held_by "$1"; then
    same_boot && [ "$(cat phase)" = armed ] || exit 76
    old=$(cat slot)
    new=$(free_slot "$old") || exit 77
    deadline=$(( $(uptime_s) + $2 ))
    # Never a later deadline than that of a timer that is armed: the earlier one would take itself for renewed.
    start_timer "$new" "$2" && put slot "$new" || { stop_timer "$new"; exit 77; }
    put deadline "$deadline" || exit 77
    stop_timer "$old"
    exit 0
  fi
  put settings "$3" && . ./settings || give_up
  put start.sh "$4" && put stop.sh "$5" && put names "$6" && put health "$7" || give_up
  for slot in $slots; do stop_timer "$slot"; done
  rm -f stopped-booted
  new=$(free_slot '') || give_up
  put boot "$boot_id $init_born" && put slot "$new" && put phase armed && put deadline $(( $(uptime_s) + $2 )) || give_up
  start_timer "$new" "$2" || give_up
  kept=(settings start.sh stop.sh names health boot slot phase deadline lease.sh . .. ../..)
  if [ "$8" = yes ]; then
    system=/etc/systemd/system
    touch boot-unit || give_up
    printf '%s\n' '[Unit]' "Description=Permafrost: start the services that a backup had stopped" 'After=network-online.target postgresql.service redis-server.service' \
      '[Service]' 'Type=simple' 'KillMode=process' "ExecStart=/bin/bash $here/lease.sh fire_apart" > "$system/$unit.service" &&
      mkdir -p "$system/multi-user.target.wants" &&
      ln -sf "$system/$unit.service" "$system/multi-user.target.wants/$unit.service" || give_up
    kept+=(boot-unit "$system/$unit.service" "$system" "$system/multi-user.target.wants")
  fi
  sync "${'$'}{kept[@]}" && [ "$(cat start.sh)" = "$4" ] || give_up
  put token "$1" && sync token . || give_up
}

# stop TOKEN SECONDS-LEFT: stops the services, if TOKEN holds a lease that is armed and lasts so long
stop() {
  lock
  held_by "$1" && same_boot && [ "$(cat phase)" = armed ] || exit 76
  timer_alive "$(cat slot)" || exit 77
  [ $(( $(cat deadline) - $(uptime_s) )) -ge "$2" ] || exit 77
  date +%s%3N
  timeout -k 5 60 bash stop.sh 9>&-
}

# stop_booted: what the next boot has started by itself runs on half of what was at work here: once, it is stopped
stop_booted() {
  [ -e token ] && grep -qx '${firstMark}' start.sh && ! same_boot && [ ! -e stopped-booted ] || return 0
  timeout -k 5 60 bash stop.sh < /dev/null > /dev/null 2>&1 9>&-
  touch stopped-booted
}

# start TOKEN|any: from here on no stop is accepted; starts what was running
start() {
  lock
  if [ -e token ]; then
    [ "$1" = any ] || held_by "$1" || exit 76
    [ "$(cat phase)" = fired ] || enter starting
  fi
  unlock
  [ -e start.sh ] || exit 78
  stop_booted
  run_start timeout -k 5 180 bash start.sh
}

# start_these COMMANDS: starts what no lease has recorded
start_these() { run_start timeout -k 5 180 bash -c "$1"; }

# release TOKEN|any: the services are proven; the lease ends
release() {
  lock
  [ -e token ] || exit 0
  [ "$1" = any ] || held_by "$1" || exit 0
  clear_lease
}

# fire: what the timer does
fire() {
  lock
  [ -e token ] || exit 0
  if same_boot && [ "$(uptime_s)" -lt "$(cat deadline)" ]; then exit 0; fi # it was renewed
  mine=$(cat token)
  enter fired; put last-fired "$(date -u +%Y-%m-%dT%H:%M:%SZ) $mine"
  unlock
  stop_booted
  until run_start bash start.sh; do sleep 5; held_by "$mine" || exit 0; done
  lock
  held_by "$mine" && clear_lease
}

# fire_apart: what the unit at boot does. Its file goes with the lease, and a unit without a file ends all that it started.
fire_apart() {
  systemd-run --quiet --collect --unit="$unit-a" --property=KillMode=process /bin/bash "$here/lease.sh" fire || fire
}

state() {
  for f in token phase deadline names health last-fired; do
    [ ! -e "$f" ] || printf '%s=%s\n' "$f" "$(tr '\n' ' ' < "$f")"
  done
  [ ! -e boot ] || printf 'rebooted=%s\n' "$(same_boot && echo no || echo yes)"
  printf 'uptime=%s\n' "$(uptime_s)"
}

"$@"
`;
