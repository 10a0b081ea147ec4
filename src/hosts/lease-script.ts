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
 * | boot | the boot in which it was armed; a timer does not outlive its boot |
 * | start.sh, stop.sh | the services that were running when it was armed, and no others |
 *
 * systemd-run's timers may fire a minute late unless AccuracySec is set (systemd.timer(5)).
 */
export const leaseScript = String.raw`#!/bin/bash
# Permafrost's lease: starts Mastodon's services again if nobody else does. See docs/architecture.md.
set -u
cd "$(dirname "$0")" || exit 70
here=$PWD
boot_now=$(cat /proc/sys/kernel/random/boot_id)
uptime_s() { cut -d. -f1 /proc/uptime; }
lock() { exec 9>lock; flock -w 150 9 || { echo "the lease's lock is held for too long" >&2; exit 79; }; }
unlock() { exec 9>&-; }
held_by() { [ -e token ] && [ "$(cat token)" = "$1" ]; }
same_boot() { [ "$(cat boot 2>/dev/null)" = "$boot_now" ]; }
put() { printf '%s\n' "$2" > "$1.new" && mv "$1.new" "$1"; }

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
      --timer-property=AccuracySec=100ms /bin/bash "$here/lease.sh" fire 9>&-
  else
    setsid bash -c 'read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ born _ < /proc/$$/stat
      echo "$$ $born" > "timer-$1.new"; mv "timer-$1.new" "timer-$1"; sleep "$2"; exec bash lease.sh fire' \
      lease "$1" "$2" < /dev/null > /dev/null 2>&1 9>&- &
    for _ in $(seq 100); do [ -e "timer-$1" ] && break; sleep 0.02; done
  fi
  timer_alive "$1"
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
  stop_timer a; stop_timer b
  if [ -e boot-unit ]; then
    rm -f "/etc/systemd/system/$unit.service" "/etc/systemd/system/multi-user.target.wants/$unit.service" boot-unit
    same_boot || systemctl daemon-reload 9>&- # only a boot has made systemd read it
  fi
  rm -f phase deadline boot slot
}

# arm TOKEN SECONDS SETTINGS START STOP NAMES HEALTH BOOT-UNIT(yes|no): arms, or renews when TOKEN holds it already
arm() {
  lock
  if [ -e token ] && ! held_by "$1"; then echo "held by $(cat token)" >&2; exit 75; fi
  if held_by "$1"; then
    same_boot && [ "$(cat phase)" = armed ] || exit 76
    old=$(cat slot); [ "$old" = a ] && new=b || new=a
    stop_timer "$new"
    deadline=$(( $(uptime_s) + $2 ))
    start_timer "$new" "$2" || exit 77
    put deadline "$deadline"; put slot "$new"
    stop_timer "$old"
    exit 0
  fi
  printf '%s\n' "$3" > settings; . ./settings
  printf '%s\n' "$4" > start.sh; printf '%s\n' "$5" > stop.sh; printf '%s\n' "$6" > names; put health "$7"
  stop_timer a; stop_timer b
  put boot "$boot_now"; put slot a; put phase armed; put deadline $(( $(uptime_s) + $2 ))
  start_timer a "$2" || { clear_lease; exit 77; }
  if [ "$8" = yes ]; then
    touch boot-unit
    printf '%s\n' '[Unit]' "Description=Permafrost: start the services that a backup had stopped" 'After=network-online.target' \
      '[Service]' 'Type=simple' "ExecStart=/bin/bash $here/lease.sh fire" > "/etc/systemd/system/$unit.service" &&
      mkdir -p /etc/systemd/system/multi-user.target.wants &&
      ln -sf "/etc/systemd/system/$unit.service" "/etc/systemd/system/multi-user.target.wants/$unit.service" ||
      { clear_lease; exit 77; }
  fi
  put token "$1"
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

# start TOKEN|any: from here on no stop is accepted; starts what was running
start() {
  lock
  if [ -e token ]; then
    [ "$1" = any ] || held_by "$1" || exit 76
    [ "$(cat phase)" = fired ] || put phase starting
  fi
  unlock
  [ -e start.sh ] || exit 78
  timeout -k 5 180 bash start.sh
}

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
  put phase fired; put last-fired "$(date -u +%Y-%m-%dT%H:%M:%SZ) $mine"
  unlock
  until bash start.sh; do sleep 5; held_by "$mine" || exit 0; done
  lock
  held_by "$mine" && clear_lease
}

state() {
  for f in token phase deadline boot names health last-fired; do
    [ ! -e "$f" ] || printf '%s=%s\n' "$f" "$(tr '\n' ' ' < "$f")"
  done
  printf 'uptime=%s\nboot-now=%s\n' "$(uptime_s)" "$boot_now"
}

"$@"
`;
