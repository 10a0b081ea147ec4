/**
 * What is done around rsync, on the host that calls it, with bash, coreutils and perl. Each script is given rsync's argv
 * last. A path there begins with the instance's domain, and is made of `A-Z a-z 0-9 . _ - /`.
 *
 * `--relative` makes the folders of a path on the other side, which `--mkpath` does only where both have rsync 3.2.3;
 * so what is sent is put below a folder of that path first, as a symbolic link.
 */

const start = `set -o pipefail; umask 077; export LC_ALL=C
`;

/** Private, below \`$work\`, and gone with the script. */
const stage = `mkdir -p -- "$work" && stage=$(mktemp -d -- "$work/rsync.XXXXXXXX") || exit 1
trap 'rm -rf -- "$stage"' EXIT
`;

/** The argv ends with the target; what is no file, is not ours or has no final name is passed over. $1 path below it */
export const listScript = `${start}path=$1; shift
"$@" | perl -ne 'BEGIN { $path = shift }
  next unless /^-/;
  m{^-\\S+ +([\\d.,]+) \\S+ \\S+ (.*)\\n} or die "a line of rsync cannot be read: $_";
  ($size, $name) = ($1, $2);
  $size =~ s/\\D//g;
  $name =~ s{^\\Q$path\\E/}{} or next;
  next if $name =~ m{[^A-Za-z0-9._/-]|(?:^|/)\\.};
  print "$size\\t$name\\n"' -- "$path"
`;

/** $1 work, $2 from, $3 path, $4 what makes a file be passed over, $5 target */
export const sendScript = `${start}work=$1 from=$2 path=$3 quick=$4 target=$5; shift 5
${stage}mkdir -p -- "$stage/$(dirname -- "$path")" && ln -s -- "$from" "$stage/$path" && cd -- "$stage" || exit 1
rsync=("$@")
send() { "\${rsync[@]}" -rLR "$quick" "$@" --chmod=D700,F600 --info=progress2 "$path/" "$target"; }
{ send --partial-dir=.rsync-partial 2>&1 >&3 | tee -- "$stage/.said" >&2; } 3>&1; code=$?
# What \`rrsync -no-overwrite\` does not allow; there a file that was cut is sent again.
grep -q 'option --partial-dir has been disabled' "$stage/.said" || exit "$code"
send
`;

/** Equal bytes are left alone. $1 work, $2 path, $3 target; the content on stdin */
export const writeScript = `${start}work=$1 path=$2 target=$3; shift 3
${stage}mkdir -p -- "$stage/$(dirname -- "$path")" && cat > "$stage/$path" && cd -- "$stage" || exit 1
"$@" -cR --chmod=D700,F600 "$path" "$target"
`;

/** $1 path, $2 names, $3 to, $4 target. What has come of an attempt that was cut is gone on with. */
export const fetchScript = `${start}path=$1 names=$2 to=$3 target=$4; shift 4
stage=$to.fetching
mkdir -p -- "$to" "$stage" || exit 1
sed "s,^,$path/," < "$names" |
  "$@" -r --files-from=- --ignore-missing-args --size-only --partial-dir=.rsync-partial --chmod=D700,F600 \\
    "$target" "$stage/" || exit
[ ! -d "$stage/$path" ] || cp -alf -- "$stage/$path/." "$to/" || exit 1
rm -rf -- "$stage"
`;

/** Nothing is left of the file while it is given out. $1 scratch, $2 path, $3 target */
export const readScript = `${start}scratch=$1 path=$2 target=$3; shift 3
mkdir -p -- "$scratch" || exit 1
printf '%s\\n' "$path" | "$@" --files-from=- --chmod=D700,F600 "$target" "$scratch/" >&2 || exit
exec 3< "$scratch/$path" && rm -f -- "$scratch/$path" && exec cat <&3
`;

/**
 * Removes files; then, where nothing else is left of a backup, what sends that were cut have left there, and its folders.
 * No folder is removed that holds something. $1 work, $2 path, $3 names, $4 domain, $5 target
 */
export const removeScript = `${start}work=$1 path=$2 names=$3 domain=$4 target=$5; shift 5
${stage}remove() {
  rm -rf -- "$stage/empty" && mkdir -- "$stage/empty" || return 1
  # A folder that is not here would be taken for one that vanished.
  sed 's,/[^/]*$,,' < "$1" | sort -u | (cd -- "$stage/empty" && xargs -r -d '\\n' mkdir -p --) || return 1
  "\${rsync[@]}" --delete-missing-args --info=del --files-from="$1" "$stage/empty/" "$target"
}
rsync=("$@")
sed "s,^,$path/," < "$names" > "$stage/names" || exit
[ -s "$stage/names" ] || exit 0
remove "$stage/names" || exit
grep -q "^$domain/backups/" "$stage/names" || exit 0
"$@" --list-only -r -f "+ /$domain/" -f "+ /$domain/backups/" -f "+ /$domain/backups/**" -f '- *' "$target" |
  perl -e '
    my ($names, $top, $files, $folders) = @ARGV;
    my (%touched, %whole, @hidden, @folders);
    open my $in, "<", $names or die; while (<$in>) { $touched{$1} = 1 if m{^\\Q$top\\E/([^/\\n]+)} }
    while (<STDIN>) {
      my ($kind, $name) = m{^(.)\\S+ +[\\d.,]+ \\S+ \\S+ (\\Q$top\\E/.*)\\n} or next;
      my ($backup) = $name =~ m{^\\Q$top\\E/([^/]+)}; next unless $touched{$backup};
      if ($kind eq "d") { push @folders, [$backup, $name] }
      elsif ($name =~ m{/\\.}) { push @hidden, [$backup, $name] }
      else { $whole{$backup} = 1 }
    }
    sub put { my ($file, @lines) = @_; open my $out, ">", $file or die; print $out "$_->[1]\\n" for grep { !$whole{$_->[0]} } @lines; close $out or die }
    put($files, @hidden);
    put($folders, @folders);' "$stage/names" "$domain/backups" "$stage/hidden" "$stage/folders" || exit
[ ! -s "$stage/hidden" ] || remove "$stage/hidden" || exit
# A folder goes before the one that holds it, each by itself: rsync looks into none.
awk '{ print gsub("/", "/"), $0 }' "$stage/folders" | sort -rn | cut -d ' ' -f 1 | uniq > "$stage/depths"
while read -r depth <&5; do
  awk -v depth="$depth" '{ line = $0 } gsub("/", "/") == depth { print line }' "$stage/folders" > "$stage/level"
  remove "$stage/level" > /dev/null || exit
done 5< "$stage/depths"
exit 0
`;
