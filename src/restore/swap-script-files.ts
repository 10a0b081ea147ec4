/** Steps of `swap.sh` that put files in place, and tell systemd and nginx. */
export const filesPart = `
tag=permafrost-$(basename -- "$dir")

# Root works in folders of others, who can put a link in place of whatever they own between two of its steps. So it goes
# into a folder, looks where it has got to, and names nothing but what is in it; what it makes, it makes in a folder that
# is its own, and moves from there.
# $1 folder, without links
into() {
  cd -- "$1" && [ "$(env pwd -P)" = "$1" ] && return
  printf '%s leads elsewhere than it did\\n' "$1" >&2
  return 1
}
# $1 name: into a folder of our own, where that is going to be made; .. is the one where we are
aside() {
  local here
  here=$(stat -c %d:%i .) && rm -rf -- "./$1.$tag" && mkdir -m 700 -- "./$1.$tag" && cd -- "./$1.$tag" &&
    [ "$(stat -c %d:%i ..)" = "$here" ] && [[ "$(stat -c '%u %a' .)" =~ ^"$EUID "[0-7]?700$ ]] && return
  printf 'somebody else is at work in %s\\n' "$(env pwd -P)" >&2
  return 1
}
# $1 name: what was made there, called new, takes its place
set_in_place() { mv -fT -- new "../$1" && sync -- .. && cd .. && rmdir -- "./$1.$tag"; }

# $1 path: makes the folders that it lies in, and writes down which.
make_parents() {
  local folder missing=()
  folder=$(dirname -- "$1")
  while [ ! -d "$folder" ]; do missing=("$folder" "\${missing[@]}"); folder=$(dirname -- "$folder"); done
  for folder in "\${missing[@]}"; do
    printf '%s\\0' "$folder" >> "$dir/made" && sync -- "$dir/made" && into "$(dirname -- "$folder")" &&
      aside "$(basename -- "$folder")" && mkdir -m 755 -- new && chown --reference=.. -- new &&
      set_in_place "$(basename -- "$folder")" || return
  done
}
# What somebody has put into them meanwhile stays, and so do they.
remove_folders() {
  local at
  for ((at = $#; at > 0; at--)); do rmdir -- "\${!at}.$tag/new" "\${!at}.$tag" "\${!at}" 2> /dev/null; done
  return 0
}
remove_made() {
  local made=()
  [ ! -f "$dir/made" ] || mapfile -d '' -t made < "$dir/made"
  remove_folders "\${made[@]}"
}
# number folder…
do_rmdir() { shift; remove_folders "$@"; }
undo_rmdir() { :; }

there() { [ -e "$1" ] || [ -L "$1" ]; }
# number path put|remove: keeps what is there.
keep_old() {
  local old=$dir/old/$1 folder name
  folder=$(dirname -- "$2") name=$(basename -- "$2")
  ! there "$old" && [ ! -e "$old.absent" ] || return 0
  mkdir -p -- "$dir/old" && rm -rf -- "$old.new" || return
  if [ -d "$folder" ] && { into "$folder" || return; } && there "./$name"; then
    cp -a -- "./$name" "$old.new" || return
    # Only an undo removes a link, one that the restore has made; a file was none when the restore was planned.
    if [ -L "$old.new" ] && [ "$3" = remove ]; then :
    elif [ -f "$old.new" ] && [ ! -L "$old.new" ]; then sync -- "$old.new" || return
    else printf '%s is no file any more\\n' "$2" >&2; return 1; fi
    mv -T -- "$old.new" "$old"
  else : > "$old.absent"; fi && sync -- "$dir/old" && point "$1 kept"
}

# number path put|remove mode owner group
do_file() {
  local number=$1 path=$2 folder name
  folder=$(dirname -- "$2") name=$(basename -- "$2")
  keep_old "$number" "$path" "$3" || return
  if [ "$3" = remove ]; then remove_file "$path"; return; fi
  make_parents "$path" && into "$folder" && aside "$name" && cp -- "$dir/new/$number" new && chown -- "$5:$6" new &&
    chmod -- "$4" new && sync -- new && point "$number staged" && set_in_place "$name" && point "$number placed"
}
remove_file() {
  [ -d "$(dirname -- "$1")" ] || return 0
  into "$(dirname -- "$1")" && rm -f -- "./$(basename -- "$1")"
}
undo_file() {
  local old=$dir/old/$1 folder name
  folder=$(dirname -- "$2") name=$(basename -- "$2")
  if there "$old"; then
    make_parents "$2" && into "$folder" && aside "$name" && cp -a -- "$old" new && { [ -L new ] || sync -- new; } &&
      set_in_place "$name"
  elif [ -e "$old.absent" ]; then
    remove_file "$2" && { [ ! -d "$folder" ] || rm -rf -- "./$name.$tag"; }
  fi
}

# number path target: a link, where nothing is
do_link() {
  [ -e "$2" ] || [ -L "$2" ] || {
    mkdir -p -- "$dir/old" && : > "$dir/old/$1.made" && sync -- "$dir/old" && make_parents "$2" && ln -s -- "$3" "$2"
  }
}
undo_link() { [ ! -e "$dir/old/$1.made" ] || rm -f -- "$2"; }

reload_units() { ! command -v systemctl > /dev/null || systemctl daemon-reload; }
do_daemon_reload() { reload_units || warn "systemctl daemon-reload failed: $(tail -n 1 "$dir/said")"; }
undo_daemon_reload() { :; }
after_daemon_reload() { reload_units || :; }

# number unit…: comes up with the host from now on
do_enable() {
  local number=$1 unit; shift
  mkdir -p -- "$dir/old" || return
  for unit do
    systemctl --quiet is-enabled "$unit" 2> /dev/null && continue
    printf '%s\\n' "$unit" >> "$dir/old/$number.made" && sync -- "$dir/old/$number.made" || return
    systemctl --quiet enable "$unit" || warn "$unit could not be enabled: $(tail -n 1 "$dir/said")"
  done
}
undo_enable() {
  local unit
  [ ! -f "$dir/old/$1.made" ] || while IFS= read -r unit; do systemctl --quiet disable "$unit" 2> /dev/null; done < "$dir/old/$1.made"
  return 0
}

do_disable() { shift; systemctl --quiet disable "$@" || warn "could not be disabled: $*"; }
undo_disable() { shift; systemctl --quiet enable "$@" || :; }

reload_nginx() {
  if command -v systemctl > /dev/null && systemctl --quiet is-active nginx; then systemctl reload nginx
  elif [ -s /run/nginx.pid ] && kill -0 "$(cat /run/nginx.pid)" 2> /dev/null; then nginx -s reload; fi
}
# number step…: of nginx's files and links; those that it does not take are put back
do_nginx() {
  local at said
  shift
  command -v nginx > /dev/null || return 0
  if said=$(nginx -t 2>&1); then reload_nginx || warn 'nginx could not be reloaded'; return 0; fi
  warn "nginx does not take the restored files, so what it had is back in place: $(printf %s "$said" | grep -m 1 emerg)"
  for at do step undo "$at" || return; done
}
undo_nginx() { :; }
after_nginx() { ! command -v nginx > /dev/null || ! nginx -t 2> /dev/null || reload_nginx || :; }
`;
